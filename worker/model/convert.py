"""`cloister convert FOLDER [OUT]`: turns pickled weights into safetensors, offline.

The pickles are read with torch's weights-only reader, which builds tensors and runs no code. The
result is read back and compared before it gets its final name.
"""

import argparse
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cloister.errors import BadModel, CloisterError
from worker.model.fields import Fields
from worker.model.folder import PARTIAL, Advance, copy_others, progress, publish, refuse_overwriting
from worker.model.shards import DTYPES, read_header, read_into, write_shard
from worker.model.weights import SINGLE

PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def main(argv: Sequence[str]) -> int:
    """The command. Exit status 0 when converted, 1 when refused."""
    words = _parser().parse_args(argv)
    source = Path(words.folder)
    target = Path(words.out) if words.out else source
    try:
        with progress("converting") as advance:
            written = convert(source, target, advance)
    except CloisterError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 1
    sys.stdout.write(f"{target}: {', '.join(path.name for path in written)}\n")
    return 0


def convert(source: Path, target: Path, advance: Advance) -> tuple[Path, ...]:
    """Write `source`'s pickled weights to `target` and answer the new files.

    `advance(bytes, total)` hears the progress. Raises `BadModel`; then `target` has no new weights.
    """
    pickles = _pickles(source)
    refuse_overwriting(target)
    total = sum(path.stat().st_size for path in pickles)
    target.mkdir(parents=True, exist_ok=True)
    names = _shard_names(len(pickles))
    partial = [target / (name + PARTIAL) for name in names]
    try:
        tied = Fields.read(source / "config.json").flag("tie_word_embeddings")
        held = {
            name: _convert_one(path, part, tied, lambda count: advance(count, total))
            for path, part, name in zip(pickles, partial, names, strict=True)
        }
        copy_others(source, target, without=PICKLE_INDEX)
        return publish(target, held)
    finally:
        for path in partial:
            path.unlink(missing_ok=True)


def _pickles(source: Path) -> list[Path]:
    if not (source / "config.json").is_file():
        raise BadModel(f"{source} has no config.json; it is not a Hugging Face model folder")
    if (source / PICKLE).is_file():
        return [source / PICKLE]
    if not (source / PICKLE_INDEX).is_file():
        raise BadModel(f"{source} has nothing to convert: neither {PICKLE} nor {PICKLE_INDEX}")
    fields = Fields.read(source / PICKLE_INDEX)
    names = sorted({str(name) for name in fields.within("weight_map").values.values()})
    for name in names:
        if Path(name).name != name or not (source / name).is_file():
            raise BadModel(f"{source / name} is missing; {PICKLE_INDEX} names it")
    return [source / name for name in names]


def _shard_names(count: int) -> list[str]:
    if count == 1:
        return [SINGLE]
    return [f"model-{index:05}-of-{count:05}.safetensors" for index in range(1, count + 1)]


def _convert_one(
    source: Path, target: Path, tied: bool, advance: Callable[[int], None]
) -> dict[str, int]:
    """Write one shard and compare it. Returns the bytes of each tensor written."""
    tensors = _unpickle(source)
    if tied and _same_storage(tensors, "lm_head.weight", "model.embed_tokens.weight"):
        del tensors["lm_head.weight"]
    write_shard(target, tensors, tensors.values(), advance)
    _compare(target, tensors)
    return {name: tensor.nbytes for name, tensor in tensors.items()}


def _unpickle(source: Path) -> dict[str, Tensor]:
    mappable = zipfile.is_zipfile(source)  # files older than torch 1.6 are not
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True, mmap=mappable)
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise BadModel(f"{source} is not a readable file of weights only") from error
    if not isinstance(loaded, Mapping):
        raise BadModel(f"{source} holds a {type(loaded).__name__}, not a map of tensors")
    for name, value in loaded.items():
        if not isinstance(value, Tensor) or value.dtype not in DTYPES.values():
            found = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise BadModel(f"{source}: {name} is {found}; one of {', '.join(DTYPES)} expected")
    return dict(loaded)


def _same_storage(tensors: Mapping[str, Tensor], one: str, other: str) -> bool:
    if one not in tensors or other not in tensors:
        return False
    return tensors[one].data_ptr() == tensors[other].data_ptr()


def _compare(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with path.open("rb", buffering=0) as file:
        for stored in read_header(path):
            read = torch.empty(stored.shape, dtype=DTYPES[stored.dtype])
            read_into(file, stored, read)
            if not torch.equal(_bits(read), _bits(tensors[stored.name])):
                raise BadModel(f"{path}: {stored.name} differs from what was written")


def _bits(tensor: Tensor) -> Tensor:
    """Bytes, so that NaN equals itself."""
    return tensor.contiguous().view(-1).view(torch.uint8)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloister convert",
        description="Turn pickled weights (pytorch_model*.bin) into safetensors, offline.",
    )
    parser.add_argument("folder", help="a Hugging Face model folder with pytorch_model*.bin")
    parser.add_argument("out", nargs="?", help="where to write (default: the same folder)")
    return parser
