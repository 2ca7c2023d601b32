"""`cloister masks`: multiply masks for workers whose rows go to GPU servers in other hands."""

import sys
from collections.abc import Sequence

from cloister import logs
from cloister.settings import command
from worker.gpu.serve import serve
from worker.gpu.settings import MasksSettings


@command
def main(argv: Sequence[str]) -> int:
    """Serve until INT or TERM. Exit status: 0 then, 2 if address, settings or model are bad."""
    settings = MasksSettings.load(argv)
    logs.setup(settings.log_level)
    serve(settings, "mask helper", takes_seeds=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
