"""A peer that computes nothing: `good`, or one that fails in the way that its first word says.

It writes its process id, and that of a child of its own, to the file that its second word names.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from benchmarks._peers.protocol import Loaded, Round, Scores, speak

STEP_S = 0.5


class Fake:
    def __init__(self, manner: str) -> None:
        self.manner = manner

    def load(self, model: str, threads: int, options: Sequence[str]) -> Loaded:
        print("a library says something")  # noqa: T201
        return Loaded(f"fake {threads} {' '.join(options)}")

    def round(self, prompts: list[list[int]], tokens: int) -> Round:
        if self.manner == "crashes":
            os.abort()
        if self.manner == "hangs":
            threading.Event().wait()
        if self.manner == "refuses":
            raise ValueError("not today")
        return Round(STEP_S, [STEP_S] * (tokens - 1))

    def score(self, text: list[int]) -> Scores:
        return Scores([-1.0] * (len(text) - 1), text[1:])


if __name__ == "__main__":
    manner, note = sys.argv[1:]
    child = subprocess.Popen((sys.executable, "-c", "input()"), stdin=subprocess.PIPE)
    Path(note).write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
    speak(Fake(manner))
