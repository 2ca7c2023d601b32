"""`cloister webui` and `python -m webui`: serve the page until a signal stops it."""

import asyncio
import logging
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from cloister import logs
from cloister.client import Client
from cloister.serve import listen, serve
from cloister.settings import command
from webui.answers import Answers
from webui.settings import PageSettings

log = logging.getLogger("webui")

GRACE_S = 1  # browsers hold their event streams open for as long as they are let


@command
def main(argv: Sequence[str]) -> int:
    """Serve the page until INT or TERM. Exit status 2 if it cannot start as told."""
    settings = PageSettings.load(argv)
    logs.setup()
    with listen(settings.host, settings.port) as bound:
        asyncio.run(run(settings, bound))
    return 0


async def run(settings: PageSettings, bound: socket.socket) -> None:
    """Serve the page on `bound`."""
    from webui.app import build  # Gradio takes seconds to import: only once it is of use

    traceback.print_exc = _log_places
    async with Client(settings.api_url, settings.api_key.get_secret_value()) as client:
        answers = Answers(client)
        app = build(settings, client, answers)
        await serve(app, bound, grace_s=GRACE_S, on_stop=answers.stop_all)


def _log_places(*_: Any, **__: Any) -> None:
    """Stands in for what Gradio calls, whose messages may quote what a browser sent."""
    error = sys.exception()
    if error is not None:
        log.error("unexpected error in the page\n%s", logs.places(error))


if __name__ == "__main__":
    sys.exit(main())
