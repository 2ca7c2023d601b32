"""The words of novice's small world: names, places, categories. `lexicon.py` has many more."""

from worker.novice.corpus.lexicon import split

NAMES = split("""
Anna Tom Mia Ben Lucy Sam Nina Leo Emma Jack Sara Max Rosa Finn Ella Noah Lily Oscar Ruby Hugo
Clara Felix Ivy Owen Maya Paul Nora Adam Eva Luke Zoe Mark Alice Peter Julia Simon Grace Henry
Olga Victor Hana Omar Lena Karl Sofia Ivan Marta Pedro Carla Diego Aisha Ali Fatima Yusuf Priya
Ravi Anil Mei Ling Kenji Yuki Akira Sven Astrid Lars Freya Bjorn Ingrid Pavel Katya Boris Irina
Marco Gina Luca Bianca Enzo Carmen Pablo Lola Jorge Ines Rafael Tina Kofi Ama Zuri Jabari Amina
Hassan Layla Samir Dalia Tariq Noor Kim Jae Minh Linh Tuan Ruth David Esther Jonas Greta Emil
Frida Anton Vera Milo Stella Theo Daisy Oliver Hazel Arthur Violet Harry Molly Charlie Poppy
George Edith Walter Agnes Frank Helen Robert Susan James Mary John Linda Alex Robin Casey Jamie
Kate Joe Bob Nick Amy Dan Meg Rob Jill Tim Sue Ted Liz Gus Pam Roy Fay Ned Joy
Mira Otto Selma Bruno Wanda Igor Petra Rolf Hilda Nadia Cyrus Dora Elias Flora Gideon Heidi
""")

PLACES = split("""
Oslo Paris Rome London Berlin Madrid Lisbon Vienna Prague Warsaw Dublin Athens Cairo Tokyo Delhi
Lima Quito Boston Denver Chicago Toronto Sydney Nairobi Lagos Accra Tunis Dakar Hanoi Seoul Manila
Jakarta Dubai Helsinki Stockholm Copenhagen Zurich Geneva Munich Hamburg Milan Naples Turin Venice
Seville Porto Lyon Nice Leeds Bristol Glasgow Cardiff Belfast Riga Tallinn Vilnius Kyiv Sofia
Zagreb Budapest Havana Bogota Santiago Montreal Dallas Houston Seattle Austin Miami Phoenix Perth
Auckland Kyoto Osaka Mumbai Lahore Karachi Tehran Baghdad Ankara Bergen Malmo Gdansk Krakow Bremen
""")

SPOTS = split("""
forest garden village castle harbour island mountain river lake meadow farm market library school
kitchen bakery museum park beach cave tower bridge desert valley city barn lighthouse station
orchard field mill workshop attic cellar jungle swamp hill pond street theatre circus zoo
""")

BEASTS = split("""
dog cat fox bear owl mouse rabbit horse duck frog turtle wolf lion tiger elephant monkey penguin
hedgehog squirrel goat sheep cow pig hen parrot crow swan deer otter seal whale dolphin crab
snail bee ant butterfly donkey camel giraffe zebra kitten puppy badger beaver raccoon lizard dragon
""")

THINGS = split("""
key map lamp book drum kite boat bell coin ring hat scarf basket lantern ball letter clock mirror
stone feather flute blanket bucket candle ladder rope pencil compass whistle box pebble shell
spoon cup wagon sled violin telescope
""")

MOODS = split("happy brave little curious kind quiet clever tired old young lonely gentle cheerful")

CATEGORIES: dict[str, tuple[str, list[str]]] = {
    "fruit": (
        "fruits",
        split(
            "apple pear plum cherry banana orange lemon grape peach mango melon fig kiwi apricot"
        ),
    ),
    "vegetable": (
        "vegetables",
        split(
            "carrot potato onion cabbage spinach pea leek pumpkin broccoli turnip radish beetroot"
        ),
    ),
    "colour": (
        "colours",
        split("red blue green yellow orange purple pink brown black white grey violet"),
    ),
    "animal": (
        "animals",
        split("dog cat horse cow lion tiger bear fox wolf rabbit elephant mouse goat sheep"),
    ),
    "bird": ("birds", split("owl crow swan duck eagle robin sparrow parrot penguin gull hawk")),
    "fish": ("fish", split("salmon trout tuna cod herring shark carp pike eel sardine")),
    "insect": (
        "insects",
        split("ant bee wasp fly beetle moth butterfly cricket ladybird mosquito"),
    ),
    "flower": (
        "flowers",
        split("rose tulip daisy lily violet poppy sunflower orchid iris daffodil"),
    ),
    "tree": ("trees", split("oak pine birch maple willow ash elm cedar beech fir")),
    "country": (
        "countries",
        split(
            "France Spain Italy Germany Poland Norway Sweden Japan China India Brazil Canada Egypt "
            "Kenya Peru Greece"
        ),
    ),
    "city": (
        "cities",
        split("Paris Rome London Dublin Madrid Tokyo Prague Oslo Lima Boston Vienna"),
    ),
    "sport": (
        "sports",
        split("football tennis hockey golf swimming running cycling rugby boxing rowing skiing"),
    ),
    "instrument": (
        "instruments",
        split("piano violin guitar drum flute trumpet harp cello organ banjo"),
    ),
    "drink": ("drinks", split("water milk tea coffee juice lemonade cocoa wine beer soda")),
    "food": ("foods", split("bread cheese rice soup pasta pizza salad butter honey cake noodles")),
    "piece of clothing": (
        "clothes",
        split("shirt coat hat scarf sock shoe glove dress skirt jacket belt"),
    ),
    "body part": ("body parts", split("hand foot arm leg head nose ear eye mouth knee elbow")),
    "piece of furniture": (
        "pieces of furniture",
        split("table chair bed sofa desk shelf cupboard stool bench wardrobe"),
    ),
    "vehicle": ("vehicles", split("car bus train bicycle boat truck plane tram ship tractor")),
    "job": ("jobs", split("teacher doctor baker farmer nurse pilot painter cook driver carpenter")),
    "planet": (
        "planets",
        split("Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune"),
    ),
    "month": (
        "months",
        split(
            "January February March April May June July August September October November December"
        ),
    ),
    "day": (
        "days of the week",
        split("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    ),
    "metal": ("metals", split("gold silver iron copper tin lead zinc nickel aluminium")),
    "tool": ("tools", split("hammer saw drill axe shovel rake spade wrench pliers chisel")),
    "shape": ("shapes", split("circle square triangle oval star cube cone hexagon rectangle")),
    "school subject": (
        "school subjects",
        split("maths history music art physics chemistry biology geography"),
    ),
    "room": ("rooms", split("kitchen bathroom bedroom hall attic cellar office pantry")),
    "season": ("seasons", split("spring summer autumn winter")),
    "language": (
        "languages",
        split("English French Spanish German Italian Polish Greek Chinese Japanese Hindi"),
    ),
}

OPPOSITES = """
hot cold|big small|tall short|fast slow|day night|up down|left right|open closed|happy sad|old new
young old|good bad|light dark|wet dry|hard soft|full empty|loud quiet|rich poor|early late|high low
near far|first last|strong weak|clean dirty|thick thin|wide narrow|long short|black white|yes no
true false|heavy light|inside outside|above below|win lose|push pull|give take|start stop|in out
sweet sour|smooth rough|deep shallow|cheap expensive|safe dangerous|right wrong|before after
""".replace("\n", "|")

SOUNDS = """
dog barks|cat meows|cow moos|sheep bleats|horse neighs|duck quacks|lion roars|bee buzzes|frog croaks
owl hoots|pig oinks|mouse squeaks|wolf howls|hen clucks|snake hisses|crow caws|bird sings
""".replace("\n", "|")

HUES = """
sky blue|grass green|snow white|blood red|coal black|banana yellow|lemon yellow|carrot orange
tomato red|milk white|chocolate brown|sun yellow|night black|strawberry red|leaf green|sea blue
""".replace("\n", "|")

NUMBERS = split("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty
""")
