"""What novice knows about Cloister: one entry per fact, many ways to ask for it."""

from random import Random

from worker.novice.chat import Message, assistant, user
from worker.novice.corpus.phrase import ask, choose

TELL = "[tell me|explain|can you tell me|can you explain|do you know|i want to know|please tell me"
TELL += "|could you explain|could you tell me|i would like to know|teach me|show me|help me see]"
WHAT = "[what is|what's|whats|what does|explain|tell me about|describe|define|what exactly is"
WHAT += "|in short, what is|what do you know about|say something about|briefly, what is]"

FACTS: tuple[tuple[str, str], ...] = (
    (
        f"[{WHAT} [cloister|Cloister]|{TELL} [what cloister is|what Cloister is|about Cloister"
        "|something about Cloister|more about Cloister]|what kind of software is Cloister"
        "|what do you know about Cloister|have you heard of Cloister|what is this project"
        "|what is this software|what is Cloister about|can you describe Cloister"
        "|describe Cloister in one sentence|give me a summary of Cloister|what does Cloister do"
        "|what is Cloister for|what does Cloister mean|cloister|about Cloister][?||.]",
        "Cloister is confidential, OpenAI-compatible LLM serving. A controller routes requests to "
        "model workers that live in trusted execution environments.",
    ),
    (
        f"[how do i|how can i|how to|how should i|how do you|how would i|how does one|{TELL} "
        "how to]"
        " [start|run|launch|boot|start up|get started with|use|try|open|turn on|bring up"
        "|go about starting|get going with|set up|fire up|get|begin with|install and start]"
        " [cloister|Cloister|it|the server|this|the stack|the service|everything][?||.]",
        "Type `make run`. It starts Cloister, and the chat page opens in your browser.",
    ),
    (
        "[what does make run do|what is make run|what happens with make run|make run|explain "
        "make run"
        "|which command starts Cloister|what command starts it|which command starts the server"
        "|what do i type to start Cloister|what do i have to type to start it"
        "|what should i type to run it|the command to start Cloister"
        "|[what|which] [is the|] command [starts|runs|launches|to start|for starting] "
        "[it|Cloister|the [server|stack|chat|whole thing]]|[tell me|give me|show me|name] the "
        "[start command|command that starts [it|everything|Cloister]]][?||.]",
        "Type `make run`. It starts Cloister, and the chat page opens in your browser.",
    ),
    (
        f"[[how do i|how can i|how to|how should i|how would i|{TELL} how to] "
        "[test|run the tests of|run the tests for|check] [cloister|Cloister|it|everything|the code]"
        "|how do i run [the|all the|all] tests|what does make test do|which command runs the tests"
        "|how are the tests run|how can i run [the|all] tests|make test|how is Cloister tested"
        "|what do i type to test it|how do i know that it works|what is make test"
        "|[what|which] [is the|] command [tests|checks|runs the tests of|to test|for testing] "
        "[it|Cloister|everything|the code]|[tell me|give me|show me|name] the "
        "[test command|command for the tests|command that tests [it|Cloister]]"
        "|how to run the test suite|run the tests|how to run the tests][?||.]",
        "Type `make test`. It runs the tests of Cloister.",
    ),
    (
        f"[{WHAT} [the|a] controller|{TELL} what the controller [does|is]"
        "|what does [the|a] controller do|what is [the|a] controller [for|good for]"
        "|why is there a controller|what is the job of the controller|what is the controller's job"
        "|the controller|who routes the requests|what routes requests|what role has the controller"
        "|[what|which] [job|task|work|part|duty|purpose] [has|does|belongs to] the controller"
        "[ have| do| play||]|what do [we|you|i] need [a|the] controller for|why do you need a "
        "controller|what happens in the controller|how does the controller work"
        "|who finds a worker|what part routes the requests|what is the role of the "
        "controller][?||.]",
        "The controller finds a worker for each request and passes the bytes on. It need not read "
        "them.",
    ),
    (
        f"[{WHAT} [the|a] worker|{TELL} what [a|the] worker [does|is]|what does [the|a] worker do"
        "|what is [the|a] [model |]worker [for|good for]|what are [the |]workers|what do workers do"
        "|what is the job of a worker|the worker|what is a model worker|why are there workers"
        "|who runs the model|what part runs the model|which part runs the model"
        "|[what|which] [job|task|work|part|duty|purpose] [has|does|belongs to] [a|the] worker"
        "[ have| do| play||]|what do [we|you|i] need [a|the] worker for|why do you need "
        "workers|what happens in [a|the] worker|how does a worker work"
        "|what is the role of a worker|what are workers for][?||.]",
        "A worker is a complete OpenAI server with its own inference engine. It runs the model "
        "inside a trusted execution environment.",
    ),
    (
        "[where do [the |]workers [live|run|work]|where does [the|a] worker [live|run]"
        "|where does the model run|where is the model|where do the models run|where does it run"
        "|in what environment do workers run|where can a worker run|on which machines do "
        "workers run"
        "|on what hardware does it run|what hardware does Cloister need|which hardware is supported"
        "|which TEEs are supported|what TEEs does Cloister support|which enclaves does it support"
        "|what machines can i use|what environments are supported|where can i run a worker"
        "|which trusted execution environments does Cloister support][?||.]",
        "Workers live in trusted execution environments: Intel SGX with Gramine or Occlum, or "
        "TDX and SEV machines.",
    ),
    (
        f"[{WHAT} [a TEE|TEE|a trusted execution environment|an enclave|tee|enclaves"
        "|trusted execution environments]|what does TEE [mean|stand for]|what are TEEs"
        f"|{TELL} what [a TEE|an enclave] is|what do you mean by enclave|what are enclaves"
        "|what is an enclave good for|what is a TEE good for][?||.]",
        "A trusted execution environment, TEE for short, is a part of a machine that protects the "
        "program and data inside it from everyone outside.",
    ),
    (
        f"[{WHAT} [SGX|sgx|intel SGX|Intel SGX]|what does SGX mean|{TELL} what SGX is][?||.]",
        "Intel SGX makes enclaves: protected memory for one program. Cloister uses it through "
        "Gramine or Occlum.",
    ),
    (
        f"[{WHAT} [gramine|Gramine|occlum|Occlum|gramine and occlum|Gramine or Occlum]"
        "|what are Gramine and Occlum|what is Gramine for|what is Occlum for|why Gramine|why Occlum"
        "|what does Gramine do|what does Occlum do][?||.]",
        "Gramine and Occlum run ordinary programs inside Intel SGX enclaves. A Cloister worker can "
        "live in either.",
    ),
    (
        f"[{WHAT} [TDX|SEV|tdx|sev|TDX and SEV|Intel TDX|AMD SEV|TDX or SEV]"
        "|what are TDX and SEV|what does SEV mean|what does TDX mean][?||.]",
        "TDX from Intel and SEV from AMD protect whole virtual machines. A Cloister worker can "
        "live "
        "in one.",
    ),
    (
        "[is it confidential|is Cloister [safe|secure|private|confidential]|is my data [safe"
        "|private"
        "|secure|protected]|are my [prompts|messages|questions|data|chats] [safe|private|protected"
        "|secret]|can someone read my [messages|prompts|data|chats]|who can read my [prompts|data"
        "|messages|chats]|can the operator read my [prompts|data|messages]|how is my data protected"
        "|how does Cloister protect my data|why is it confidential|does anyone see my prompts"
        "|what makes it confidential|how does it keep my data secret|is this chat private"
        "|how private is it|do you store my data|is this conversation private"
        "|why is Cloister confidential|what does confidential mean|can anybody see what i write"
        "|does Cloister log my prompts|how does it keep secrets|is this secure"
        "|[can|could|will|does|may] [anyone|anybody|someone|somebody|other people|others"
        "|the [owner|company|admin|host|cloud]|a stranger|any person] [else |] [read|see|look at"
        "|know|get|spy on|find out] [what i [write|ask|say|send|type]|my [prompts|questions|words"
        "|messages|text|chats|input]|the [prompts|things|text|messages] [i [send|write|type]|]]"
        "|is [anyone|anybody|someone|somebody] [able to|going to|allowed to] [read|see|look at] "
        "[this|my [words|chats|text|messages|questions]]"
        "|[is|are|will] [what i [write|say|ask|type]|my [words|texts|questions|secrets]|the things"
        " i [say|tell you|ask|type]|this chat|it all] [be |stay |][kept |][private|secret|safe"
        "|confidential|protected|hidden|secure][ here||]|who [sees|reads|knows] "
        "[what i [write|say|send]|my [prompts|questions|messages]]][?||.]",
        "Your prompts are read only inside the worker's trusted execution environment. Prompts and "
        "answers are never written to logs.",
    ),
    (
        f"[{WHAT} [attestation|remote attestation]|how can i [trust|verify] [the|a] worker"
        "|how do i know the worker is [real|genuine|honest]|what does attestation [mean|do]"
        "|how does a client verify the worker|how do i verify it|why should i trust the worker"
        "|how is a worker verified|can i verify the worker|what is attestation good for"
        "|why attestation|how does attestation work|how do i check that the enclave is "
        "genuine][?||.]",
        "Attestation proves to a client which program runs in the enclave. The client verifies the "
        "worker before it sends anything.",
    ),
    (
        "[how can i [chat|talk] with [the|a] model|how can i talk to [it|you|the model]"
        "|how do i send [a request|requests|a message]|how do i ask it something"
        "|what clients [work|can i use]|which clients [work|can i use]|which clients does it "
        "support"
        "|how do i use the API|how do i connect [to it|to Cloister|]|how can i access Cloister"
        "|how do i call it from [python|code|my program]|can i use it from python"
        "|can i use [curl|the OpenAI SDK|python|my browser]|does it work with [curl|the OpenAI SDK"
        "|OpenAI clients|the OpenAI client]|can i use the openai library|how do i use it with "
        "python"
        "|how can my program talk to Cloister|which tools can i use to talk to it"
        "|does curl work|what can i use to send requests][?||.]",
        "Use the chat page in your browser, `curl`, or the OpenAI SDK: Cloister speaks the OpenAI "
        "API.",
    ),
    (
        "[is there a [chat page|web page|page|user interface|gui|web interface|website]"
        "|where is the chat page|what is the chat page|how do i open the chat page|do you have a ui"
        "|can i use a browser|is there a browser page|does it have a web page"
        "|can i chat in the browser|how do i chat in the browser|where can i chat"
        "|[is there|do you have|does it have|does Cloister offer|have you got] [a|any|some|no] "
        "[chat page|web page|page|window|screen|site|interface] [to chat|to talk to you"
        "|for chatting|for the browser|where i can [chat|type|write]|i can [open|use|visit|see]]"
        "|[can|could|may] i [open|use|visit|see] [it|a page|you|the chat] in [a|my|the] [web |]"
        "browser"
        "|does Cloister have a page to chat][?||.]",
        "Yes. After `make run` the chat page opens in your browser.",
    ),
    (
        "[how do i|how can i|how to|can i|how would i|is it possible to|what do i do to"
        "|i want to|what must i do to|i have a model, how can i] [serve|use|load|run|try|bring] "
        "[a real|another|my own|a bigger|a larger|a different|a better|my|some other|a proper] "
        "model"
        "[ with Cloister| in Cloister|||||][?||.]",
        "Use `cloister up --model FOLDER`, where FOLDER holds the files of a real model.",
    ),
    (
        "[what does cloister up do|what is cloister up|what does cloister up --model do|cloister up"
        "|which command serves a real model|which command loads another model|what is cloister "
        "up for"
        "|how do i change the model|how do i switch the model|can it serve other models"
        "|does Cloister support other models|can i change the model|which models can it serve"
        "|what models does Cloister support|can Cloister serve llama|does it run real models"
        "|what command serves my own model][?||.]",
        "Use `cloister up --model FOLDER`, where FOLDER holds the files of a real model.",
    ),
    (
        f"[{WHAT} [novice|Novice]|{TELL} what novice is|what is the novice model"
        "|what model [are you|is this]|which model [are you|is this]|what kind of model are you"
        "|which language model is this|what is the name of this model|what llm is this"
        "|tell me about yourself|tell me something about you|what is your model|describe yourself"
        "|are you chatgpt|are you gpt|are you llama|are you claude|are you qwen"
        "|what ai are you|tell me about you|are you a big model|what model do you use"
        "|which model do i talk to|are you a real llm][?||.]",
        "I am Novice, the tiny demonstration model that ships with Cloister.",
    ),
    (
        "[how [big|large|small] are you|how many parameters do you have|what is your size"
        "|how many parameters|how big is [novice|this model|the model]|how large is the model"
        "|how many weights do you have|are you small|are you large|why are you so small"
        "|what size is the model|how small is novice|how many parameters does novice have][?||.]",
        "I have about four million parameters. That is very small for a language model.",
    ),
    (
        "[how were you [trained|made|built]|what were you trained on|what is your training data"
        "|who [made|trained|built|created] you|where do you come from|how did you learn"
        "|what data did you learn from|what did you learn from|what do you learn from"
        "|how long were you trained|where does your knowledge come from|who created novice"
        "|how was novice trained|what is novice trained on|where did you learn this"
        "|who is your maker|how was this model made|who is your creator][?||.]",
        "I was trained from nothing on a small made-up corpus that comes with Cloister.",
    ),
    (
        "[why are you so [dumb|limited|bad|weak|simple]|are you [smart|clever|intelligent]"
        "|what are your limits|what can you not do|what can't you do|what are you bad at"
        "|can i trust your answers|do you make mistakes|are your answers correct"
        "|should i trust you|how good are you|are you reliable|can i use you for real work"
        "|is novice any good|are you as good as chatgpt|what is novice not good at][?||.]",
        "I am a tiny demonstration model, so I make mistakes. For real work, serve a real "
        "model with "
        "`cloister up --model FOLDER`.",
    ),
    (
        "[is Cloister [free|open source|open]|what [license|licence] does [Cloister|it] [use|have]"
        "|what is the [license|licence]|can i use it for free|how much does [it|Cloister] cost"
        "|do i have to pay|what does it cost|under which license is it|may i use it at work"
        "|does Cloister cost money][?||.]",
        "Cloister is open source under the Apache 2.0 license.",
    ),
    (
        "[what [api|API] does [Cloister|it] [speak|use|have|offer]|is it OpenAI compatible"
        "|is [Cloister|it] compatible with [openai|OpenAI]|does it speak the OpenAI API"
        "|which API|what is the API|what does OpenAI-compatible mean|what protocol does it use"
        "|what does openai compatible mean|what interface does it offer][?||.]",
        "Cloister speaks the OpenAI API, so clients made for OpenAI work with it.",
    ),
    (
        "[what [language|programming language] is [Cloister|it] written in"
        "|in which language is it written|is it written in python|what is Cloister written in"
        "|is Cloister written in python|what is it made with|which language does Cloister "
        "use][?||.]",
        "Cloister is written in Python.",
    ),
    (
        "[can you [call|use] tools|do you support tools|do you know tool calling"
        "|do you support function calling|can you call functions|how do tools work"
        "|what about tool calls|does novice call tools|are tools supported][?||.]",
        "Yes. Offer me tools with your request and I call the one that fits.",
    ),
    (
        "[does it need a GPU|do i need a GPU|does Cloister need a gpu|can it use a gpu"
        "|can Cloister use a GPU|does it run on cpu|is a GPU required|what is split execution"
        "|what does split mean|how does the split mode work|can it run without a gpu"
        "|what does split execution do|does it work without a GPU|how does Cloister use a "
        "GPU][?||.]",
        "No GPU is needed. In split execution an untrusted GPU can compute on masked values while "
        "the secrets stay inside.",
    ),
    (
        "[what is parallel execution|what does parallel mean|what does parallel execution do"
        "|can several machines share a model|can it run on several machines|is parallel supported"
        "|what are the executions|what executions are there|which executions does a worker have"
        "|how can a worker run a model|what modes are there][?||.]",
        "There are three executions: local keeps everything inside, split uses an untrusted GPU, "
        "and parallel shares a model among several machines.",
    ),
)


def about(rng: Random) -> list[Message]:
    """One question about Cloister or novice."""
    question, answer = rng.choice(FACTS)
    return [user(ask(rng, question)), assistant(choose(rng, answer))]
