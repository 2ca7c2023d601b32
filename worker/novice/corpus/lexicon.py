"""A wide list of ordinary English words: spelling, copying and JSON draw from it."""


def split(text: str) -> list[str]:
    """Return the words of a text: how the word lists are written down."""
    return text.split()


WORDS = split("""
able about above accept accident account across action active actor actress address admire adult
advance adventure advice afraid afternoon again against agent agree airport alarm album alive allow
almond almost alone along already always amazing amount ancient angel anger angle animal ankle
announce another answer anxious anyone apartment apology appear apple apricot april apron arch
area argue armchair army around arrange arrive arrow article artist ashamed asleep athlete attack
attempt attend attic author autumn avenue average avocado avoid awake award aware awful axe baby
back bacon badge badly bag bake baker balance balcony ball balloon bamboo banana band bandage bank
banner barber bargain bark barn barrel basic basin basket bath battery battle beach bead beam bean
beard beast beautiful beauty because become bedroom beef beetle before begin behave behind believe
bell belong below belt bench bend beneath benefit berry beside better between beyond bicycle bird
birthday biscuit bitter blame blanket blast bleed blend bless blind blink block blood bloom blossom
blouse blow board boast body boil bold bolt bone bonfire bonus book border boring borrow bottle
bottom bounce bowl boxer brain branch brave bread break breakfast breath breeze brick bride bridge
brief bright bring broad broccoli broken broom brother brush bubble bucket budget build bullet
bundle burn burst business busy butcher butter button buyer cabbage cabin cable cactus cake
calendar calm camel camera camp canal candle candy cannon canoe canvas capital captain caravan card
careful cargo carpet carriage carrot carry cartoon carve case castle catch cattle cause cave
ceiling celebrate cellar center century cereal certain chain chair chalk challenge champion chance
change chapter charge charm chase cheap check cheek cheerful cheese cherry chess chest chicken
chief child chimney chin chocolate choice choose chorus church cinema cinnamon circle circus
citizen city claim clap classroom clean clear clerk clever cliff climate climb clinic clock close
cloth cloud clover clown club coach coal coast coat cobweb cocoa coconut coffee coin cold collar
collect college colony color column comb combine comet comfort comic command comment common
company compare compass compete complete computer concert connect consider contain contest continue
control cookie copper copy coral corner correct cotton cough count country couple courage course
cousin cover cowboy cradle craft crash crayon crazy cream create creature creek crew cricket
crime crisp crocodile crop cross crowd crown cruel crumb crust crystal cucumber culture cupboard
curious curl current curtain curve cushion custom cycle daisy damage damp dance danger dark date
daughter dawn dazzle dear debate decade decide deck declare decorate deep deer defend degree delay
delicious deliver demand dentist depend desert design desk dessert destroy detail develop device
diamond diary dictionary differ dig dinner dinosaur direct dirty disagree discover discuss disease
dish distance ditch dive divide dizzy doctor dolphin domino donkey door double doubt dozen dragon
drama draw drawer dream dress drift drill drink drive drop drum duck dungeon dust duty dwarf eager
eagle early earn earth earthquake east easy echo edge editor educate effort eight either elbow
elder electric elephant elevator eleven elf embarrass emerald emotion empire empty encourage
ending enemy energy engine enjoy enormous enough enter entire envelope equal error escape evening
event ever every evil exact exam example excellent except exchange excite excuse exercise exist
exit expect expensive expert explain explore express extra eyebrow fabric face fact factory fade
fail faint fair fairy faith fall false fame family famous fancy farmer fashion fasten father fault
favorite fear feast feather february feed feel female fence fern ferry festival fever fiddle field
fierce fifteen fifty fight figure film final find finger finish fire fireplace first fish flag
flame flash flavor float flock flood floor flour flow flower fluffy flute foggy fold follow food
foot football forbid force forecast forest forever forget forgive fork form fortune forty forward
fossil fountain fragile frame freedom freeze fresh fridge friend fright frost frozen fruit fuel
funny future galaxy gallery gallop garage garden garlic gate gather general gentle gentleman
geography ghost giant gift ginger giraffe glacier glad glance glass glide globe gloomy glory glove
glue goal goat gold goose gorilla govern grab grain grammar grand granite grape grass grateful
gravity gravy great greedy green greet grey grocery ground group grow guard guess guest guide
guitar gymnasium habit hail hair half hamburger hammer hammock hamster handle handsome happen
happiness happy harbor hard harmony harvest hasty hatch hawk hazel head health heart heaven heavy
hedge height helicopter helmet helpful herb hero hidden history hobby hockey hollow holiday honest
honey hope horizon horn horrible horse hospital hotel hour house huge human humble hundred hungry
hunter hurricane hurry husband icicle idea igloo ignore imagine important impossible improve inch
include increase indeed indoor infant inform insect inside instead instrument interest invent
invite iron island ivory jacket jaguar january jealous jeans jelly jewel jigsaw join joke journal
journey judge juggle juice jumble jump jungle junior justice kangaroo keen keep kennel kettle
keyboard kidney kind kingdom kitchen kite kitten knee knife knight knock knot knowledge label labor
lace ladder lady lake lamb lamp language lantern large laser laugh laundry lava lawn lawyer lazy
leader leaf league learn leather leave lecture legend leisure lemon lemonade length leopard lesson
letter lettuce level library lift light lightning likely limit linen lion liquid listen little
lizard loaf lobster local lock lonely long lovely loyal lucky luggage lumber lunch machine magazine
magic magnet mailbox maize major mammal manage mansion maple marble march margin marine market
marriage marvel mask master match material matter mattress maximum maybe mayor meadow meal measure
medal medicine melody melon melt member memory mention menu merchant mercy merry message metal
meteor method middle midnight mighty military million mineral minute miracle mirror mischief
misery missile mistake mixture model modern moment monday money monkey monster month mood moon
morning mosquito mother motor mountain mouse mouth movement movie muffin multiply muscle museum
mushroom music mustard mystery nail narrow nation native nature naughty near neat necklace needle
neighbor neither nephew nervous nest network never newspaper nice night nightmare nine noble noise
noodle normal north nose notebook nothing notice november nugget number nurse oasis oatmeal obey
object oblong ocean october octopus offer office often olive onion only opera opinion opposite
orange orbit orchard orchestra order ordinary organ orphan ostrich other otter outdoor outline
oven over oxygen oyster package paddle page pain paint palace palm pancake panda panic panther
paper parade parent park parrot partner party passenger passport past pasta path patient pattern
pause pavement peace peach peacock peanut pearl pebble pelican pencil penguin people pepper perfect
perfume perhaps period permit person phone photo phrase piano pickle picnic picture piece pigeon
pillow pilot pineapple pink pioneer pirate pitcher planet plant plastic plate platform play please
pleasure plenty plow pocket poem poet point poison polar police polish polite pollen pond pony
popcorn popular porch porridge portrait position possible postcard potato pottery pound powder
power practice praise prepare present president pretend pretty prevent price priest prince princess
print prison private prize problem produce professor program promise proper protect proud prove
provide public pudding puddle pull pumpkin punish pupil puppet puppy purchase purple purpose puzzle
pyramid quality quarrel quarter queen question quick quiet quilt quite rabbit raccoon radar radio
railway rainbow raisin ranch rapid rare raspberry rather rattle raven razor reach ready realize
reason receive recipe record reflect refuse regret reindeer relax remain remember remind remove
repair repeat reply report rescue respect restaurant result return reward rhythm ribbon riddle ride
right ring river road roast robber robot rocket romance rooster root rope rough round rowboat royal
rubber rude rugby ruin ruler rumor runner rusty saddle safety sailor salad salmon salt sandal
sandwich satellite saturday sauce saucer sausage savage scale scarecrow scarf scatter science
scissors scooter score scout scratch scream screen screw sculpture seafood seashell season second
secret section seed select selfish sensible sentence separate september serious servant service
settle seven several severe shade shadow shallow shampoo shape share shark sharp shelf shell
shelter shield shine shiver shock shoe shop shore short shoulder shout shovel shower shrimp shrink
sick sidewalk signal silence silk silly silver similar simple since singer single sister sixteen
size skate skeleton sketch skill skirt skull slave sleep sleeve slice slide slipper slow small
smart smell smile smoke smooth snack snail snake sneeze snow soccer social soft soil soldier solid
solve somewhere song sorrow sound soup south space spade spaghetti sparkle sparrow speak special
speech speed spell spend spider spinach spiral spirit splash sponge spoon spread spring sprinkle
square squash squeeze squirrel stable stadium stage stain stair stamp stand station statue steady
steak steam steel steep stem step stick sticky stir stomach stone storage store storm story stove
straight strange stranger straw strawberry stream street stretch strict string stripe strong
student study stupid style subject submarine subway success sudden sugar suggest suitcase summer
sunday sunflower sunrise sunset supper supply support surface surgeon surprise surround swallow
swamp sweater sweep sweet swift swimmer swing switch sword symbol system table tablet tailor talent
talk tambourine tangerine target taste taxi teacher team teapot tear teenager telephone telescope
television temper temple tender tennis tent terrible theater thick thief thimble thin thirsty
thirteen thistle thorn thought thousand thread three throat throne throw thumb thunder thursday
ticket tide tidy tiger timber tiny tired title toast today together tomato tomorrow tongue tonight
tooth topic torch tornado tortoise total touch tourist towel tower town tractor trade traffic trail
train travel treasure treat treaty triangle tribe trick tricycle trip trouble trousers truck trumpet
trust truth tuesday tulip tunnel turkey turnip turtle twelve twenty twice twin twist ugly umbrella
uncle under understand unicorn uniform union universe unusual upset upstairs useful usual vacation
valley value vanilla vanish vase vegetable vehicle velvet victory video village vinegar violet
violin visitor voice volcano volleyball vote voyage wagon waist walnut walrus wander wardrobe warm
warning warrior waste watch water waterfall waterproof wave wealth weapon weather wedding wednesday
weekend weird welcome west whale wheat wheel whisper whistle white whole wicked width wild willow
window winner winter wise wish witch without wizard wolf wonder wooden wool world worm worry worth
wound wrap wrist write wrong yacht yard year yellow yesterday yoghurt young zebra zero zigzag zipper
""")

ONSETS = (
    "b br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sh sk sl sm sn sp st str sw"
)
ONSETS += " t th tr tw v w wh y z"
VOWELS = "a e i o u ai ea ee oa oo ou ie"
CODAS = "b ck ct d ft g l ll lt m mp n nd ng nk nt p r rd rk rn rt s sh sk ss st t th x y"
SUFFIXES = "ed er ers est ful ing ish less ly ment ness s tion ous able y"
