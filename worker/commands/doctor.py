"""`cloister doctor`: what this machine offers for confidential serving, and the command that fits.

It looks and changes nothing. Each look is a function of a root folder, so that tests can show it
machines that are not at hand.
"""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cloister.enclaves import GIB
from cloister.settings import command
from worker.commands.options import MEMORY, Options
from worker.settings import WorkerSettings

SGX_DEVICES = ("dev/sgx_enclave", "dev/sgx/enclave")
GUEST_DEVICES = {"TDX": ("dev/tdx_guest", "dev/tdx-guest"), "SEV-SNP": ("dev/sev-guest",)}
AESM_SOCKET = "var/run/aesmd/aesm.socket"
QUOTE_CONFIG = "etc/sgx_default_qcnl.conf"
EPC = "sys/devices/system/node/node*/x86/sgx_total_bytes"
SPEED_FLAGS = ("avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8")
TIMEOUT_S = 3.0
VERSIONS = {"gramine": ("gramine-sgx", "--version"), "occlum": ("occlum", "version")}

Run = Callable[[Sequence[str]], str | None]
"""What a program printed; None when it is not installed or failed."""

Reach = Callable[[str, int], bool]
"""Does something answer at host and port?"""


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found. Sizes in bytes; `gramine` and `occlum` are versions."""

    sgx: bool
    guest: str | None
    epc: int
    aesm: bool
    pccs: str
    gramine: str | None
    occlum: str | None
    gpu: str | None
    speed: tuple[str, ...]
    memory: int


@command
def main(argv: Sequence[str]) -> int:
    """The command. Exit status: 0 when the model can be served here, 1 when not, 2 on bad words."""
    options = Options("doctor", "Tell what this machine offers, and what to run.", MEMORY)
    _, settings = options.parse(argv)
    need = _need(settings)
    machine = look()
    sys.stdout.write("\n".join(told(machine, settings.model, need)) + "\n")
    return 0 if need <= machine.memory else 1


def look(root: Path = Path("/"), run: Run | None = None, reach: Reach | None = None) -> Machine:
    """Look at the machine below `root`."""
    run, reach = run or _run, reach or _reach
    flags = _cpu_flags(root)
    return Machine(
        sgx=any((root / device).exists() for device in SGX_DEVICES),
        guest=_guest(root),
        epc=sum(int(path.read_text()) for path in root.glob(EPC)),
        aesm=(root / AESM_SOCKET).exists(),
        pccs=_pccs(root, reach),
        gramine=_version(run(VERSIONS["gramine"])),
        occlum=_version(run(VERSIONS["occlum"])),
        gpu=_gpu(root),
        speed=tuple(flag for flag in SPEED_FLAGS if flag in flags),
        memory=_memory(root),
    )


def told(machine: Machine, model: str, need: int) -> Iterator[str]:
    """The findings in lines, the last one with the command that fits."""
    yield _row("SGX", _sgx(machine))
    yield _row("guest", machine.guest or "not a TDX or SEV-SNP machine")
    yield _row("AESM", "its socket is there" if machine.aesm else "no socket")
    yield _row("PCCS", machine.pccs)
    yield _row("Gramine", machine.gramine or "not installed")
    yield _row("Occlum", machine.occlum or "not installed")
    yield _row("GPU", machine.gpu or "none")
    yield _row("processor", ", ".join(machine.speed) or "none of AVX512, VNNI and AMX")
    yield _row("memory", f"{machine.memory / GIB:.1f} GiB; {model} needs {need / GIB:.1f}")
    yield ""
    yield advice(machine, model, need)


def advice(machine: Machine, model: str, need: int) -> str:
    """One command, and what it gives."""
    if need > machine.memory:
        return (
            f"{model} does not fit: see `cloister plan {model}`, lower --cache-mb, or find memory"
        )
    if machine.guest:
        return f"cloister worker --model {model}    (the whole machine is inside {machine.guest})"
    if machine.sgx and machine.gramine:
        return "make -C gramine SGX=1 run    (the worker in an SGX enclave, by Gramine)"
    if machine.sgx and machine.occlum:
        return "occlum/build_occlum_instance.sh && occlum/run.sh start    (in SGX, by Occlum)"
    return f"cloister up --model {model}    (NOT confidential: no TEE that can be used is here)"


def _need(settings: WorkerSettings) -> int:
    from worker.commands.plan import plan

    return plan(settings.model, settings, None, GIB).need.total


def _row(name: str, text: str) -> str:
    return f"{name:<10} {text}"


def _sgx(machine: Machine) -> str:
    if not machine.sgx:
        return "no device"
    size = f"{machine.epc / GIB:.1f} GiB" if machine.epc else "of unknown size"
    return f"device is there, protected memory {size}"


def _guest(root: Path) -> str | None:
    for kind, devices in GUEST_DEVICES.items():
        if any((root / device).exists() for device in devices):
            return kind
    return None


def _pccs(root: Path, reach: Reach) -> str:
    try:
        content = (root / QUOTE_CONFIG).read_text(encoding="utf-8")
    except OSError:
        return "not configured"
    match = re.search(r"^[^#/]*\"?pccs_url\"?\s*[:=]\s*\"?([^\"\s,]+)", content, re.I | re.M)
    if match is None:
        return f"/{QUOTE_CONFIG} names none"
    url = urlsplit(match[1])
    answers = reach(url.hostname or "", url.port or 443)
    return f"{url.netloc} {'answers' if answers else 'does not answer'}"


def _gpu(root: Path) -> str | None:
    for path in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        match = re.search(r"^Model:\s*(.+)$", path.read_text(), re.MULTILINE)
        return match[1].strip() if match else "an NVIDIA GPU"
    return None


def _cpu_flags(root: Path) -> frozenset[str]:
    match = re.search(r"^flags\s*:(.*)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def _memory(root: Path) -> int:
    match = re.search(r"^MemAvailable:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _version(said: str | None) -> str | None:
    """The first thing in a program's words that looks like a version."""
    match = re.search(r"\d+\.\d+[\w.+-]*", said or "")
    return match[0] if match else None


def _run(words: Sequence[str]) -> str | None:
    if shutil.which(words[0]) is None:
        return None
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout + done.stderr


def _reach(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S):
            return True
    except OSError:
        return False
