"""`cloister worker` and `python -m worker`: load a model, serve it, join a controller."""

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING

from cloister import logs
from cloister.errors import BadSettings
from cloister.fleet import FleetLoad, FleetModel, WorkerState
from cloister.memory import mapped_bytes
from cloister.serve import listen, serve, url_of
from cloister.settings import command
from worker.membership import Membership
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.build import Worker

log = logging.getLogger(__name__)


@command
def main(argv: Sequence[str]) -> int:
    """Serve until INT or TERM. Exit status: 0 then, 2 if port, settings or model are bad."""
    settings = WorkerSettings.load(argv)
    logs.setup(settings.log_level)
    with listen(settings.host, settings.port) as bound:
        from worker.build import build  # torch takes seconds to import: a bad port is told first

        worker = build(settings)
        gc.freeze()  # what loading made stays: looking through it stops all streams for 0.14 s
        _tell_memory()
        try:
            asyncio.run(_serve(worker, bound, settings))
        finally:
            worker.close()
    return 0


async def _serve(worker: "Worker", bound: socket.socket, settings: WorkerSettings) -> None:
    def drain() -> None:
        worker.readiness.state = "draining"

    bound.listen()  # a request that comes right after joining waits instead of failing
    async with _membership(worker, bound, settings):
        await serve(worker.app, bound, grace_s=settings.stop_s, on_stop=drain)


def _tell_memory() -> None:
    if (mapped := mapped_bytes()) is not None:
        log.info("loaded: %.0f MiB of memory are mapped", mapped / 2**20)


def _membership(
    worker: "Worker", bound: socket.socket, settings: WorkerSettings
) -> AbstractAsyncContextManager[object]:
    if settings.controller_url is None:
        return nullcontext()
    if settings.join_token is None:
        raise BadSettings("controller_url needs join_token: give CLOISTER_WORKER_JOIN_TOKEN")
    own_url = settings.own_url or url_of(bound)
    return Membership(
        settings.controller_url,
        settings.join_token,
        own_url,
        lambda: _state(worker),
        worker.usage,
    )


def _state(worker: "Worker") -> WorkerState:
    served, load = worker.served, worker.engine.load()
    return WorkerState(
        models=(
            FleetModel(
                id=served.name,
                created=served.created,
                context_length=served.context_length,
                execution=served.execution,
            ),
        ),
        load=FleetLoad(
            queued_requests=load.queued_requests,
            running_requests=load.running_requests,
            queued_tokens=load.queued_tokens,
            running_tokens=load.running_tokens,
            tokens_per_s=load.tokens_per_s,
        ),
        ready=worker.readiness.state == "ready",
        tag=worker.store.tag,
    )


if __name__ == "__main__":
    sys.exit(main())
