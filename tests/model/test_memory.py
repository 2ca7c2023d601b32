"""What a load takes beside the weights themselves, seen by the system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cloister.cli import main as cloister
from tests.model.checkpoints import config_of, save
from worker.commands.need import weights_bytes
from worker.kernels.lowbit import INT4
from worker.model.config import ModelConfig

ROOT = Path(__file__).parent.parent.parent
NOVICE = ROOT / "worker" / "novice" / "model"
SIZES = {
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "vocab_size": 8192,
}
BESIDE = 10 * 2**20  # blocks of rows on their way, and what the allocator keeps of them


def rises(*folders: Path) -> list[int]:
    """Bytes by which memory rose at most while each folder was loaded, the first one warming up."""
    done = subprocess.run(
        [sys.executable, "-P", Path(__file__).with_name("load_in_child.py"), *folders],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="peaks cannot be reset")
def test_low_bit_load_takes_little_more_than_the_weights(tmp_path: Path) -> None:
    """Rounded while they are read, or read as they are: no matrix is ever there twice."""
    plain, rounded = tmp_path / "plain", tmp_path / "rounded"
    save(config_of("Llama", **SIZES), plain)
    assert cloister(["quantize", str(plain), str(rounded), "--weights", "int4"]) == 0
    weights = weights_bytes(ModelConfig.read(plain), torch.float32, INT4)
    found = rises(NOVICE, plain, rounded)[1:]
    assert weights > 2 * BESIDE
    assert max(found) < weights + BESIDE, (found, weights)


WRITABLE_CODE = """
import sys
from pathlib import Path
from worker.engine.step import Segment, Step
from worker.execution.local import LocalExecution
from worker.kernels.library import Library
from worker.kernels.native import Native
from worker.model.load import load_model

kernels = Native(Library(Path(sys.argv[1])))
execution = LocalExecution(kernels)
model = load_model(Path(sys.argv[2]), execution=execution, kernels=kernels, page_count=4)
for rows in (1, 7, 13):
    model.forward(Step((Segment(tuple(range(rows)), 0, (0,), 1),)))
print(sum(" rwx" in line for line in open("/proc/self/maps")))
"""


def test_nothing_is_compiled_while_a_model_runs(compiled: Path) -> None:
    """No page of the process is both writable and executable."""
    words = [sys.executable, "-P", "-c", WRITABLE_CODE, compiled, NOVICE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
