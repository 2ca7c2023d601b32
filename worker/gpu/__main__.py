"""`cloister gpu` and `python -m worker.gpu`: hold a model's linears and multiply with them."""

import logging
import signal
import socket
import sys
import threading
from collections.abc import Sequence

from cloister import logs
from cloister.errors import BadSettings
from cloister.ports import bind
from cloister.settings import command
from worker.execution.split.tcp import parse_tcp
from worker.gpu.settings import GpuSettings, is_loopback

log = logging.getLogger(__name__)


@command
def main(argv: Sequence[str]) -> int:
    """Serve until INT or TERM. Exit status: 0 then, 2 if address, settings or model are bad."""
    settings = GpuSettings.load(argv)
    logs.setup(settings.log_level)
    with _listen(settings) as bound:
        _serve(settings, bound)
    return 0


def _listen(settings: GpuSettings) -> socket.socket:
    host, port = parse_tcp("listen", settings.listen)
    if settings.token is None and not is_loopback(host):
        raise BadSettings(f"listen = {settings.listen!r} is not loopback: give CLOISTER_GPU_TOKEN")
    try:
        return bind(host, port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadSettings(f"cannot listen on {settings.listen} (--listen): {reason}") from None


def _serve(settings: GpuSettings, bound: socket.socket) -> None:
    from worker.gpu.build import build  # torch takes seconds to import: a bad port is told first

    server = build(settings, bound)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    threading.Thread(target=server.run, name="accept", daemon=True).start()
    host, port = bound.getsockname()[:2]
    log.info("GPU server at tcp://%s:%d", host, port)
    stopping.wait()
    server.close()
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
