"""`cloister gpu` and `python -m worker.gpu`: hold a model's linears and multiply with them."""

import sys
from collections.abc import Sequence

from cloister import logs
from cloister.settings import command
from worker.gpu.serve import serve
from worker.gpu.settings import GpuSettings


@command
def main(argv: Sequence[str]) -> int:
    """Serve until INT or TERM. Exit status: 0 then, 2 if address, settings or model are bad."""
    settings = GpuSettings.load(argv)
    logs.setup(settings.log_level)
    serve(settings, "GPU server")
    return 0


if __name__ == "__main__":
    sys.exit(main())
