"""`python -m homes`: the worker's image, and the settings of its homes, rendered and checked."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cloister.enclaves import PROFILES
from homes import bom, gramine, image, keys, occlum

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "gramine" / "worker.manifest.template"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit status: 0, 1 with every fault on a line of its own."""
    words = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], list[str]] = words.run
    try:
        faults = run(words)
    except (image.BadImage, OSError, ValueError) as error:
        faults = [str(error)]
    for fault in faults:
        sys.stderr.write(f"error: {fault}\n")
    return 1 if faults else 0


def _image(words: argparse.Namespace) -> list[str]:
    sys.stdout.write(f"{words.out}: {image.build(words.out, ROOT)}\n")
    return []


def _occlum(words: argparse.Namespace) -> list[str]:
    settings = occlum.render(PROFILES[words.profile], models_on_host=words.models_on_host)
    faults = occlum.check(settings, demonstration=words.models_on_host is not None)
    if not faults:
        sys.stdout.write(json.dumps(settings, indent=2) + "\n")
    return faults


def _gramine(words: argparse.Namespace) -> list[str]:
    profile = PROFILES[words.profile]
    text = gramine.render(
        TEMPLATE.read_text(encoding="utf-8"),
        {
            "arguments": json.dumps(words.argument or ["worker"])[1:-1],
            "image": str(words.image.resolve()),
            "settings": str(words.settings.resolve()),
            "model": str(words.model.resolve()) if words.model else "",
            "log_level": words.log_level,
            "enclave_mb": profile.gramine_bytes // 2**20,
            "max_threads": profile.gramine_threads,
        },
        gramine.Runtime(),
    )
    faults = gramine.check(gramine.parse(text), demonstration=words.log_level == "debug")
    if not faults:
        sys.stdout.write(text)
    return faults


def _check(words: argparse.Namespace) -> list[str]:
    faults: list[str] = []
    for path in words.file:
        found = _faults(path, words.base, words.demonstration)
        faults += [f"{path}: {fault}" for fault in found]
    return faults


def _faults(path: Path, base: Path, demonstration: bool) -> list[str]:
    if path.suffix == ".json":
        settings = json.loads(path.read_text(encoding="utf-8"))
        return occlum.check(settings, demonstration=demonstration)
    if path.suffix in (".yaml", ".yml"):
        return bom.check(bom.read(path), base)
    if path.suffix == ".pem":
        return keys.check(path)
    text = path.read_text(encoding="utf-8")
    return gramine.check(gramine.parse(text), demonstration=demonstration)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m homes", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("image", help="make the folder of files that a worker needs")
    one.add_argument("out", type=Path)
    one.set_defaults(run=_image)
    one = commands.add_parser("occlum", help="print Occlum.json")
    _profile(one)
    one.add_argument("--models-on-host", metavar="FOLDER", help="unverified: demonstrations alone")
    one.set_defaults(run=_occlum)
    one = commands.add_parser("gramine", help="print the manifest, for gramine-manifest")
    _profile(one)
    one.add_argument("--image", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--settings", type=Path, required=True, metavar="FILE")
    one.add_argument("--model", type=Path, metavar="FOLDER", help="an encrypted model, at /model")
    one.add_argument("--log-level", default="error", choices=("none", "error", "debug"))
    one.add_argument("--argument", action="append", help="a word of another command; repeatable")
    one.set_defaults(run=_gramine)
    one = commands.add_parser("check", help="check Occlum.json, a bom, a manifest or a key (.pem)")
    one.add_argument("file", type=Path, nargs="+")
    one.add_argument("--base", type=Path, default=Path(), help="where a bom's paths begin")
    one.add_argument("--demonstration", action="store_true")
    one.set_defaults(run=_check)
    return parser


def _profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", choices=sorted(PROFILES), default="1b")


if __name__ == "__main__":
    sys.exit(main())
