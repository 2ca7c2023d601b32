"""Answers that are held to a grammar are valid or cut by their limit, whatever the model says.

The model's logits are random, so nothing but the grammar makes an answer valid.
"""

import json
import random
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from tokenizers import Tokenizer as Encoder

from cloister.errors import BadRequest
from tests.engine.conftest import Answer
from tests.engine.fakes import PagedModel
from tests.fakes.vocabulary import byte_tokenizer, llama2_tokenizer, write_folder
from worker.api.structure import json_rule
from worker.api.tokenizer import Tokenizer
from worker.engine.choices import choose
from worker.engine.drafts import OFF, Drafter, Forced, Lookup
from worker.engine.engine import InferenceEngine
from worker.engine.grammar import DOUBTS, Grammars, Source
from worker.engine.limits import Limits
from worker.engine.masks import SMALL
from worker.engine.masks import Masks as Ahead
from worker.engine.request import Constraint, Finish, Grammar, Request, Sampling, Token
from worker.engine.sampler import Pick
from worker.kernels.draw import Masks, Rule, draw

SCHEMAS: dict[str, Any] = {
    "any": {},
    "true": True,
    "object": {"type": "object", "maxProperties": 2},
    "flat": {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    "optional": {
        "properties": {key: {"type": "boolean"} for key in "abc"},
        "additionalProperties": False,
        "type": "object",
    },
    "extra": {"type": "object", "additionalProperties": {"type": "null"}, "maxProperties": 3},
    "required extra": {
        "type": "object",
        "required": ["x"],
        "additionalProperties": {"type": "boolean"},
        "maxProperties": 2,
    },
    "pattern properties": {
        "type": "object",
        "patternProperties": {"^k[0-9]$": {"type": "integer"}},
        "additionalProperties": False,
        "maxProperties": 3,
    },
    "counted properties": {
        "type": "object",
        "additionalProperties": {"const": 1},
        "minProperties": 1,
        "maxProperties": 2,
    },
    "nested": {
        "type": "object",
        "properties": {
            "a": {
                "type": "object",
                "properties": {"b": {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 3}},
                "required": ["b"],
                "additionalProperties": False,
            }
        },
        "required": ["a"],
        "additionalProperties": False,
    },
    "enum": {"enum": ["red", "grün", 3, None, True, {"a": [1]}]},
    "const": {"const": {"deep": ["x", 1.5]}},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "types": {"type": ["integer", "null"]},
    "integer": {"type": "integer", "minimum": -5, "maximum": 250},
    "exclusive": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3},
    "number": {"type": "number", "minimum": 0.5, "maximum": 2.25},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 700},
    "string": {"type": "string", "minLength": 2, "maxLength": 5},
    "pattern": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2,4}$"},
    "loose pattern": {"type": "string", "pattern": "[xy]z", "maxLength": 9},
    "unicode": {"type": "string", "pattern": "^[äöü€👍]{1,6}$"},
    **{
        f"format {name}": {"type": "string", "format": name}
        for name in ("date", "time", "date-time", "uuid", "ipv4", "email", "duration")
    },
    "array": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 4},
    "tuple": {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "boolean"}],
        "items": False,
        "minItems": 2,
    },
    "tuple and more": {
        "type": "array",
        "prefixItems": [{"const": "a"}],
        "items": {"type": "null"},
        "maxItems": 3,
    },
    "any of": {"anyOf": [{"type": "integer", "maximum": 9}, {"type": "boolean"}]},
    "one of": {"oneOf": [{"type": "boolean"}, {"type": "null"}]},
    "union by tag": {
        "oneOf": [
            {
                "type": "object",
                "properties": {"kind": {"const": kind}, "value": {"type": value}},
                "required": ["kind", "value"],
                "additionalProperties": False,
            }
            for kind, value in (("n", "null"), ("b", "boolean"))
        ]
    },
    "all of": {
        "allOf": [{"type": "integer", "minimum": 3}, {"maximum": 8}],
    },
    "reference": {
        "$defs": {"colour": {"enum": ["red", "blue"]}},
        "type": "array",
        "items": {"$ref": "#/$defs/colour"},
        "maxItems": 3,
    },
    "recursive": {
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {"left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
                "required": ["left"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/tree",
    },
    "recursive root": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2},
    "annotated": {"title": "t", "description": "d", "default": 1, "type": "boolean"},
    "quoted names": {
        "type": "object",
        "properties": {'a"b\\c\n': {"const": "\u2028</s>"}},
        "required": ['a"b\\c\n'],
        "additionalProperties": False,
    },
}


class Bench:
    """An engine with random logits and a real tokenizer."""

    def __init__(
        self, encoder: Encoder, folder: Path, eos: str, drafter: Drafter, **options: int
    ) -> None:
        self.tokenizer = Tokenizer.load(write_folder(folder, encoder, eos=eos))
        self.model = PagedModel(**{"page_count": 4000, "context_length": 1000, **options})
        self.model.vocabulary_size = self.tokenizer.size + 5  # padded, as many models are
        ends = self.tokenizer.end_ids
        self.grammars = Grammars(self.tokenizer.source, ends, self.model.vocabulary_size)
        self.engine = InferenceEngine(self.model, self.tokenizer, Limits(sequences=64), drafter)

    def lark(self, grammar: str) -> Grammar:
        return self.grammars.compile(Source(grammar, "grammar"))

    def schema(self, schema: Any) -> Grammar:
        return self.lark(f"start: {json_rule(schema)}")

    def request(self, grammar: Grammar | None, name: str = "a", **options: Any) -> Request:
        sampling = Sampling(**{"seed": 1, **options.pop("sampling", {})})
        values = {"max_tokens": 300, "prompt": (9, 8, 7), **options}
        ends = self.tokenizer.end_ids
        return Request(name, sampling=sampling, stop_ids=ends, grammar=grammar, **values)

    def run(self, *requests: Request) -> list[list[Token]]:
        """Submit all before the first step, then start and wait for all."""
        answers = [Answer() for _ in requests]
        for request, answer in zip(requests, answers, strict=True):
            self.engine.submit(request, answer.events.put)
        self.engine.start()
        tokens = [answer.wait() for answer in answers]
        self.engine.check()
        return tokens


MakeBench = Callable[..., Bench]
KINDS = {"bytes": (byte_tokenizer, "<|im_end|>"), "sentencepiece": (llama2_tokenizer, "</s>")}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(kind: str = "bytes", drafter: Drafter = OFF, **options: int) -> Bench:
        encoder, eos = KINDS[kind]
        made.append(Bench(encoder(), tmp_path / str(len(made)), eos, drafter, **options))
        return made[-1]

    yield make
    for one in made:
        one.engine.close()


def text(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0, "frequency_penalty": 1.5}])
def test_random_answers_are_valid_or_cut(
    kind: str, sampling: dict[str, float], bench: MakeBench
) -> None:
    it = bench(kind)
    checks = jsonschema.Draft202012Validator.FORMAT_CHECKER
    asked = [
        it.request(it.schema(schema), f"{name} {seed}", sampling={**sampling, "seed": seed})
        for name, schema in SCHEMAS.items()
        for seed in range(3)
    ]
    whole = 0
    for request, tokens in zip(asked, it.run(*asked), strict=True):
        if tokens[-1].finish is Finish.STOP:
            whole += 1
            schema = SCHEMAS[request.id.rpartition(" ")[0]]
            jsonschema.validate(
                json.loads(text(tokens)),
                schema,
                jsonschema.Draft202012Validator,
                format_checker=checks,
            )
        else:
            assert len(tokens) == request.max_tokens
    assert whole > len(asked) * 2 / 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pattern", ["(he|the) ?[a-e]{2,5}", " x", "a*b", r"[0-9]{3}|[äß👍]+\."])
def test_regex_is_matched(kind: str, pattern: str, bench: MakeBench) -> None:
    it = bench(kind)
    grammar = it.grammars.compile(Source.regex(pattern, "regex"))
    requests = [it.request(grammar, f"{seed}", sampling={"seed": seed}) for seed in range(5)]
    for tokens in it.run(*requests):
        assert tokens[-1].finish is Finish.STOP
        assert re.fullmatch(pattern, text(tokens))


def test_lark_grammar_is_followed(bench: MakeBench) -> None:
    it = bench()
    sums = it.lark('start: NUMBER ("+" NUMBER)*\nNUMBER: /[1-9][0-9]{0,2}/')
    requests = [it.request(sums, f"{seed}", sampling={"seed": seed}) for seed in range(5)]
    for tokens in it.run(*requests):
        assert sum(map(int, text(tokens).split("+"))) > 0


def test_answer_stops_as_soon_as_only_an_end_could_follow(bench: MakeBench) -> None:
    it = bench()
    [tokens] = it.run(it.request(it.lark('start: "yes" | "no"')))
    assert text(tokens) in ("yes", "no")
    assert len(tokens) == len(text(tokens)), "no end token was computed for nothing"


def test_limit_cuts_and_says_so(bench: MakeBench) -> None:
    it = bench()
    [tokens] = it.run(it.request(it.lark("start: /a{50}/"), max_tokens=7))
    assert (text(tokens), tokens[-1].finish) == ("a" * 7, Finish.LENGTH)


def test_free_sequence_does_not_notice_its_neighbour(bench: MakeBench) -> None:
    alone, together = bench(), bench()
    [expected] = alone.run(alone.request(None, max_tokens=40))
    held = together.request(together.schema(SCHEMAS["nested"]), "held")
    free = together.request(None, max_tokens=40)
    assert together.run(held, free)[1] == expected


def test_preempted_sequences_say_the_same(bench: MakeBench) -> None:
    roomy, narrow = bench(), bench(page_count=16, page_size=4, context_length=64)
    lark = 'start: ("ab" | "cd" | "e"){30}'

    def asked(it: Bench) -> list[Request]:
        grammar = it.lark(lark)
        return [
            it.request(grammar, f"{seed}", max_tokens=61, sampling={"seed": seed})
            for seed in range(4)
        ]

    expected = [[token.id for token in tokens] for tokens in roomy.run(*asked(roomy))]
    assert [[token.id for token in tokens] for tokens in narrow.run(*asked(narrow))] == expected
    assert narrow.engine._scheduler.preemptions > 0


def test_forced_text_is_allowed_and_asking_changes_no_mask(bench: MakeBench) -> None:
    it = bench()
    grammar = it.schema(SCHEMAS["flat"])
    silent, asked, forced = grammar.begin(), grammar.begin(), 0
    for id in it.tokenizer.encode('{"name":"x","age":7}', add_special_tokens=False):
        guesses = asked.forced()
        forced += len(guesses)
        size = it.model.vocabulary_size
        assert not guesses or guesses[0] in allowed_ids(asked, size)
        assert silent.allowed() == asked.allowed()
        assert silent.take(id)
        assert asked.take(id)
    assert forced > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_spelled_control_token_is_guessed_in_vain(kind: str, bench: MakeBench) -> None:
    said = "a</s><|im_end|>"
    plain, drafted = bench(kind), bench(kind, drafter=Forced(Lookup(4)))
    for it in (plain, drafted):
        [tokens] = it.run(it.request(it.schema({"const": said})))
        assert json.loads(text(tokens)) == said
    assert drafted.engine.load().accepted_tokens > 0


def allowed_ids(constraint: Constraint, size: int) -> list[int]:
    bits = int.from_bytes(constraint.allowed(), "little")
    return [id for id in range(size) if bits >> id & 1]


class Failing:
    """Rules that cannot be followed from the third token on."""

    complete = False
    doubtful = False

    def __init__(self) -> None:
        self.accepted = 0

    def begin(self) -> "Failing":
        return Failing()

    def allowed(self) -> bytes:
        if self.accepted == 2:
            raise BadRequest("too complex")
        return b"\xff" * 40

    def take(self, token: int) -> bool:
        self.allowed()
        self.accepted += 1
        return True


def test_grammar_that_fails_ends_its_own_sequence_alone(bench: MakeBench) -> None:
    it = bench()
    failing, well = Answer(), Answer()
    it.engine.submit(it.request(Failing(), "failing"), failing.events.put)
    it.engine.submit(it.request(it.lark("start: /b{20}/"), "well"), well.events.put)
    it.engine.start()
    with pytest.raises(BadRequest, match="too complex"):
        failing.wait()
    assert text(well.wait()) == "b" * 20
    it.engine.check()


def test_dead_end_ends_its_own_sequence_alone(bench: MakeBench) -> None:
    class DeadEnd(Failing):
        def begin(self) -> "DeadEnd":
            return DeadEnd()

        def allowed(self) -> bytes:
            return b"\0" * 40

        def take(self, token: int) -> bool:
            return False

    it = bench()
    dead, well = Answer(), Answer()
    it.engine.submit(it.request(DeadEnd(), "dead"), dead.events.put)
    it.engine.submit(it.request(None, "well", max_tokens=9), well.events.put)
    it.engine.start()
    with pytest.raises(Exception, match="no token to choose"):
        dead.wait()
    assert len(well.wait()) == 9


class Held(Failing):
    """Rules that are known only when the test says so."""

    def __init__(self, known: threading.Event) -> None:
        super().__init__()
        self.known = known

    def allowed(self) -> bytes:
        assert self.known.wait(20)
        return b"\xff" * (SMALL + 8)


def test_masks_of_a_large_vocabulary_are_made_while_the_model_computes() -> None:
    known = threading.Event()
    masks = Ahead(8 * SMALL)
    made = masks.begin([Held(known)])
    assert not made.done(), "the caller goes on meanwhile"
    known.set()
    made.result(20)
    masks.close()


def test_masks_of_a_small_vocabulary_are_not_made_ahead() -> None:
    assert Ahead(100).begin([Held(threading.Event())]).done()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["nested", "number", "unicode", "quoted names", "format date"])
def test_what_is_taken_is_what_is_allowed(kind: str, name: str, bench: MakeBench) -> None:
    """So a choice may be tried before its mask is made; a refused token changes nothing."""
    it = bench(kind)
    tried, asked = (it.schema(SCHEMAS[name]).begin() for _ in range(2))
    chooser, size = random.Random(name), it.model.vocabulary_size
    while not asked.complete:
        allowed = set(allowed_ids(asked, size))
        forbidden = sorted(set(range(size)) - allowed)
        assert not any(map(tried.take, chooser.sample(forbidden, min(200, len(forbidden)))))
        id = chooser.choice(sorted(allowed))
        assert tried.take(id)
        assert asked.take(id)
    assert tried.complete


SAMPLINGS = [Sampling(0), Sampling(1), Sampling(0.8, 0.9, 5), Sampling(0, presence_penalty=1)]


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(
    "lark", ["start: /[a-z ]{3,9}/", 'start: "a" | "b" | "{"', "start: /(.|\\n)*/"]
)
def test_a_held_choice_is_that_of_masked_logits(
    lark: str, sampling: Sampling, bench: MakeBench
) -> None:
    """The reference: minus infinity on all that the rules forbid, then the free choice."""
    it = bench()
    size, grammar = it.model.vocabulary_size, it.lark(lark)
    ids = allowed_ids(grammar.begin(), size)
    for seed in range(20):
        logits = 3 * torch.randn(size, generator=torch.Generator().manual_seed(seed))
        logits = logits.bfloat16().float()  # with equal ones among them
        barred = torch.full_like(logits, -torch.inf)
        barred[ids] = logits[ids]
        free = Pick(replace(sampling, seed=seed), (), (5, 97, 98))
        [expected] = choose(barred[None], [free])
        [found] = choose(logits[None], [replace(free, constraint=grammar.begin())])
        assert found.ids == expected.ids


def test_what_is_held_is_drawn_together_and_as_alone(bench: MakeBench) -> None:
    """Samples in the first call; greedy choices that were refused in a second one."""
    it, calls = bench(), list[int]()
    grammar = it.lark("start: /[a-z ]{3,9}/")
    logits = 3 * torch.randn(
        7, it.model.vocabulary_size, generator=torch.Generator().manual_seed(4)
    )
    [forbidden] = it.tokenizer.encode("A", add_special_tokens=False)
    logits[4:6, forbidden] = 50

    def counted(logits: torch.Tensor, rules: Sequence[Rule], masks: Masks = ()) -> list[int]:
        calls.append(len(rules))
        return draw(logits, rules, masks)

    def picks() -> list[Pick]:
        samples = [
            Pick(Sampling(1, seed=seed), (), (), (), (), 0, grammar.begin()) for seed in range(4)
        ]
        greedy = [Pick(Sampling(0), (), (), (), (), 0, grammar.begin()) for _ in range(2)]
        return [*samples, *greedy, Pick(Sampling(1, seed=9), (), ())]

    together = choose(logits, picks(), counted)
    assert calls == [7, 2]
    alone = [choose(logits[row : row + 1], [pick]) for row, pick in enumerate(picks())]
    assert [[one] for one in together] == alone


def test_masks_come_first_for_a_while_where_a_choice_was_refused(bench: MakeBench) -> None:
    it, calls = bench(), list[int]()
    constraint = it.lark("start: /a{40}/").begin()
    logits = torch.zeros(1, it.model.vocabulary_size)
    [wanted, forced] = it.tokenizer.encode("ba", add_special_tokens=False)
    logits[0, wanted] = 9

    def counted(logits: torch.Tensor, rules: Sequence[Rule], masks: Masks = ()) -> list[int]:
        calls.append(1)
        return draw(logits, rules, masks)

    for _ in range(3 * (DOUBTS + 1)):
        [choice] = choose(logits, [Pick(Sampling(0), (), (), constraint=constraint)], counted)
        assert choice.ids == [forced]
    assert sum(calls) == 3 * (DOUBTS + 1) + 3, "three were tried in vain"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source.regex("(SECRET", "p"), "unclosed group"),
        (Source.regex("SECRET(?=a)", "p"), "look-around"),
        (Source("start: SECRET", "p"), "line 1, column 8"),
        (Source('start: "SECRET', "p"), "line 1"),
        (Source('start: %json {"type": "SECRET"}', "p"), "not valid"),
        (Source('start: %json {"enum": []}', "p"), "no value"),
        (Source('start: %json {"type": "integer", "minimum": 2, "maximum": 1}', "p"), "no value"),
        (Source("start: /SECRET/" + " " * 70_000, "p"), "65536"),
    ],
)
def test_bad_grammar_is_refused_without_a_word_of_it(
    source: Source, words: str, bench: MakeBench
) -> None:
    with pytest.raises(BadRequest) as refusal:
        bench().grammars.compile(source)
    assert words in refusal.value.message
    assert "SECRET" not in refusal.value.message
    assert refusal.value.param == "p"


def test_equal_sources_are_compiled_once_and_old_ones_forgotten(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.grammar.KEPT", 2)
    it = bench()
    first = it.lark("start: /a/")
    assert it.lark("start: /a/") is first
    it.lark("start: /b/")
    it.lark("start: /c/")
    assert it.lark("start: /a/") is not first
