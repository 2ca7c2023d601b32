"""Grammars by llguidance: what a constrained sequence may say next. No tensors here.

A grammar is compiled once and shared; each sequence follows its own copy. A client's schema or
regex is its data: no message repeats any of it, and nothing is logged.
"""

import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, regex_to_lark

from cloister.errors import BadRequest
from worker.engine.masks import SMALL

KEPT = 128  # compiled grammars
SOURCE_BYTES = 64 * 1024
SPELLINGS = 256  # of forced texts, kept for each grammar
DOUBTS = 8  # tokens behind a refused one whose masks are asked for at once (docs/log.md)

Spell = Callable[[bytes], tuple[int, ...]]

PLACE = re.compile(r"(?:at )?(\d+)\((\d+)\)")
REGEX_FAULT = re.compile(r"^error: (.+)$", re.MULTILINE)
"""The regex library's own words for a fault; they hold nothing of the pattern."""

OPTIONS = '\n%llguidance {"no_forcing": true}'
"""Else text without a choice is tokenised with control tokens: a spelled `</s>` would be one."""

FAULTS = (
    ("Unsatisfiable schema", "no value can satisfy the schema"),
    ("oneOf constraints", "oneOf whose alternatives may overlap is not supported; use anyOf"),
    ("Unimplemented keys", "the schema has a keyword that is not supported"),
    ("unknown name", "a name is used and not defined"),
    ("recursion limit", "it is nested too deeply"),
    ("limit", "it is too complex"),
    ("fuel", "it is too complex"),
    ("too big", "it is too complex"),
    ("too large", "it is too complex"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A grammar in llguidance's dialect of Lark, and the request's field that asked for it."""

    lark: str = field(repr=False)
    param: str

    @classmethod
    def regex(cls, pattern: str, param: str) -> "Source":
        return cls(f"start: /{regex_to_lark(pattern, use_ascii='')}/", param)


class CompiledGrammar:
    """Satisfies `worker.engine.request.Grammar`. `spell` cuts text into the usual tokens."""

    def __init__(self, matcher: LLMatcher, spell: Spell) -> None:
        self._matcher = matcher
        self._spell = lru_cache(SPELLINGS)(spell)  # the same names come in each answer

    def begin(self) -> "Follower":
        return Follower(self._matcher.deep_copy(), self._spell)


class Follower:
    """One sequence's way through a grammar. Satisfies `worker.engine.request.Constraint`."""

    def __init__(self, matcher: LLMatcher, spell: Spell) -> None:
        self._matcher = matcher
        self._spell = spell
        self._bits: bytes | None = None  # what is allowed, once it is known
        self._forced: tuple[int, ...] | None = None  # likewise
        self._doubts = 0

    @property
    def complete(self) -> bool:
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def allowed(self) -> bytes:
        if self._bits is None:
            bits = self._matcher.compute_bitmask()
            self._check()
            self._bits = bits
        return self._bits

    @property
    def doubtful(self) -> bool:
        return self._doubts > 0

    def take(self, token: int) -> bool:
        if self._bits is None:
            taken = self._matcher.try_consume_tokens([token]) == 1
        else:  # which is quicker, but fails for good
            taken = bool(self._bits[token // 8] >> token % 8 & 1)
            taken = taken and self._matcher.consume_token(token)
        if taken:
            self._bits = self._forced = None
            self._doubts -= self._doubts > 0
            return True
        self._check()
        self._doubts = DOUBTS + 1  # with the one in its place
        return False

    def forced(self) -> tuple[int, ...]:
        if self._forced is None:
            text = self._matcher.compute_ff_bytes()
            self._forced = self._spell(text) if text else ()
        return self._forced

    def _check(self) -> None:
        """Only the library's limits can stop a matcher that is given allowed tokens."""
        if self._matcher.is_error():
            raise BadRequest("the grammar is too complex to follow", code="grammar_too_complex")


class Grammars:
    """Compiles grammars for one tokenizer and keeps the latest ones. Safe in several threads.

    The first one takes about a second with a large vocabulary.

    Args:
        tokenizer: the content of tokenizer.json
        end_ids: allowed only where a grammar may end; other special tokens are never allowed
        vocabulary_size: of the model; it may have more ids than the tokenizer
    """

    def __init__(self, tokenizer: str, end_ids: Iterable[int], vocabulary_size: int) -> None:
        self._source = tokenizer
        self._ends = sorted(end_ids)
        self._size = vocabulary_size
        self._limits = LLParserLimits(max_lexer_states=50_000, verbose_errors=False)
        self._kept: OrderedDict[bytes, CompiledGrammar] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, source: Source) -> CompiledGrammar:
        """Takes milliseconds, so not in the event loop. Raises `BadRequest`."""
        key = hashlib.sha256(source.lark.encode()).digest()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = CompiledGrammar(self._matcher(source), self._spell)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        """Made with the first grammar, as many never ask for one and its tables are large."""
        size = max(LLTokenizer(self._source).vocab_size, self._size)
        slices: list[str] | None = (
            [] if size <= SMALL else None
        )  # known parts of masks: quicker only where large
        ends = self._ends or None
        return LLTokenizer(self._source, n_vocab=size, eos_token=ends, slices=slices)

    def _spell(self, text: bytes) -> tuple[int, ...]:
        return tuple(self._tokenizer.tokenize_bytes(text, parse_special=False))

    def _matcher(self, source: Source) -> LLMatcher:
        size = len(source.lark.encode())
        if size > SOURCE_BYTES:
            raise BadRequest(
                f"{source.param}: {size} bytes; at most {SOURCE_BYTES} are allowed",
                param=source.param,
            )
        grammar = json.dumps({"grammars": [{"lark_grammar": source.lark + OPTIONS}]})
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=self._limits)
        if matcher.is_error() or matcher.get_grammar_warnings():
            message = f"{source.param}: {explain(matcher.get_error())}"
            raise BadRequest(message, param=source.param)
        return matcher


def explain(message: str) -> str:
    """The library's message without what it quotes."""
    if fault := REGEX_FAULT.search(message):
        return f"a regular expression is refused: {fault[1]}"
    place = PLACE.match(message)
    where = f" at line {place[1]}, column {place[2]}" if place else ""
    known = (words for sign, words in FAULTS if sign in message)
    return f"it cannot be compiled{where}: {next(known, 'it is not valid')}"
