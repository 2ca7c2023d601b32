"""`cloister controller` and `python -m controller`: run the controller, or make an API key."""

import asyncio
import socket
import sys
from collections.abc import Sequence

from fastapi import FastAPI
from pydantic import SecretStr

from cloister import logs
from cloister.errors import BadSettings
from cloister.serve import listen, serve
from cloister.settings import command
from controller import keys
from controller.app import create_app
from controller.settings import ControllerSettings

GRACE_S = 3
LAST_WORDS_S = 1
KEY_USAGE = """usage: cloister controller key NAME

Print a new API key, and the line for the controller's `api_keys` that lets it in.
The key is stored nowhere: give it to its owner now.
"""


@command
def main(argv: Sequence[str]) -> int:
    """Serve until INT or TERM. Exit status: 0 then, 2 if the port or a setting is bad."""
    if argv[:1] == ["key"]:
        return make_key(argv[1:])
    settings = ControllerSettings.load(argv)
    logs.setup(settings.log_level)
    app = create_app(
        settings,
        join_token=_join_token(settings),
        keys=keys.Keys.load(settings.api_keys, settings.api_keys_file),
    )
    with listen(settings.host, settings.port) as bound:
        asyncio.run(_serve(app, bound))
    return 0


def make_key(argv: Sequence[str]) -> int:
    """`key NAME`: a new key, and the line that lets it in."""
    if len(argv) != 1 or argv[0].startswith("-"):
        sys.stdout.write(KEY_USAGE)
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    key, line = keys.make(argv[0])
    sys.stdout.write(f"key:      {key}\napi_keys: {line}\n")
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
