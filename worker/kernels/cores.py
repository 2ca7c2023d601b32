"""How many threads compute side by side: one a physical core that this process may use."""

import os
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")


def physical_cores(cpus: Path = CPUS) -> int:
    """Cores, hyper-threads not counted; all usable processors where the system does not tell."""
    usable = os.sched_getaffinity(0)
    return len({_siblings(cpus, number) for number in usable})


def _siblings(cpus: Path, number: int) -> str:
    """The processors that share a core with one, as the kernel lists them."""
    try:
        text = (cpus / f"cpu{number}" / "topology" / "thread_siblings_list").read_text()
    except OSError:
        return str(number)
    return text.strip() or str(number)
