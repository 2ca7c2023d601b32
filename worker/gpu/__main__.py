"""`cloister gpu` and `python -m worker.gpu`: hold a model's linears and multiply with them."""

import logging
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import closing

from cloister import logs
from cloister.errors import BadSettings
from cloister.ports import bind
from cloister.settings import command
from worker.execution.split.address import Identity, parse
from worker.execution.split.pipe import Listener
from worker.gpu.settings import GpuSettings

log = logging.getLogger(__name__)


@command
def main(argv: Sequence[str]) -> int:
    """Serve until INT or TERM. Exit status: 0 then, 2 if address, settings or model are bad."""
    settings = GpuSettings.load(argv)
    logs.setup(settings.log_level)
    with closing(_listen(settings)) as listener:
        _serve(settings, listener)
    return 0


def _listen(settings: GpuSettings) -> Listener:
    address, identity = parse("listen", settings.listen), None
    if settings.token is None and not address.stays_here:
        raise BadSettings(f"listen = {settings.listen!r} is not loopback: give CLOISTER_GPU_TOKEN")
    if settings.weights == "float" and not address.hides:
        raise BadSettings(f"listen = {settings.listen!r} shows prompts on the way: use tls://")
    if settings.tls_cert is not None and settings.tls_key is not None:
        identity = Identity(settings.tls_cert, settings.tls_key)
    try:
        return address.listen(identity)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadSettings(f"cannot listen on {settings.listen} (--listen): {reason}") from None


def _serve(settings: GpuSettings, listener: Listener) -> None:
    from worker.gpu.build import build  # torch takes seconds to import: a bad port is told first

    server = build(settings, listener)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    threading.Thread(target=server.run, name="accept", daemon=True).start()
    log.info("GPU server at %s", server.url)
    stopping.wait()
    server.close()
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
