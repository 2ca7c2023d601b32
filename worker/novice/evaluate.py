"""Score a model on the hand-written items: a table by skill, and a last line of JSON.

    python -m worker.novice.evaluate [MODEL_DIR]

Any serving path can be scored: `evaluate` takes a function from messages and tools to text.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.novice.answers import Generate, answers
from worker.novice.chat import Json, Message, user
from worker.novice.grade import Grader, grader

HERE = Path(__file__).parent
SETS = ("development", "release")


@dataclass(frozen=True)
class Item:
    """One hand-written test: what is asked, what is expected, which reserved values it uses."""

    skill: str
    messages: tuple[Message, ...]
    tools: tuple[Json, ...]
    grader: Grader
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Graded:
    """An item with a model's answer."""

    item: Item
    answer: str

    @property
    def right(self) -> bool:
        """Tell whether the answer is accepted."""
        return self.item.grader.accepts(self.answer)


def load_items(which: str, folder: Path = HERE / "items") -> Iterator[Item]:
    """Yield the items of a set: only `release` was not looked at in development."""
    for path in sorted(folder.glob(f"{which}_*.jsonl")):
        skill = path.stem.removeprefix(f"{which}_")
        for line in path.read_text(encoding="utf-8").splitlines():
            yield _item(skill, json.loads(line))


def evaluate(generate: Generate, items: Sequence[Item]) -> list[Graded]:
    """Answer and grade every item."""
    return [Graded(item, generate(item.messages, item.tools)) for item in items]


def scores(graded: Sequence[Graded]) -> dict[str, float]:
    """Return the share of right answers by skill, and `overall`."""
    shares = {}
    for skill in sorted({each.item.skill for each in graded}):
        of_skill = [each.right for each in graded if each.item.skill == skill]
        shares[skill] = round(sum(of_skill) / len(of_skill), 3)
    return shares | {"overall": round(sum(each.right for each in graded) / len(graded), 3)}


def _item(skill: str, told: Mapping[str, Any]) -> Item:
    messages = [user(each) if isinstance(each, str) else each for each in told["ask"]]
    return Item(
        skill,
        tuple(messages),
        tuple(told.get("tools", ())),
        grader(told["expect"]),
        tuple((skill_of, value) for skill_of, value in told.get("values", ())),
    )


def _show(console: Console, graded: Sequence[Graded], title: str, *, all_answers: bool) -> None:
    table = Table("skill", "right", "items", "score", title=title)
    for skill, share in scores(graded).items():
        of_skill = [each for each in graded if skill in (each.item.skill, "overall")]
        right = sum(each.right for each in of_skill)
        table.add_row(skill, str(right), str(len(of_skill)), f"{share:.1%}")
    console.print(table)
    for each in graded:
        if all_answers or not each.right:
            mark = "right" if each.right else "WRONG"
            asked, answer = each.item.messages[-1]["content"], each.answer
            console.print(escape(f"{mark} {each.item.skill}: {asked!r} -> {answer!r}"))


def main() -> None:
    """Score a model folder through Cloister's own engine."""
    parser = argparse.ArgumentParser(description="Score novice on its evaluation items.")
    parser.add_argument("model", type=Path, nargs="?", default=HERE / "model")
    parser.add_argument("--answers", action="store_true", help="show the right answers too")
    given = parser.parse_args()
    console, told = Console(), {}
    with answers(given.model) as generate:
        for which in SETS:
            graded = evaluate(generate, list(load_items(which)))
            _show(console, graded, f"novice, {which} set", all_answers=given.answers)
            told[which] = scores(graded)
    console.print(json.dumps(told), soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
