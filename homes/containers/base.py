"""A base image without a registry: Debian with Python, made by debootstrap."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from homes.containers.words import Failed, run

RELEASE = "bookworm"
"""Its Python is 3.11, as in the tag that the Dockerfile names."""

TAG = "python:3.11-slim"
PACKAGES = ("python3", "python3-pip", "ca-certificates")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
MIRROR = "http://deb.debian.org/debian"


def make(root: Path) -> None:
    """Make the root file system in a new folder. Takes a minute or more."""
    include = f"--include={','.join(PACKAGES)}"
    run("debootstrap", "--variant=minbase", include, RELEASE, str(root), mirror())
    (root / "usr/bin/python").symlink_to("python3")
    for path in (root / "var/cache/apt/archives").glob("*.deb"):
        path.unlink()
    if CERTIFICATES.exists():  # builds trust whom this machine trusts
        shutil.copyfile(CERTIFICATES, root / CERTIFICATES.relative_to("/"))


def load(root: Path, environment: Mapping[str, str]) -> None:
    """Import the root as the image that the Dockerfile begins with."""
    words = ["docker", "import", "--change", 'CMD ["python3"]', "-", TAG]
    with subprocess.Popen(
        ["tar", "--one-file-system", "-C", str(root), "-c", "."], stdout=subprocess.PIPE
    ) as tar:
        run(*words, environment=environment, source=tar.stdout)


def mirror() -> str:
    """Where this machine has Debian's packages from; Debian's own address if that is not told."""
    try:
        lines = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(ORIGIN)")
    except (FileNotFoundError, Failed):
        return MIRROR
    return main_archive(lines)


def main_archive(lines: str) -> str:
    """The first address of Debian's main archive among apt's: `address component origin` each."""
    for line in lines.splitlines():
        address, component, origin = (*line.split(" ", 2), "", "")[:3]
        if component == "main" and origin == "Debian" and "security" not in address:
            return address.rstrip("/")
    return MIRROR
