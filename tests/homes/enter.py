"""Becomes a program inside a home's file system, with that home's system calls and no more.

python enter.py SPEC, where SPEC is a JSON file as `tests.homes.jail` writes it. Needs root. It
makes namespaces of its own, mounts, changes the root, loads the filter and then executes the
program: the one call of `execve` that the filter lets through, known by its pointer.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

import pyseccomp

LIBC = ctypes.CDLL(None, use_errno=True)

NEW_NAMESPACES = 0x00020000 | 0x08000000 | 0x04000000  # mounts, IPC, host name
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18
THREAD = 0x00010000  # CLONE_THREAD
PARENT_DEATH = 1  # PR_SET_PDEATHSIG

DEVICES = ("null", "zero", "random", "urandom")
PROC = ("cpuinfo", "meminfo", "stat")
PROC_SELF = ("cmdline", "comm", "maps", "stat")


def main(path: str) -> None:
    """Never returns."""
    spec = json.loads(Path(path).read_text())
    call("prctl", PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    call("unshare", NEW_NAMESPACES)
    mount_all(spec["root"])
    os.chroot(spec["root"])
    os.chdir("/")
    program = ctypes.create_string_buffer(spec["argv"][0].encode())
    load_filter(spec, ctypes.addressof(program))
    argv = strings(spec["argv"])
    environment = strings([f"{name}={value}" for name, value in spec["env"].items()])
    LIBC.execve(program, argv, environment)
    sys.exit(f"execve: {os.strerror(ctypes.get_errno())}")


def mount_all(root: str) -> None:
    """The image read-only, with room in /tmp, few devices and a small /proc."""
    mount("none", "/", None, RECURSIVE | PRIVATE)
    mount(root, root, None, BIND)
    for folder in ("tmp", "dev", "proc"):
        mount("tmpfs", f"{root}/{folder}", "tmpfs", 0)
    for name in DEVICES:
        show(f"/dev/{name}", f"{root}/dev/{name}")
    for name in PROC:
        show(f"/proc/{name}", f"{root}/proc/{name}")
    os.mkdir(f"{root}/proc/self")
    for name in PROC_SELF:
        show(f"/proc/{os.getpid()}/{name}", f"{root}/proc/self/{name}")
    mount("none", root, None, BIND | REMOUNT | READ_ONLY)


def show(source: str, target: str) -> None:
    Path(target).touch()
    mount(source, target, None, BIND)


def load_filter(spec: dict, program: int) -> None:
    """What the home lacks gets its error; a child process, or another program, too."""
    home = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name, error in spec["errors"].items():
        number = int(name) if name.isdigit() else name
        home.add_rule(pyseccomp.ERRNO(error), number)
    child = pyseccomp.ERRNO(spec["child_error"])
    for name in ("fork", "vfork"):
        home.add_rule(child, name)
    home.add_rule(child, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, THREAD, 0))
    home.add_rule(child, "execve", pyseccomp.Arg(0, pyseccomp.NE, program))
    home.load()


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    call("mount", source.encode(), target.encode(), kind and kind.encode(), flags, None)


def call(name: str, *arguments: object) -> None:
    if getattr(LIBC, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def strings(values: list[str]) -> ctypes.Array:
    return (ctypes.c_char_p * (len(values) + 1))(*(value.encode() for value in values), None)


if __name__ == "__main__":
    main(sys.argv[1])
