"""`cloister doctor`: machines that are not at hand, told by their files."""

from pathlib import Path

import pytest

from cloister.enclaves import GIB
from worker.commands import doctor
from worker.commands.doctor import Machine, advice, look

CPUINFO = "processor : 0\nflags : fpu sgx avx512f avx512_vnni amx_bf16\n"
MEMINFO = "MemTotal: 33554432 kB\nMemAvailable: 16777216 kB\n"


def machine_at(root: Path, files: dict[str, str], **programs: str) -> Machine:
    for name, content in {"proc/cpuinfo": CPUINFO, "proc/meminfo": MEMINFO, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return look(root, run=lambda words: programs.get(words[0].split("-")[0]), reach=_local)


def _local(host: str, port: int) -> bool:
    return (host, port) == ("localhost", 8081)


def test_bare_machine_offers_speed_and_memory_alone(tmp_path: Path) -> None:
    machine = machine_at(tmp_path, {})
    assert machine.speed == ("avx512f", "avx512_vnni", "amx_bf16")
    assert machine.memory == 16 * GIB
    assert not machine.sgx
    assert "NOT confidential" in advice(machine, "novice", GIB)


def test_sgx_machine_is_sent_to_gramine(tmp_path: Path) -> None:
    files = {"dev/sgx_enclave": "", doctor.EPC.replace("*", "0"): str(8 * GIB)}
    machine = machine_at(tmp_path, files, gramine="gramine-sgx 1.9 (deadbeef)")
    assert (machine.sgx, machine.epc, machine.gramine) == (True, 8 * GIB, "1.9")
    assert advice(machine, "novice", GIB).startswith("make -C gramine SGX=1")


def test_sgx_machine_with_occlum_alone_is_sent_there(tmp_path: Path) -> None:
    machine = machine_at(tmp_path, {"dev/sgx/enclave": ""}, occlum="occlum version 0.31.0")
    assert advice(machine, "novice", GIB).startswith("occlum/build_occlum_instance.sh")


def test_sgx_without_a_library_os_is_no_home(tmp_path: Path) -> None:
    machine = machine_at(tmp_path, {"dev/sgx_enclave": ""})
    assert "NOT confidential" in advice(machine, "novice", GIB)


@pytest.mark.parametrize(
    ("device", "kind"), [("dev/tdx_guest", "TDX"), ("dev/sev-guest", "SEV-SNP")]
)
def test_confidential_machine_runs_the_plain_worker(device: str, kind: str, tmp_path: Path) -> None:
    machine = machine_at(tmp_path, {device: ""})
    assert machine.guest == kind
    assert advice(machine, "novice", GIB).startswith("cloister worker")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{ "pccs_url": "https://localhost:8081/sgx/v4/" }', "localhost:8081 answers"),
        ("PCCS_URL=https://far.example:8081/sgx/\n", "far.example:8081 does not answer"),
        ("# PCCS_URL=https://localhost:8081\n", "/etc/sgx_default_qcnl.conf names none"),
    ],
)
def test_pccs_is_looked_for_where_it_is_configured(line: str, told: str, tmp_path: Path) -> None:
    assert machine_at(tmp_path, {doctor.QUOTE_CONFIG: line}).pccs == told


def test_gpu_is_named(tmp_path: Path) -> None:
    card = {"proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t NVIDIA H200\nIRQ: 1\n"}
    assert machine_at(tmp_path, card).gpu == "NVIDIA H200"


def test_model_that_does_not_fit_is_told_before_all_else(tmp_path: Path) -> None:
    machine = machine_at(tmp_path, {"dev/tdx_guest": ""})
    assert "does not fit" in advice(machine, "novice", 17 * GIB)


def test_command_tells_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--model", "novice", "--cache-mb", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["SGX", "guest", "AESM"]
    assert "novice needs" in lines[-3]
