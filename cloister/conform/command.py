"""`cloister conform URL`: run the suite against any OpenAI address and report.

Checks run one after the other, so that one server's faults do not blur another check.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import httpx
from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import CliPositionalArg
from rich.console import Console

from cloister.client import Client, base_url
from cloister.conform import (
    chat,
    completions,
    errors,
    further,
    models,
    operation,
    streams,
    structure,
    tools,
)
from cloister.conform.check import Check, Finding
from cloister.conform.report import Report, Result
from cloister.conform.server import Server
from cloister.errors import CloisterError
from cloister.settings import Settings, command

ROOMS = (models, chat, streams, structure, tools, completions, errors, operation, further)
CHECKS: tuple[Check, ...] = tuple(check for room in ROOMS for check in room.suite.checks)


class ConformSettings(Settings):
    """Check whether an OpenAI address behaves as stock clients expect, and print a table.

    Exit status: 0 if no check failed, 1 if one did, 2 if the suite could not run.
    """

    program: ClassVar[str] = "conform"

    url: CliPositionalArg[Annotated[str, AfterValidator(base_url)]] = Field(
        "http://127.0.0.1:8000/v1", description="OpenAI address"
    )
    model: str = Field("", description="model to ask; the first on offer if left out")
    api_key: SecretStr = Field(SecretStr(""), description="key for that address, if it wants one")
    only: str = Field("", description="run only checks whose id begins with this, such as tools.")
    report: Path | None = Field(None, description="file for a report as JSON")
    context_length: int = Field(0, ge=0, description="tokens it takes, if the server does not tell")
    timeout_s: float = Field(120.0, gt=0, description="seconds that one answer may take")


@command
def main(argv: Sequence[str]) -> int:
    """Run the suite. Exit status: that of the report, 2 if there is nobody to ask."""
    settings = ConformSettings.load(argv)
    try:
        found = asyncio.run(examine(settings))
    except CloisterError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2
    found.show(Console())
    if settings.report is not None:
        settings.report.write_text(json.dumps(found.json(), indent=2) + "\n")
    return found.exit_status


async def examine(settings: ConformSettings) -> Report:
    """Raises a `CloisterError` if the server cannot be reached or offers no model."""
    key = settings.api_key.get_secret_value()
    model = settings.model or await _first_model(settings.url, key)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        timeout=settings.timeout_s, limits=limits, trust_env=False
    ) as http:
        server = Server(http, settings.url, model, key, settings.context_length)
        chosen = [check for check in CHECKS if check.id.startswith(settings.only)]
        return Report(settings.url, model, [await outcome(check, server) for check in chosen])


async def outcome(check: Check, server: Server) -> Result:
    """A server that breaks off, or answers what no check foresaw, fails the check."""
    try:
        await check.run(server)
    except Finding as finding:
        return Result(check.id, check.claim, finding.status, finding.why)
    except httpx.TimeoutException:
        return Result(check.id, check.claim, "fail", "no answer in time")
    except httpx.HTTPError as error:
        why = f"the connection failed: {type(error).__name__}"
        return Result(check.id, check.claim, "fail", why)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        why = f"the answer has an unforeseen shape: {type(error).__name__}"
        return Result(check.id, check.claim, "fail", why)
    return Result(check.id, check.claim, "pass")


async def _first_model(url: str, key: str) -> str:
    async with Client(url, key) as client:
        offered = await client.models()
    if not offered:
        raise CloisterError(f"{url} offers no model; name one with --model")
    return offered[0]


if __name__ == "__main__":
    sys.exit(main())
