"""`python -m homes`: images of the parts, and the settings of their homes, rendered and checked."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cloister.enclaves import PAGE, PROFILES, Profile
from cloister.errors import CloisterError
from homes import bom, gramine, image, keys, occlum
from homes.parts import PARTS

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "gramine"
SIZES = dict[str, Profile](PROFILES.items(), webui=PAGE)
KEY_BYTES = 16


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit status: 0, 1 with every fault on a line of its own."""
    words = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], list[str]] = words.run
    try:
        faults = run(words)
    except (CloisterError, OSError, ValueError) as error:
        faults = [str(error)]
    for fault in faults:
        sys.stderr.write(f"error: {fault}\n")
    return 1 if faults else 0


def _image(words: argparse.Namespace) -> list[str]:
    made = image.build(PARTS[words.part], words.out, ROOT)
    sys.stdout.write(f"{words.out}: {made}\n")
    return []


def _trim(words: argparse.Namespace) -> list[str]:
    listed = bom.read(words.bom)
    faults = bom.check(listed, words.base)
    if not faults:
        strangers = bom.strangers(bom.lay_out(listed, words.base), words.image)
        for path in strangers:
            path.unlink()
        sys.stdout.write(f"{image.measure(words.image)}, {len(strangers)} not listed: removed\n")
    return faults


def _occlum(words: argparse.Namespace) -> list[str]:
    settings = occlum.render(SIZES[words.profile], models_on_host=words.models_on_host)
    faults = occlum.check(settings, demonstration=words.models_on_host is not None)
    if not faults:
        sys.stdout.write(json.dumps(settings, indent=2) + "\n")
    return faults


def _gramine(words: argparse.Namespace) -> list[str]:
    profile = PROFILES[words.profile]
    demonstration = words.log_level == "debug" or words.demonstration_key is not None
    text = gramine.render(
        TEMPLATES / f"{words.part}.manifest.template",
        {
            "arguments": json.dumps(words.argument)[1:-1],
            "image": str(words.image.resolve()),
            "settings": str(words.settings.resolve()),
            "model": str(words.model.resolve()) if words.model else "",
            "demonstration_key": _key(words.demonstration_key),
            "log_level": words.log_level,
            "enclave_mb": profile.gramine_bytes // 2**20,
            "max_threads": profile.gramine_threads,
        },
        gramine.Runtime(),
    )
    faults = gramine.check(gramine.parse(text), demonstration=demonstration)
    if not faults:
        sys.stdout.write(text)
    return faults


def _key(path: Path | None) -> str:
    """The hexadecimal digits of a model's key. Raises `ValueError` when it is none."""
    key = path.read_bytes() if path else b""
    if path and len(key) != KEY_BYTES:
        raise ValueError(f"{path} holds {len(key)} bytes; a model's key has {KEY_BYTES}")
    return key.hex()


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
    one = commands.add_parser("image", help="make the folder of files that a part needs")
    one.add_argument("part", choices=sorted(PARTS))
    one.add_argument("out", type=Path)
    one.set_defaults(run=_image)
    one = commands.add_parser("trim", help="remove files from an image that the bom does not list")
    one.add_argument("bom", type=Path)
    one.add_argument("image", type=Path)
    one.add_argument("--base", type=Path, default=Path(), help="where the bom's paths begin")
    one.set_defaults(run=_trim)
    one = commands.add_parser("occlum", help="print Occlum.json")
    one.add_argument("--profile", choices=sorted(SIZES), default="1b")
    one.add_argument("--models-on-host", metavar="FOLDER", help="unverified: demonstrations alone")
    one.set_defaults(run=_occlum)
    one = commands.add_parser("gramine", help="print the manifest, for gramine-manifest")
    one.add_argument("part", choices=("worker", "gpu"))
    one.add_argument("--profile", choices=sorted(PROFILES), default="1b")
    one.add_argument("--image", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--settings", type=Path, required=True, metavar="FILE")
    one.add_argument("--model", type=Path, metavar="FOLDER", help="an encrypted model, at /model")
    one.add_argument("--demonstration-key", type=Path, metavar="FILE", help="the host reads it")
    one.add_argument("--log-level", default="error", choices=("none", "error", "debug"))
    one.add_argument(
        "--argument", action="append", default=[], help="a word of another command; repeatable"
    )
    one.set_defaults(run=_gramine)
    one = commands.add_parser("check", help="check Occlum.json, a bom, a manifest or a key (.pem)")
    one.add_argument("file", type=Path, nargs="+")
    one.add_argument("--base", type=Path, default=Path(), help="where a bom's paths begin")
    one.add_argument("--demonstration", action="store_true")
    one.set_defaults(run=_check)
    return parser


if __name__ == "__main__":
    sys.exit(main())
