"""A stand-in for the commands `occlum` and `copy_bom`, for the scripts that call them.

It keeps what it was asked in the file FAKE_LOG. `exec` becomes the program natively, and `stop`
kills it at once, as Occlum's does.
"""

import os
import shutil
import signal
import sys
from pathlib import Path


def main(name: str, words: list[str]) -> None:
    kept = Path(os.environ["FAKE_LOG"])
    pid = kept.with_suffix(".pid")
    with kept.open("a") as log:
        log.write(" ".join([name, *words]) + "\n")
    match [name, *words]:
        case ["occlum", "new", folder]:
            Path(folder).mkdir()
            (Path(folder) / "image").mkdir()
        case ["occlum", "build", *_]:
            assert Path("Occlum.json").is_file()
            assert Path("image/opt").is_dir()
        case ["copy_bom", *_]:
            Path("image/opt").mkdir(parents=True)
            Path("image/stranger").touch()  # copy_bom brings libraries that it was not told of
        case ["occlum", "exec", "/bin/python3", *rest]:
            pid.write_text(str(os.getpid()))
            os.execv(sys.executable, [sys.executable, *rest])
        case ["occlum", "stop"]:
            os.kill(int(pid.read_text()), signal.SIGKILL)
        case ["occlum", "start"] | ["occlum", "print", "mrenclave"]:
            pass
        case _:
            sys.exit(f"fake: unknown command {name} {words}")


def install(folder: Path) -> None:
    """Put both commands into a folder of the path."""
    folder.mkdir()
    for name in ("occlum", "copy_bom"):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        script.chmod(0o755)
    assert shutil.which("occlum", path=str(folder))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
