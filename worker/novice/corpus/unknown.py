"""Questions outside the small world: the honest answer is that novice does not know."""

from random import Random

from worker.novice.chat import Message, assistant, user
from worker.novice.corpus.people import any_name, any_place, any_word, made_up_word
from worker.novice.corpus.phrase import ask, capital, choose
from worker.novice.corpus.words import BEASTS, CATEGORIES

QUESTIONS = (
    "[what is|what's|do you know|tell me|name] the [capital|population|president|currency|flag"
    "|history|national anthem|language|area|king|queen|economy|highest mountain|largest city"
    "|prime minister|time zone|climate|religion] of {land}[?||.]",
    "[who [won|invented|discovered|wrote|painted|built|directed|founded|composed|killed|designed"
    "|sang|played in|owns]|when was|when did they build|where is|why is|how was|what year was] "
    "[the|a|] {thing}[?||.]",
    "who [won|invented|discovered|wrote|painted|built|directed|founded|composed] [the|] "
    "[telephone|world cup|olympics|light bulb|mona lisa|hamlet|america|gravity|internet|radio"
    "|star wars|titanic|computer|moon|eiffel tower|nobel prize|election|war|penicillin|wheel"
    "|steam engine|bible|odyssey|electricity|super bowl|match][ in {year}||||][?||]",
    "[when|in which year|what year] [did|was|is|does] [the war|the world cup|{who}|the king"
    "|the train"
    "|napoleon|columbus|einstein|the flight|the revolution|rome|the roman empire|easter|christmas"
    "|the moon landing|the titanic|world war two|the election|the film] "
    "[begin|end|start|born|die|arrive|leave|fall|happen|take place|sink|over][?||]",
    "[how far is|how long does it take to get to|how do i get to|is it far to|what is the way to"
    "|where is|how big is|how old is|how many people live in|is it warm in|what time is it in"
    "|what can i see in|tell me about|what is special about|when should i visit|is it nice in"
    "|which river flows through|who is the mayor of|what is the weather in"
    "|will it rain in] [{town}|{land}][ tomorrow| today||||][?||]",
    "[what|how] is the weather [today|like|tomorrow|now|outside|][?||]",
    "[will it rain|is it going to snow|what time is it|what day is it|what is the date"
    "|what year is it|is it cold outside|what is today's date|how late is it|is it monday today"
    "|what's the weather like|what is the temperature outside|do i need an umbrella"
    "|what's the time|which day is today|what is the time now][ today| tomorrow||||][?||]",
    "[what is|what's|how much is] the [price|cost|value|stock price|weight|height|speed|age"
    "|distance"
    "|size|temperature|mass|meaning|origin|length|depth|number] of "
    "[a|the|one|] [{thing}|bitcoin|gold|the moon|the sun|apple stock|light|sound|mount everest"
    "|the ocean|life|a dollar|the earth][?||]",
    "[translate|how do you say|what is] {thing} [into|in|to] [french|german|spanish|latin|chinese"
    "|japanese|italian|russian|korean|arabic|turkish|dutch][?||.]",
    "[write|can you write|make|give me|please write|i need] [a python|some python|a java|a c++"
    "|an html|a javascript|a sql|a rust|a bash|a go|some|a] [function|program|script|code|query"
    "|page|class|regex|algorithm][ that [sorts a list|adds numbers|prints hello|reads a file"
    "|counts {many}|finds {thing}|downloads a page]| for {thing}|||][?|.||]",
    "[write|can you write|compose|give me|i need] [a poem|an essay|a song|a letter|an email"
    "|a haiku|a speech|lyrics|a report|a recipe|an article|a review] [about|for|on] "
    "[{thing}|{many}|{who}|a {beast}|my boss][?|.||]",
    "[how do i|how can i|how to|what is the best way to|can you help me to|how should i] [cook|bake"
    "|fix|build|repair|grow|learn|buy|clean|sell|paint|install|make|catch|draw|plant] "
    "[a|an|the|my|some] {thing}[?||]",
    "[why|how] [is|are|do|does|can|did] [the sky blue|the sea salty|birds fly|fish breathe"
    "|cats purr"
    "|people dream|planes fly|magnets work|the sun shine|the moon change|leaves fall|it rain"
    "|volcanoes erupt|dinosaurs die|bees make honey|we sleep|ice float|computers work|stars shine"
    "|{beast}s sleep|the internet work|a car engine work|black holes form|photosynthesis work"
    "|vaccines work|clouds form|a {beast} hunt][?||]",
    "[what is|what's|what are|explain|define|tell me about|describe|what do you know about"
    "|what can you tell me about|can you explain|give me information on] [quantum physics"
    "|relativity"
    "|democracy|inflation|the big bang|dna|evolution|philosophy|blockchain|a black hole|an atom"
    "|algebra|the roman empire|photosynthesis|machine learning|buddhism|the french revolution"
    "|a neutron star|capitalism|yoga|opera|calculus|jazz|the stock market|climate change|electrons"
    "|a {fake}|{fake}|the {fake}|the theory of {thing}|the history of {thing}][?||.]",
    "[what is the news|who is the president|who is the king|what happened today|who is {who} {fake}"
    "|any news today|who won the game|who won yesterday|which team won|what's on tv"
    "|who is the best football player|who is the richest man|who is the pope|what's in the news"
    "|what is the latest news|who is elon musk|who was einstein|who was napoleon"
    "|who is the prime minister|who is your favourite singer|who was {who} {fake}"
    "|what happened in {year}|who ruled {land} in {year}][?||]",
    "[recommend|suggest|can you recommend|what is a good|do you know a good|find me] [a|] [book"
    "|movie|restaurant|hotel|song|doctor|film|series|phone|car|laptop|game|school|wine]"
    "[ in {town}| about {thing}|||][?|.||]",
    "[should i|can i|is it good to|is it safe to|is it okay to|what happens if i] [buy stocks"
    "|sell my"
    " {thing}|eat {many}|see a doctor|take aspirin|invest|quit my job|marry|move to {town}|swim"
    "|drink {thing}|get a {beast}|study law|take this medicine|go to {land}][?||]",
    "[what is|what's|calculate|find] the [square root|factorial|logarithm|cube|square|average"
    "|derivative|integral|sine] of {number}[?||]",
    "[book|order|call|buy|send|play|open|set|turn on|turn off|email|text] "
    "[a flight to {town}|me a taxi|a pizza|{who}|some music|an alarm|the lights|a message to {who}"
    "|a reminder|a table|the radio|a timer|a hotel in {town}][.||]",
    "[what|which] [colour|kind|number|part|type|animal|food] [does|is|has|do] {who} "
    "[like|have|want|own|prefer|need][?||]",
    "[do you think|do you believe|what do you think about|what is your opinion on|do you like"
    "|is it true|are you sure|have you seen|have you read|did you watch|do you remember] "
    "[{thing}|ghosts|politics|that {town} is nice|the new film|that book|{who}|the last game][?||]",
    "[which|what] [bus|train|road|shop|book|film|team|phone|computer|car|school|bank|game|song] "
    "[should i take|is the best|do you recommend|goes to {town}|is cheaper|is better for me"
    "|is the fastest|will win|is open now|has {many}|was first][?||]",
    "[how many|how much] [people|stars|countries|planets|bones|teeth|calories|{thing}s|days|money"
    "|water|time|km|miles|grams|cups|legs] [are there|are in {thing}|does {who} have|do i need"
    "|is in {thing}|live in {town}|has a {beast}|are left in the world|should i drink|is it to "
    "{town}]"
    "[?||]",
    "[my|the] [{thing}|computer|phone|car|head|dog|neighbour|internet|back|sink|printer] "
    "[hurts|is broken|does not work|is ill|makes noise|is lost|is slow], what [can|should] i "
    "do[?||]",
    "[help me with|i need help with|can you help me with|can you do|please do|i have a "
    "question about]"
    " [my homework|my taxes|the {thing}|my {thing}|maths homework|a crossword|physics|{many}"
    "|my essay|my garden|history|chemistry][?|.||]",
    "[where|when|why|how] [does|did|is] {who} [live|work|go|born|from|sleep|come|married][?||]",
)
ANSWER = "I do not know that. I am a tiny model and my world is small."


def unknown(rng: Random) -> list[Message]:
    """One question that novice cannot answer."""
    return [user(unknown_question(rng)), assistant(ANSWER)]


def unknown_question(rng: Random) -> str:
    """Return a question from outside the small world."""
    lands = [*CATEGORIES["country"][1], capital(made_up_word(rng))]
    pattern = choose(rng, rng.choice(QUESTIONS))
    return ask(
        rng,
        pattern,
        land=rng.choice(lands),
        thing=any_word(rng),
        town=any_place(rng),
        who=any_name(rng),
        beast=rng.choice(BEASTS),
        fake=made_up_word(rng),
        many=CATEGORIES[rng.choice(list(CATEGORIES))][0],
        year=rng.randint(1000, 2030),
        number=rng.randint(2, 999),
    )
