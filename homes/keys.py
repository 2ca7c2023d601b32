"""Signing keys that must not sign a release."""

import stat
from pathlib import Path

TEST_KEYS = (
    Path("/opt/occlum/etc/template/Enclave.pem"),
    Path("/opt/occlum/sgxsdk-tools/share/Enclave_private_test.pem"),
)
"""Keys that ship with the tools: everybody has them."""

MARK = "PRIVATE KEY-----"


def check(path: Path, known: tuple[Path, ...] = TEST_KEYS) -> list[str]:
    """All faults of a signing key."""
    try:
        content = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return [f"{path}: is no readable PEM file"]
    faults = []
    if MARK not in content:
        faults.append(f"{path}: holds no private key")
    if path.resolve() in known or content in _contents(known):
        faults.append(f"{path}: is a test key that everybody has; make one of your own")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        faults.append(f"{path}: others can read it; chmod 600 {path.name}")
    return faults


def _contents(known: tuple[Path, ...]) -> list[str]:
    return [path.read_text(encoding="ascii") for path in known if path.is_file()]
