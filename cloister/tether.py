"""Run a command that dies with its parent, even when the parent is killed with signal 9.

    python -m cloister.tether PARENT_PID COMMAND...

Linux sends the signal (prctl PR_SET_PDEATHSIG, which survives exec); elsewhere the command just
runs. It is a process of its own, not code between fork and exec, so that threads cannot hurt it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Become `COMMAND`, tied to the process `PARENT_PID`."""
    parent, command = int(argv[0]), argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the tie was made
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
