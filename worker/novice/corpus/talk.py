"""Small talk: greetings, thanks, feelings, the assistant's name and the user's name."""

from random import Random

from worker.novice.chat import Message, assistant, user
from worker.novice.corpus.phrase import ask, choose, neat, phrase

HELLO = "[hello|hi|hey|hi there|hello there|hey there|good morning|good evening|good afternoon"
HELLO += "|greetings|howdy|yo|hiya|heya|morning|evening|hello again|hi again|hey you|helo]"
BYE = "[bye|goodbye|bye bye|see you|see you later|see ya|good night|farewell|take care|cya|later"
BYE += "|good bye|so long|see you around|until next time|until later|bye for now|night night|night"
BYE += "|have a good one|catch you later|see you [next week|on Monday|soon]|till tomorrow]"

SMALL: tuple[tuple[str, str], ...] = (
    (f"{HELLO}[!|.||,] [novice|friend|bot|my friend|everyone|assistant|||||||][!|.||]", "HELLO"),
    (
        f"{HELLO}[!|.|,|] [novice|friend|bot|my friend|assistant|dear|buddy|mate||||||][!|.|,] "
        "[nice to meet you|good to see you|nice to see you|it is a [nice|lovely|fine|beautiful"
        "|sunny] day|what a [nice|lovely|fine|great] day|nice day today|lovely weather"
        "|nice weather today|glad to be here|i am new here|i am back|it is me again"
        "|pleased to meet you|long time no see"
        "|how nice to see you|this is my first time here|hope all is well|i hope you are well"
        "|have you got a minute|do you have time|the sun is shining|it is cold outside][!|.||?]",
        "HELLO",
    ),
    (
        f"{HELLO}[!|.|,|] [novice|friend|bot|you|dear||||||][!|.|,] "
        "[i hope|hope|hoping|i trust] [you|you all|your day|your [morning|week|evening]] "
        "[are well|is good|are fine|had a good [night|day|rest|weekend|trip]|is going well|are ok"
        "|had a quiet night|feel good|are doing fine|have had a nice [day|morning|week]|went well"
        "|are in a good mood|have a good time|woke up well|enjoyed the [sun|weekend|morning]]"
        "[!|.|]",
        "HELLO",
    ),
    (
        "[hello, |hi, |hey, |hi! |||][how are you|how are you doing|how are you today|how do you do"
        "|how's it going|how is it going|how are things|how do you feel|are you ok|are you well"
        "|are you fine|everything alright|what's up|whats up|sup|how have you been"
        "|how is your day|how was your day|how do you feel today|you good|how are you feeling"
        "|how does it go|is everything fine|are you doing well|how is life|how goes it|all good"
        "|what is new|how have things been|how was your morning|hope you are well"
        "|what's [new|happening|going on|the news with you|cooking]"
        "|how [is|are|'s] [life|the day|everything|your evening|your night|your week|the world"
        "|things with you|the mood] [treating you|going|looking|today|tonight|this morning|so far|]"
        "|how [are|do] you [feel|feeling|doing|keeping] [now|this [morning|evening]|today|lately]"
        "|are you having a [good|nice|fine] [day|evening|time]|did you [sleep|rest] well"
        "|how did you sleep|and how are you|feeling [good|well|fine]"
        "|how have you been [lately|doing]"
        "|all [well|fine|right] with you][?||??]",
        "[I am fine, thank you. How can I help you?|I am well, thanks. What can I do for you?]",
    ),
    (
        f"[ok|okay|great|good|oh|ah|wow|nice|perfect|lovely|||]{'[,|!|] '}[thanks|thank you"
        "|thanks a lot|thank you very much|thx|ty"
        "|many thanks|thank you so much|cheers|thanks for your help|thank you for the help"
        "|that was helpful|that helped|thanks for that|thanks a bunch|much appreciated"
        "|i appreciate it|thanks for everything|thank you kindly|thanks so much|thanks again"
        "|thank you for [all|this|that|the answer|your time|the story|the list|everything]"
        "|thanks for [all this|the answer|your time|the story|helping me]|you helped me a lot"
        "|thanks, that is [nice|very nice|kind|great|lovely|good|what i need]|i thank you"
        "|[thanks|thank you|thank you so much|thx|many thanks], [that|this|it|you] "
        "[was|is|were|are] [so|very|really|quite|] [kind|nice|useful|quick|sweet|good|helpful|clear"
        "|fast]"
        "|[i am|i'm] [so|very|really|] [grateful|thankful]|that was kind of you"
        "|[thanks|thank you] for [your|the|all the|such] [quick|kind|good|nice|fast|friendly] "
        "[help|answer|reply|words|work|chat]][!|.||] "
        "[novice|friend|you are great|bot|that helps|really||||||][!|.||]",
        "[You are welcome!|You are welcome. I am glad to help.|My pleasure!]",
    ),
    (
        f"[ok|okay|well|thanks|alright|that is all|that's all||]{'[,|] '}{BYE}"
        "[ then| for now| now| tomorrow| soon|||] [novice|friend|||||][!|.||]",
        "[Goodbye! Have a nice day.|Bye! Come back soon.|Goodbye! It was nice to talk to you.]",
    ),
    (
        f"{BYE}[!|.|,] [i have to go|it was nice talking to you|i am going home|i am off to bed"
        "|have a good night|have a nice evening|until tomorrow|it was fun|i have to work|stay well"
        "|i need to sleep|have a good day|my train is here|dinner is ready|it is late"
        "|look after yourself|take good care|be well|mind yourself|keep well|sleep tight"
        "|all the best"
        "|[i will|i'll|we will|we'll] [be back|talk|speak|meet|come back|see you|chat] "
        "[tomorrow|later|again|soon|next week|another day|some other time]][!|.||]",
        "[Goodbye! Have a nice day.|Bye! Come back soon.|Goodbye! It was nice to talk to you.]",
    ),
    (
        "[ok|okay|well|right|so|||][,|] [i have to go|i must go|i need to go|i am leaving|i'm off"
        "|gotta go|i am going to bed|time to sleep|i'm done|that is all for today"
        "|i am done for today|let's stop here|[it's|it is] [late|getting late|time to go|bedtime]"
        "|[i am|i'm] [heading|going|off|driving|walking] [home|to bed|to work|out|to school|away"
        "|to sleep]|my [bus|train|taxi|friend|mother|dinner] is [here|waiting|coming]"
        "|[i'll|i will|let me] [leave|go|stop|say goodbye|head off|sleep] [here|soon|]"
        "|i will come back later|talk to you later|i'll be back][ now||||][!|.||]",
        "[Goodbye! Have a nice day.|Bye! Come back soon.|Goodbye! It was nice to talk to you.]",
    ),
    (
        "[you are|you're|ur] [so |very |really ||][nice|kind|great|smart|clever|funny|cute|sweet"
        "|good|cool|awesome|the best|amazing|helpful|wonderful|a good bot|brilliant|lovely][!|.||]",
        "[Thank you, that is kind of you!|Thank you! You are kind too.]",
    ),
    (
        "[good job|well done|nice|great|perfect|excellent|cool|awesome|wow|very good|nice work"
        "|great job|good work|wonderful|bravo|that is right|correct|that's right|that is great"
        "|amazing|super|nice one|i like that|i like it|that was good|great answer|good answer"
        "|that's cool|love it|i love it][!|.||]",
        "[Thank you! What shall we do next?|Thanks! What else can I do for you?]",
    ),
    (
        "[i am|i'm|i feel|im] [so |very |a bit |really |||][sad|unhappy|down|lonely|upset|not happy"
        "|blue|depressed|not well|sick|ill|afraid|scared|worried|nervous|angry|mad"
        "|not feeling well|a little sad|low|heartbroken|terrible|bad|miserable|stressed|quite sad"
        "|a bit down|rather sad|pretty low|kind of sad|very upset|feeling down|feeling low]"
        "[ today| right now| now| this morning| tonight| because of my [work|exam|friend|dog|boss]"
        "| because of the [rain|news|weather|war|noise|cold]| since [yesterday|monday|last week]"
        "| because [my dog is ill|nobody called|i lost my keys|i failed|it rains|i am alone]"
        "| this [evening|afternoon|week]| these days| lately| about [it|all this|the news]"
        "| about my [work|exam|friend|dog|boss]|||][.|||:(]",
        "[I am sorry to hear that.|I am sorry to hear that. I hope you feel better soon.] "
        "[Shall I tell you a story?|Would you like a story?]",
    ),
    (
        "[i am|i'm|i feel|im] [so |very |really |||][happy|glad|great|fine|good|well|excited"
        "|fantastic|wonderful|okay|ok|not bad|doing well|cheerful|proud|super|delighted|pleased"
        "|quite happy|really happy|so glad|very well|in a good mood|thrilled|over the moon]"
        "[ today| right now| now| this morning| tonight| because of my [dog|exam|friend|trip"
        "|garden]| about my [dog|exam|friend|trip|new house|garden]||| too]"
        "[.||!]",
        "[I am glad to hear that!|That is good to hear!] [What can I do for you?|]",
    ),
    (
        "[i am|i'm|i feel|im] [so |very |a bit |really |||][tired|sleepy|exhausted|worn out]"
        "[ today| right now| now|||][.||!]",
        "[You should take a rest.|Then take a rest.|A short rest may help you.]",
    ),
    (
        "[i am|i'm|i feel|im] [so |very |a bit |really |||][bored|boring|getting bored]"
        "[ today| right now| now|||][.||!]",
        "[Shall I tell you a story? Just name a hero.|I can tell you a story or do sums with you.]",
    ),
    (
        "[i am|i'm|im] [so |very |a bit |really |||][hungry|thirsty|starving]"
        "[ today| right now| now|||][.||!]",
        "[Then you should have something to eat and drink.]",
    ),
    (
        "[sorry|i am sorry|my mistake|my bad|oops|excuse me|pardon|i apologize|oh sorry"
        "|sorry about that|forgive me][!|.||]",
        "[No problem at all.|That is all right.]",
    ),
    (
        "[that is wrong|that's wrong|wrong|no, that is wrong|this is not right|that is not right"
        "|not correct|incorrect|that's not correct|you are wrong|you made a mistake|bad answer"
        "|that was bad|no that's not it|you're wrong|this is bad][!|.||]",
        "[I am sorry. I am a tiny model and make mistakes.|I am sorry, I do make mistakes.]",
    ),
    (
        "[you are|you're|ur] [so |very |really |||][stupid|dumb|bad|useless|boring|annoying|silly"
        "|slow|an idiot|terrible|a bad bot|awful][!|.||]",
        "[I am sorry. I am a tiny model and make mistakes.|I am sorry, I do make mistakes.]",
    ),
    (
        "[tell me a joke|do you know a joke|say something funny|make me laugh|a joke please"
        "|can you tell a joke|got any jokes|joke|tell us a joke|i want a joke|another joke"
        "|can you tell me a joke|do you know any jokes|know any jokes|give me a joke"
        "|[can you|could you|please|will you|would you] [tell|crack|share|make] [me|us|] "
        "[a|a good|a short|a funny|one more|another|some] [joke|jokes]|[let's|let us] hear a joke"
        "|i [need|would like|'d like|could use] [a laugh|a joke|something funny|to laugh]"
        "|[tell me|say|have you got] something [funny|to make me laugh|to cheer me up]"
        "|[any|a] [good|funny|short] joke|cheer me up|be funny][?|.||!]",
        "[Why did the duck cross the road? To get to the pond!"
        "|What is black and white and red all over? A shy zebra!"
        "|Why did the clock go to school? It wanted to be on time!"
        "|What does a cat like to read? A mousepaper!]",
    ),
    (
        "[what can you do|what can you do for me|how can you help me|what are you able to do"
        "|what are your skills|help|help me|what do you know|what can i ask you|can you help me"
        "|what should i ask|what can i ask|what are you good at|show me what you can do"
        "|i need help|i need your help|can you do anything|what kind of things can you do"
        "|what can we do|what shall we do|what now|what are your abilities|can you help"
        "|tell me what you can do|what do you do|how do i use you|what things do you know"
        "|what else can you do|what are you capable of"
        "|[what|which] [kinds of |sort of ||][things|tasks|jobs|stuff|work] [can|could|do] you "
        "[do|help with|handle|manage|offer|help me with]"
        "|[tell me|show me|list|say] [what|the things|everything|all] you [can do|are able to do"
        "|could do for me|can help with|know how to do|offer]"
        "|[how|in what way] [could|might|would] you help [me|us|]|what is it that you can do"
        "|what [are|would be] the things [i can ask|you do|you know]|what do you offer"
        "|what [could|should|may] [i|we] [ask|ask you|try|do with you]][?||.]",
        "I can chat, add and subtract, spell words, write lists, JSON and short stories, copy and "
        "edit text, call tools, and tell you about Cloister.",
    ),
    (
        "[are you a robot|are you human|are you a human|are you real|are you a person"
        "|are you alive|are you a machine|am i talking to a human|are you an ai|are you a bot"
        "|is this a bot|is there a human|are you a computer|am i speaking to a person"
        "|do you have a body|do you have feelings|can you feel|are you a real person][?||.]",
        "[I am not a person. I am Novice, a tiny language model.|I am only a tiny language model.]",
    ),
    (
        "[how old are you|what is your age|when were you born|where do you live|where are you from"
        "|where are you|what's your age|whats your age|when is your birthday"
        "|what is your favourite food|do you eat|do you sleep|do you have friends"
        "|do you have a family|who are your parents|are you married|do you dream|do you like me"
        "|do you love me|what do you like|what is your favourite colour|do you get tired"
        "|what is your favorite movie|do you have a hobby|do you have pets][?||.]",
        "[I am only a tiny language model, so I do not have that.]",
    ),
    (
        "[yes|yes please|sure|yep|yeah|of course|ok|okay|alright|fine|ok then|sounds good|i see"
        "|got it|understood|right|hmm|interesting|good to know|aha|oh|i understand|makes sense"
        "|let's go|go on|nice to know|oh i see|ok got it][.||!]",
        "[Good. What would you like me to do?|All right. What can I do for you?]",
    ),
    (
        "[no|nope|no thanks|no thank you|not now|not really|nah|nothing|never mind|nevermind"
        "|no need|forget it|not today|no i am fine|nothing for now][.||!]",
        "[All right. Tell me if you need anything.|No problem. I am here if you need me.]",
    ),
    (
        "[let's talk|lets talk|talk to me|can we talk|i want to talk|let's chat|chat with me"
        "|say something|tell me something|speak to me|i want to chat|can we chat|do you want "
        "to talk"
        "|say hello|say hi|entertain me|are you there|are you listening|anyone there|anybody there"
        "|can you hear me|hello, is anyone there|you there|is anybody here|test|testing][?||.|!]",
        "[I am here and happy to talk. What shall we do?|I am here. What can I do for you?]",
    ),
)
GREETING = "[Hello! How can I help you?|Hi there! What can I do for you?|Hello! Nice to meet you.]"

OWN_NAME = (
    "[hi, |hello, |hey, |so |||||][who are you|what is your name|what's your name|whats your name"
    "|do you have a name|your name|tell me your name|what should i call you|what are you called"
    "|what do they call you|may i know your name|who am i talking to|who is this|what are you"
    "|how should i call you|can you tell me your name|introduce yourself|how are you called"
    "|please introduce yourself|who are u|tell me who you are|what do i call you"
    "|who am i speaking with|and you are|and what is your name|and who are you"
    "|[who|and who|so who|what] [exactly|actually|really|on earth|] are you[ exactly| really||]"
    "|[who|and who] [might|may|would] you be|what [might|may|would|could] your name be"
    "|[by |]what name [do you [go by|have|use|answer to]|were you given|should i use]"
    "|[is|do] [that|you] [your name|go by a name|have some name]|have you got a name"
    "|[who|whom] [am i|are we|do i] [talking|speaking|chatting|writing|talk|speak] [to|with]"
    "|[can|may|could] i [ask|have|know|hear] your name|got a name"
    "|[please|] [say|tell us|give me|let me know] your name[ again| please|]|name please"
    "|how do [people|they|others] call you][?||.]"
)
MY_NAME = (
    "[hi, |hello, |hey, |hello! |hi! |||||][my name is|i am|i'm|call me|you can call me|im"
    "|people call me|they call me|my name's|this is|please call me|the name is|i go by"
    "|my friends call me|everyone calls me|i am called|it's me,|well, i am|good day, i am"
    "|good morning, i'm|good evening, my name is|me? i am|allow me: i am] {name}[.|!||]"
    "[ nice to meet you.| how are you?| who are you?| pleased to meet you.| hello!"
    "| good to see you.||||||||||]"
)
RECALL = (
    "[do you remember my name|what is my name|what's my name|whats my name|who am i|say my name"
    "|do you know my name|tell me my name|can you remember my name|what was my name"
    "|what is my name again|can you tell me my name|did you remember my name"
    "|do you still know my name|you remember my name|can you recall my name"
    "|[do you|can you|you] [know|remember|recall|tell me|say] [who i am|what i am called"
    "|how i am called|what my name is|my name still]|[what|how] am i called|and my name is"
    "|have you forgotten my name|what did i say my name was|what do people call me"
    "|which name did i tell you|please [say|tell me|repeat] my name][?||.]"
)


def small_talk(rng: Random) -> list[Message]:
    """One exchange of small talk."""
    question, answer = rng.choice(SMALL)
    answer = GREETING if answer == "HELLO" else answer
    return [user(phrase(rng, question)), assistant(choose(rng, answer))]


def own_name(rng: Random, name: str) -> list[Message]:
    """The user asks who this is; the system prompt may have given a name."""
    answer = "I am {name}, a tiny language model." if name == "Novice" else "I am {name}."
    return [user(phrase(rng, OWN_NAME)), assistant(neat(rng, answer, name=name))]


def introduction(rng: Random, name: str) -> list[Message]:
    """The user tells a name."""
    said = name.lower() if rng.random() < 0.1 else name
    answer = "[Nice to meet you|Hello], {name}! [How can I help you?|What can I do for you?]"
    return [user(phrase(rng, MY_NAME, name=said)), assistant(neat(rng, answer, name=name))]


def recall(rng: Random, name: str) -> list[Message]:
    """The user asks for the name told before."""
    return [user(ask(rng, RECALL)), assistant(f"Your name is {name}.")]
