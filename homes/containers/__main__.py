"""`make check-containers`: build every image and run the whole stack, in an engine of its own.

It needs root and Debian (or a system with debootstrap and apt), some 8 GB of disk and ten minutes.
What is missing of docker.io, iptables and debootstrap is installed and stays; all else is made in
a temporary folder and removed at the end, after a failure and after Ctrl-C too. Packages come from
where PIP_INDEX_URL, PIP_EXTRA_INDEX_URL and PIP_FIND_LINKS say, if they are set.
"""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from cloister.errors import CloisterError
from homes.containers import base, install, packages
from homes.containers.engine import engine, unmount
from homes.containers.stack import Answer, Stack, chat
from homes.containers.words import Failed
from homes.requirements import PARTS

ROOT = Path(__file__).parent.parent.parent
DEVICES = ("gpu", "sgx")
ASKED = "What is Cloister?"
LONG = {"max_tokens": 900, "n": 8, "ignore_eos": True}
LONG_TOKENS = 900 * 8
"""Some seconds of work: more than the time from a first token to the TERM that follows it."""


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 if all went as it should, 1 with what did not, 2 if this cannot be tried."""
    if argv:
        sys.stderr.write(f"{__doc__}\n")
        return 0 if argv[0] in ("-h", "--help") else 2
    if os.geteuid() != 0:
        sys.stderr.write("error: a Docker daemon and debootstrap need root\n")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is taken down
    try:
        _check()
    except (CloisterError, httpx.HTTPError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _check() -> None:
    _install()
    with tempfile.TemporaryDirectory(prefix="cloister-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            _try(folder)
        finally:
            unmount(folder)
    if folder.exists():
        raise Failed(f"{folder} could not be removed")
    _say("stopped the engine and removed all that was made")


def _try(folder: Path) -> None:
    base.make(folder / "root")
    _say("made a Debian root with Python, by debootstrap")
    with engine(folder) as environment:
        stack = Stack.of(ROOT, environment)
        _build(stack, folder / "root")
        _run(stack)


def _install() -> None:
    if lacking := install.missing():
        install.install(ROOT / ".ci/install", lacking)
        _say(f"installed Debian's {' '.join(lacking)}")


def _build(stack: Stack, root: Path) -> None:
    version = stack.docker("version", "--format={{.Server.Version}}")
    driver = stack.docker("info", "--format={{.Driver}}")
    composer = stack.docker("compose", "version", "--short")
    _say(f"started Docker {version} ({driver}), with Compose {composer}")
    base.load(root, stack.environment)
    _say(f"imported the root as {base.TAG}: {stack.size_mb(base.TAG)} MB")
    with packages.served(os.environ.get("PIP_FIND_LINKS", "")) as links:
        told = packages.arguments(os.environ, links)
        for part in PARTS:
            stack.build(part, told)
            _inspect(stack, part)
    _refuse(stack)
    _read(stack)


def _inspect(stack: Stack, part: str) -> None:
    if faults := stack.faults(part):
        raise Failed(f"the image of {part}: {', '.join(faults)}")
    own_mb = stack.size_mb(f"cloister-{part}") - stack.size_mb(base.TAG)
    _say(f"built {part}: {own_mb} MB above the base; an ordinary user, no build tools")


def _refuse(stack: Stack) -> None:
    """The image says that it needs its compiled kernels: without them it must not start."""
    told = stack.refusal_without("/app/worker/kernels/libcloister_kernels.so")
    _want("libcloister_kernels.so was not compiled" in told, "a worker without kernels starts")
    _say("a worker without its compiled kernels does not start")


def _read(stack: Stack) -> None:
    """The files of devices, which this machine need not have."""
    for profile in DEVICES:
        words = (f"--file=docker/compose.{profile}.yaml", f"--profile={profile}")
        stack.compose(*words, "config", "--quiet")
    _say(f"Compose takes the devices of {' and '.join(DEVICES)}")


def _run(stack: Stack) -> None:
    """The stack's whole life. Its containers, networks and volumes go, whatever happens."""
    try:
        stack.compose("up", "--detach", "--wait", "--wait-timeout=300", "--no-build")
        _say(f"up and healthy: {', '.join(sorted(stack.states()))}")
        _talk(stack, "novice", "local")
        _talk(stack, "novice-split", "split-blind")
        _open_page(stack)
        _drain(stack)
        _stop(stack)
    except (CloisterError, httpx.HTTPError):
        sys.stderr.write(stack.compose("logs", "--no-color", "--tail=15") + "\n")
        raise
    finally:
        stack.compose("down", "--volumes", "--timeout=10")


def _talk(stack: Stack, model: str, execution: str) -> None:
    answer = chat(stack.api, Answer(model), ASKED, temperature=0)
    _want(answer.finish == "stop" and len(answer.pieces) > 1, f"{model}: no streamed answer")
    _want(answer.execution == execution, f"{model} ran in {answer.execution!r}")
    _say(f"{model} ({execution}) streamed {len(answer.pieces)} pieces: {answer.text}")


def _open_page(stack: Stack) -> None:
    answer = httpx.get(stack.page, timeout=60)
    is_page = answer.status_code == 200 and "gradio" in answer.text
    _want(is_page, f"the page's address answers {answer.status_code}")
    _say(f"the page answers with {len(answer.content)} bytes")


def _drain(stack: Stack) -> None:
    """TERM while the worker answers: the answer ends whole, and then the worker."""
    answer = Answer("novice")
    worker = stack.compose("ps", "--quiet", "worker")
    words = (stack.api, answer, ASKED)
    talk = threading.Thread(target=chat, args=words, kwargs=LONG, daemon=True)
    talk.start()
    _want(answer.begun.wait(120), "the long answer does not begin")
    stack.docker("kill", "--signal=TERM", worker)
    told_s = time.monotonic()
    talk.join(300)
    late = answer.pieces_after(told_s)
    _want(late > 0, "the answer was over before TERM came")
    _want(answer.tokens == LONG_TOKENS, f"{answer.tokens} of {LONG_TOKENS} tokens came")
    status = int(stack.docker("wait", worker))
    _want(status == 0, f"the worker ended with {status}")
    _say(f"TERM while the worker answered: {late} pieces came after it, all {answer.tokens} tokens")


def _stop(stack: Stack) -> None:
    stack.compose("stop")
    ends = {name: int(state["ExitCode"]) for name, state in stack.states().items()}
    told = ", ".join(f"{name} {status}" for name, status in sorted(ends.items()))
    _want(not any(ends.values()), f"exit statuses: {told}")
    _say(f"stopped; exit statuses: {told}")


def _want(is_so: bool, fault: str) -> None:
    if not is_so:
        raise Failed(fault)


START_S = time.monotonic()


def _say(step: str) -> None:
    sys.stdout.write(f"{time.monotonic() - START_S:6.0f} s  {step}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
