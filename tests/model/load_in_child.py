"""Loads model folders in int4, and prints how far memory rose meanwhile; a test runs it."""

import sys
from pathlib import Path

import torch

from worker.execution.local import LocalExecution
from worker.kernels.lowbit import INT4
from worker.model.load import load_model

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str) -> int:
    """`VmRSS` is now, `VmHWM` the most since it was cleared."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main(warm: str, *folders: str) -> None:
    torch.set_num_threads(1)
    kept = []  # else the second load would use what the first one gave back
    for folder in (warm, *folders):
        CLEAR.write_text("5")
        before = resident("VmRSS")
        execution = LocalExecution()
        kept.append(load_model(Path(folder), execution=execution, page_count=1, low_bit=INT4))
        sys.stdout.write(f"{resident('VmHWM') - before}\n")


main(*sys.argv[1:])
