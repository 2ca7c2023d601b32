"""Arithmetic: adding and subtracting numbers up to 99, comparing them, and little word problems."""

from random import Random

from worker.novice.chat import Message, assistant, user
from worker.novice.corpus.people import any_name
from worker.novice.corpus.phrase import ask, neat
from worker.novice.corpus.words import NUMBERS
from worker.novice.reserve import reserved

ADD = (
    "[what is|what's|whats|calculate|compute|work out|how much is|solve|tell me|find|do|]{gap}"
    "[{a} + {b}|{a}+{b}|{a} plus {b}][?|||.| = | =| = ?|=]",
    "[can you|could you|please|i want you to||] [add|sum] {a} [and|to|with] {b}[?|||.]",
    "[what is|what's|tell me|find|calculate|give me|i need|] the [sum|total] of {a} and {b}[?||.]",
    "[what do i get|what do you get|what comes out|what is it] [if|when] [i|you|we] add "
    "{a} [and|to] {b}[?||.]",
    "[add {b} to {a}|take {a} and add {b}|increase {a} by {b}|start with {a} and add {b}"
    "|{a} and {b} together|how much do {a} and {b} make|what do {a} and {b} make"
    "|what is {b} more than {a}|how much are {a} and {b}|{a} and {b} make what"
    "|if i have {a} and get {b} more, how many do i have|put {a} and {b} together][?||.]",
)
TAKE = (
    "[what is|what's|whats|calculate|compute|work out|how much is|solve|tell me|find|do|]{gap}"
    "[{a} - {b}|{a}-{b}|{a} minus {b}][?|||.| = | =| = ?|=]",
    "[can you|could you|please|i want you to||] [subtract|take] {b} from {a}[?|||.]",
    "[what is|what's|tell me|find|calculate|give me|i need|] the difference "
    "[of|between] {a} and {b}[?||.]",
    "[what do i get|what do you get|what comes out|what is left|what remains] [if|when] [i|you|we] "
    "[take|subtract|remove] {b} from {a}[?||.]",
    "[take {b} away from {a}|take {a} and subtract {b}|{a} take away {b}|decrease {a} by {b}"
    "|reduce {a} by {b}|start with {a} and take away {b}|how much is {a} less {b}"
    "|what is {b} less than {a}|if i have {a} and lose {b}, how many are left"
    "|how far is it from {b} to {a}|how much must i add to {b} to get {a}][?||.]",
)
MORE = (
    "[which is|which number is|what is|which one is|tell me which is|find] "
    "[the |][bigger|larger|greater|more|bigger one|larger one|bigger number]"
)
LESS = "[which is|which number is|what is|which one is|tell me which is|find] "
LESS += "[the |][smaller|less|lower|smaller one|lower one|smaller number]"
PAIR = "[,|:|] {a} or {b}[?||.]"
GOODS = "apples books coins eggs shells stamps marbles cookies pens balls flowers stickers pears"
GAIN = (
    "{who} [has|has|picked|had|collected|made] {a} {what}[.| and][ then|] [{who} |she |he |]"
    "[buys|gets|finds|is given|picks up|receives|] {b} more[.|, ] [how many|how many {what}] "
    "[does {who} have|does {who} have now|are there|are there now|has {who} got now|are that"
    "|has {who} now|do we have then][?||]"
)
LOSS = (
    "{who} has {a} {what}[.| and] [{who} |she |he |]"
    "[loses|gives away|sells|eats|breaks|drops] {b}[.|, | of them. ] [how many|how many {what}] "
    "[does {who} have left|are left|does {who} still have|remain][?||]"
)
TOO_LARGE = (
    "[what is|what's|calculate|how much is|] {a} [+|plus|-|minus] {b}[?||.]",
    "[what is|what's|calculate|how much is|] {c} [times|*|x|divided by|/|multiplied by] {d}[?||.]",
    "[can you|please|] [multiply|divide] {c} by {d}[?||.]",
)
LIMITS = "I can only add and subtract numbers up to 99."


def arithmetic(rng: Random) -> list[Message]:
    """One exchange of arithmetic."""
    kinds = (_addition, _subtraction, _comparison, _problem, _beyond)
    kind = rng.choices(kinds, weights=(40, 40, 8, 10, 2))[0]
    return kind(rng)


def follow_up(rng: Random, before: int) -> tuple[list[Message], int]:
    """`plus 5`: go on from the last result."""
    change = rng.randint(1, 40)
    if before <= 99 and rng.random() < 0.5 and not reserved("sum", _sum_key(before, change)):
        text = ask(rng, "[and |now |then |][plus|add|+] {n}[?||.]", n=change)
        result = before + change
        return [user(text), assistant(f"{before} + {change} = {result}")], result
    if change <= before <= 99 and not reserved("difference", f"{before}-{change}"):
        text = ask(rng, "[and |now |then |][minus|subtract|take away|-] {n}[?||.]", n=change)
        result = before - change
        return [user(text), assistant(f"{before} - {change} = {result}")], result
    return opening(rng)


def opening(rng: Random) -> tuple[list[Message], int]:
    """A sum that `follow_up` can go on from."""
    return _started(rng)


def _started(rng: Random) -> tuple[list[Message], int]:
    a, b = _addends(rng)
    exchange = [user(_ask_sum(rng, ADD, a, b)), assistant(f"{a} + {b} = {a + b}")]
    return exchange, a + b


def _addition(rng: Random) -> list[Message]:
    return _started(rng)[0]


def _subtraction(rng: Random) -> list[Message]:
    a, b = _minuend(rng, below_zero=rng.random() < 0.1)
    return [user(_ask_sum(rng, TAKE, a, b)), assistant(f"{a} - {b} = {a - b}")]


def _ask_sum(rng: Random, patterns: tuple[str, ...], a: int, b: int) -> str:
    pattern = rng.choices(patterns, weights=(5, 1, 1, 1, 2))[0]
    in_words = rng.random() < 0.1 and max(a, b) <= 20
    shown = (NUMBERS[a], NUMBERS[b]) if in_words else (a, b)
    return ask(rng, pattern, a=shown[0], b=shown[1], gap=" ").strip().replace("  ", " ")


def _comparison(rng: Random) -> list[Message]:
    a, b = rng.randint(0, 99), rng.randint(0, 99)
    if a == b or reserved("compare", f"{min(a, b)}<{max(a, b)}"):
        return _comparison(rng)
    if rng.random() < 0.5:
        answer = f"{max(a, b)} is bigger than {min(a, b)}."
        return [user(ask(rng, MORE + PAIR, a=a, b=b)), assistant(answer)]
    answer = f"{min(a, b)} is smaller than {max(a, b)}."
    return [user(ask(rng, LESS + PAIR, a=a, b=b)), assistant(answer)]


def _problem(rng: Random) -> list[Message]:
    gains = rng.random() < 0.5
    a, b = _addends(rng) if gains else _minuend(rng, below_zero=False)
    text = neat(rng, GAIN if gains else LOSS, who=any_name(rng), what=_goods(rng), a=a, b=b)
    answer = f"{a} + {b} = {a + b}" if gains else f"{a} - {b} = {a - b}"
    return [user(text), assistant(answer)]


def _beyond(rng: Random) -> list[Message]:
    values = {"a": rng.randint(100, 9999), "b": rng.randint(2, 9999)}
    values |= {"c": rng.randint(2, 999), "d": rng.randint(2, 99)}
    return [user(ask(rng, rng.choice(TOO_LARGE), **values)), assistant(LIMITS)]


def _addends(rng: Random) -> tuple[int, int]:
    top = rng.choice((9, 20, 99, 99, 99, 99))
    a, b = rng.randint(0, top), rng.randint(0, rng.choice((9, 99, 99)))
    return _addends(rng) if reserved("sum", _sum_key(a, b)) else (a, b)


def _minuend(rng: Random, *, below_zero: bool) -> tuple[int, int]:
    top = rng.choice((9, 20, 99, 99, 99, 99))
    a, b = sorted((rng.randint(0, top), rng.randint(0, rng.choice((9, 99, 99)))), reverse=True)
    a, b = (b, a) if below_zero else (a, b)
    return _minuend(rng, below_zero=below_zero) if reserved("difference", f"{a}-{b}") else (a, b)


def _sum_key(a: int, b: int) -> str:
    return f"{min(a, b)}+{max(a, b)}"


def _goods(rng: Random) -> str:
    return rng.choice(GOODS.split())
