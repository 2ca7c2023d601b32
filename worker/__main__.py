"""`cloister worker` and `python -m worker`: load a model, serve it, join a controller."""

import asyncio
import sys
from collections.abc import Sequence

from cloister import logs
from cloister.serve import listen, serve
from cloister.settings import command
from worker.settings import WorkerSettings


@command
def main(argv: Sequence[str]) -> int:
    """Serve until INT or TERM. Exit status: 0 then, 2 if the port, a setting or the model is bad."""
    settings = WorkerSettings.load(argv)
    logs.setup(settings.log_level)
    with listen(settings.host, settings.port) as bound:
        from worker.build import build  # torch takes seconds to import: a bad port is told first

        worker = build(settings)
        try:
            asyncio.run(worker.serve(bound))
        finally:
            worker.engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
