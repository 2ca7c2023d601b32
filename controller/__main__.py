"""`cloister controller` and `python -m controller`: run the controller."""

import asyncio
import logging
import socket
import sys
from collections.abc import Sequence

from fastapi import FastAPI
from pydantic import SecretStr

from cloister import logs
from cloister.errors import BadSettings
from cloister.serve import listen, serve
from cloister.settings import command
from controller.accounts import Accounts
from controller.app import create_app
from controller.settings import ControllerSettings
from controller.store import Store

GRACE_S = 3
LAST_WORDS_S = 1

log = logging.getLogger(__name__)


@command
def main(argv: Sequence[str]) -> int:
    """Serve until INT or TERM. Exit status: 0 then, 2 if the port or a setting is bad."""
    settings = ControllerSettings.load(argv)
    logs.setup(settings.log_level)
    join_token = _join_token(settings)
    with listen(settings.host, settings.port) as bound:
        accounts = Accounts(Store(settings.accounts_file))
        if accounts.is_open:
            log.warning("no API keys: all who reach this address are let in (`cloister keys`)")
        asyncio.run(_serve(create_app(settings, join_token=join_token, accounts=accounts), bound))
    return 0


async def _serve(app: FastAPI, bound: socket.socket) -> None:
    """Answers that are open `GRACE_S` after a signal end with an error, as if their worker died."""

    def stop() -> None:
        asyncio.get_running_loop().call_later(GRACE_S, app.state.upstream.close)

    await serve(app, bound, grace_s=GRACE_S + LAST_WORDS_S, on_stop=stop)


def _join_token(settings: ControllerSettings) -> SecretStr:
    if settings.join_token is None:
        raise BadSettings(
            "join_token is required: make one, such as `openssl rand -hex 32`, and give the same"
            " to the controller as CLOISTER_CONTROLLER_JOIN_TOKEN and to each worker as"
            " CLOISTER_WORKER_JOIN_TOKEN (`cloister up` does both by itself)"
        )
    return settings.join_token


if __name__ == "__main__":
    sys.exit(main())
