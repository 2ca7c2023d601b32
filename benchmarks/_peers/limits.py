"""What the hardware allows: measured bandwidth and int8 arithmetic, and the times that follow.

The limit of a column is that of 4-bit weights with a scale for each 32 of them (4.5 bits), read
once, and of int8 products; attention, norms and sampling are left out. It is the same for all
peers, so their shares of it can be compared, whatever weights they have.
"""

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._peers.environment import run
from benchmarks._peers.process import PeerFailed
from worker.model.config import ModelConfig

SOURCE = Path(__file__).with_name("limits.cpp")
BITS = 4.5


@dataclass(frozen=True)
class Limits:
    """Measured with all threads together; 0 where it cannot be measured."""

    bytes_per_s: float
    int8_per_s: float


@dataclass(frozen=True)
class Size:
    """Parameters of all linear layers, and of the head."""

    linear: int
    head: int

    @classmethod
    def of(cls, config: ModelConfig) -> "Size":
        attention = config.hidden * (sum(config.qkv_sizes) + config.qkv_sizes[0])
        feed = 3 * config.hidden * config.intermediate
        return cls(config.layers * (attention + feed), config.vocabulary_size * config.hidden)


def measure(cache: Path, threads: int) -> Limits:
    """Compile the probe, once, and run it. Raises `PeerFailed`."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        raise PeerFailed("no C++ compiler to build the probe of the hardware with")
    folder = cache / "limits"
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / "probe"
    flags = ("-O3", "-march=native", "-std=c++17", "-pthread")
    run((compiler, *flags, str(SOURCE), "-o", str(probe)), folder / "build.log")
    done = subprocess.run((str(probe), str(threads)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerFailed(f"the probe of the hardware gave {done.returncode}")
    return Limits(**json.loads(done.stdout))


def least_s(limits: Limits, size: Size, rows: int, heads: int) -> float | None:
    """The least time of a step of `rows` tokens, `heads` of which get logits; None if unknown."""
    if not all(asdict(limits).values()):
        return None
    reading_s = (size.linear + size.head) * BITS / 8 / limits.bytes_per_s
    computing_s = 2 * (rows * size.linear + heads * size.head) / limits.int8_per_s
    return max(reading_s, computing_s)
