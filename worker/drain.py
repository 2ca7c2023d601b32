"""`python -m worker.drain`: let the worker of this machine finish what it does, and wait for that.

For the hooks of containers, which have no curl. The worker's own settings say where it listens and
what it asks for.
"""

import json
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence

from cloister.fleet import TOKEN_HEADER
from cloister.settings import command
from worker.settings import WorkerSettings

PATIENCE_S = 300.0
PAUSE_S = 0.5


@command
def main(argv: Sequence[str]) -> int:
    """The command. Exit status: 0 when nothing runs any more, 1 when patience ended before."""
    settings = WorkerSettings.load(argv)
    token = settings.join_token
    headers = {TOKEN_HEADER: token.get_secret_value()} if token else {}
    url = f"http://127.0.0.1:{settings.port}/worker/drain"
    if drain(lambda: _left(url, headers)):
        return 0
    sys.stderr.write(f"error: requests still run after {PATIENCE_S:.0f} s\n")
    return 1


def drain(
    left: Callable[[], int],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Ask until `left` is 0; false when that takes longer than `PATIENCE_S`."""
    deadline = clock() + PATIENCE_S
    while left():
        if clock() >= deadline:
            return False
        sleep(PAUSE_S)
    return True


def _left(url: str, headers: dict[str, str]) -> int:
    """Requests that wait or run; the worker takes no new ones from now on."""
    request = urllib.request.Request(url, method="POST", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(json.load(answer)["requests"])


if __name__ == "__main__":
    sys.exit(main())
