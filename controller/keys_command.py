"""`cloister keys`: create, list, limit and revoke API keys, and see what they used.

It changes the controller's file; a running controller sees the change within a second.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from rich.console import Console
from rich.table import Table

from cloister.errors import BadRequest, BadSettings, NotFound
from cloister.settings import command
from controller.keys import LARGEST_LIMIT, Key, KeyTable, Kind, Limits
from controller.ledger import FIRST_DAY, LAST_DAY, Ledger, by_name
from controller.settings import ControllerSettings
from controller.store import Store

EXPIRY = re.compile(r"(\d{1,5})([hdw])")
UNIT_S = {"h": 3600, "d": 86_400, "w": 604_800}
EPILOG = """
  cloister keys create alice --requests-per-minute 60 --tokens-per-minute 100000 --parallel 4
  cloister keys create bob --expires 30d
  cloister keys create root --admin
  cloister keys limits alice --tokens-per-minute 50000 --parallel none
  cloister keys list
  cloister keys usage --since 2026-01-01 --until 2026-01-31
  cloister keys revoke alice

--accounts-file FILE and --config FILE are those of the controller.
"""


@command
def main(argv: Sequence[str]) -> int:
    """Do one command. Exit status: 0, or 2 if a word, a name or the file is bad."""
    words = _parser().parse_args(argv)
    given = {"--config": words.config, "--accounts-file": words.accounts_file}
    flags = [word for name, value in given.items() if value for word in (name, value)]
    store = Store(ControllerSettings.load(flags).accounts_file)
    try:
        do: Callable[[Store, argparse.Namespace], None] = words.do
        do(store, words)
    except (BadRequest, NotFound) as error:
        raise BadSettings(error.message) from None
    finally:
        store.close()
    return 0


def create(store: Store, words: argparse.Namespace) -> None:
    kind = Kind.ADMIN if words.admin else Kind.INFERENCE
    limits = _limits(Limits(), words)
    key = KeyTable(store).create(words.name, kind=kind, limits=limits, expires_at=words.expires)
    sys.stdout.write(f"{key}\n")
    sys.stderr.write(
        f"This is the only time that the key of {words.name} is shown; {store.file.absolute()}"
        " keeps its hash.\n"
    )


def limits(store: Store, words: argparse.Namespace) -> None:
    table = KeyTable(store)
    table.limit(words.name, _limits(table.living(words.name).limits, words))


def revoke(store: Store, words: argparse.Namespace) -> None:
    KeyTable(store).revoke(words.name)


def show(store: Store, _: argparse.Namespace) -> None:
    rows = Table("name", "kind", "state", "created", "expires", "requests/min", "tokens/min")
    rows.add_column("parallel")
    for key in KeyTable(store).all():
        rows.add_row(*_row(key))
    _print(rows)


def usage(store: Store, words: argparse.Namespace) -> None:
    totals = Ledger(store).totals(words.since, words.until)
    rows = Table("name")
    for name in ("requests", "prompt tokens", "of these cached", "generated tokens"):
        rows.add_column(name, justify="right")
    for name, one in by_name(totals, KeyTable(store).all()).items():
        counts = (one.requests, one.prompt_tokens, one.cached_tokens, one.generated_tokens)
        rows.add_row(name or "(without a key)", *map(str, counts))
    _print(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloister keys",
        description="API keys: who may ask, and how much.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--accounts-file", help="the controller's file of keys")
    parser.add_argument("--config", help="the controller's settings file")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, do: Callable[..., None], what: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=what, description=what)
        found.set_defaults(do=do)
        return found

    new = add("create", create, "make a key and show it once")
    new.add_argument("name")
    new.add_argument("--admin", action="store_true", help="opens /admin, and nothing else")
    new.add_argument("--expires", type=_expiry, help="such as 12h, 30d, 4w or 2026-12-31 (UTC)")
    change = add("limits", limits, "change limits; those not named stay")
    change.add_argument("name")
    for one in (new, change):
        one.add_argument("--requests-per-minute", type=_limit, metavar="N", help="or none")
        one.add_argument("--tokens-per-minute", type=_limit, metavar="N", help="or none")
        one.add_argument("--parallel", type=_limit, metavar="N", help="requests at once, or none")
    add("list", show, "all keys with their limits")
    spent = add("usage", usage, "what each key used")
    spent.add_argument("--since", type=_day, default=FIRST_DAY, help="first day, YYYY-MM-DD (UTC)")
    spent.add_argument("--until", type=_day, default=LAST_DAY, help="last day")
    add("revoke", revoke, "let a key in no more").add_argument("name")
    return parser


NO_LIMIT = 0
"""Stands for `none` among words, where None is "not said"."""


def _limits(now: Limits, words: argparse.Namespace) -> Limits:
    """`now`, but for what was said."""

    def chosen(said: int | None, before: int | None) -> int | None:
        return before if said is None else said or None

    return Limits(
        chosen(words.requests_per_minute, now.requests_per_minute),
        chosen(words.tokens_per_minute, now.tokens_per_minute),
        chosen(words.parallel, now.parallel_requests),
    )


def _limit(text: str) -> int:
    if text == "none":
        return NO_LIMIT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= LARGEST_LIMIT:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number from 1 nor `none`")
    return int(text)


def _expiry(text: str) -> float:
    """Unix time."""
    if span := EXPIRY.fullmatch(text):
        return time.time() + int(span[1]) * UNIT_S[span[2]]
    day = datetime.fromisoformat(_day(text)).replace(tzinfo=UTC)
    return day.timestamp() + UNIT_S["d"]


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2026-12-31") from None


def _row(key: Key) -> list[str]:
    numbers = (
        key.limits.requests_per_minute,
        key.limits.tokens_per_minute,
        key.limits.parallel_requests,
    )
    times = (key.created_at, key.expires_at)
    return [
        key.name,
        key.kind.value,
        key.state(time.time()),
        *(
            "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
            for at in times
        ),
        *("" if number is None else str(number) for number in numbers),
    ]


def _print(rows: Table) -> None:
    """As wide as it must be where nobody looks, so that no cell is cut."""
    Console(width=None if sys.stdout.isatty() else 160).print(rows)


if __name__ == "__main__":
    sys.exit(main())
