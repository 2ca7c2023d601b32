"""What `cloister gpu` and `cloister masks` do: take an address, load weights, serve."""

import logging
import signal
import threading
from contextlib import closing

from cloister.errors import BadSettings
from worker.execution.split.address import Identity, parse
from worker.execution.split.pipe import Listener
from worker.gpu.settings import GpuSettings

log = logging.getLogger(__name__)


def serve(settings: GpuSettings, what: str, *, takes_seeds: bool = False) -> None:
    """Serve until INT or TERM. Raises `BadSettings`, `BadModel`."""
    with closing(_listen(settings)) as listener:
        from worker.gpu.build import build  # torch takes seconds: a bad port is told first

        server = build(settings, listener, takes_seeds=takes_seeds)
        stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        threading.Thread(target=server.run, name="accept", daemon=True).start()
        log.info("%s at %s", what, server.url)
        stopping.wait()
        server.close()
        log.info("stopped")


def _listen(settings: GpuSettings) -> Listener:
    address, identity = parse("listen", settings.listen), None
    if settings.token is None and not address.stays_here:
        variable = f"CLOISTER_{settings.program.upper()}_TOKEN"
        raise BadSettings(f"listen = {settings.listen!r} is not loopback: give {variable}")
    if settings.weights == "float" and not address.hides:
        raise BadSettings(f"listen = {settings.listen!r} shows prompts on the way: use tls://")
    if settings.tls_cert is not None and settings.tls_key is not None:
        identity = Identity(settings.tls_cert, settings.tls_key)
    try:
        return address.listen(identity)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadSettings(f"cannot listen on {settings.listen} (--listen): {reason}") from None
