"""`cloister quantize MODEL OUT --weights int4`: rounds a model's matrices once, into a new folder.

The result is what loading the model with the same `--weights` would round it to. One tensor at a
time is in memory.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cloister.errors import BadModel, CloisterError
from worker.kernels.lowbit import INT4, INT8, Format, quantise_into
from worker.kernels.packed import PackedRows
from worker.model.config import QUANTIZATION, ModelConfig, as_config
from worker.model.fields import Fields
from worker.model.folder import (
    PARTIAL,
    Advance,
    copy_others,
    progress,
    publish,
    refuse_overwriting,
)
from worker.model.parameters import Place, allocate, places
from worker.model.shards import DTYPES, Stored, read_into, write_shard
from worker.model.source import find_model
from worker.model.weights import INDEX, blocks, check, list_tensors, stored_as

CONFIG = "config.json"
FORMS = {"int8": INT8, "int4": INT4}


def main(argv: Sequence[str]) -> int:
    """The command. Exit status 0 when written, 1 when refused."""
    words = _parser().parse_args(argv)
    try:
        source, target = find_model(words.model), Path(words.out)
        with progress("rounding") as advance:
            written = quantize(source, target, FORMS[words.weights], advance)
    except CloisterError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 1
    sys.stdout.write(f"{target}: {', '.join(path.name for path in written)}\n")
    return 0


def quantize(source: Path, target: Path, form: Format, advance: Advance) -> tuple[Path, ...]:
    """Write `source` in low bits to `target`, answer the new shards. `BadModel` if it cannot be."""
    config = ModelConfig.read(source)
    if config.low_bit is not None:
        raise BadModel(f"{source} holds int{config.low_bit.bits} weights already")
    refuse_overwriting(target)
    with torch.device("meta"):  # shapes alone
        wanted = places(config, allocate(config, torch.bfloat16, form))
    stored = list_tensors(source)
    check(source, config, stored, wanted)
    target.mkdir(parents=True, exist_ok=True)
    files = dict.fromkeys(one.path for one in stored.values())
    total = sum(one.end - one.begin for one in stored.values())
    partial = [target / (path.name + PARTIAL) for path in files]
    try:
        held = {
            path.name: _write(
                part,
                {name: one for name, one in stored.items() if one.path == path and name in wanted},
                wanted,
                lambda count: advance(count, total),
            )
            for path, part in zip(files, partial, strict=True)
        }
        _tell_form(source, target, form)
        copy_others(source, target, without=INDEX)
        return publish(target, held)
    finally:
        for part in partial:
            part.unlink(missing_ok=True)


def _write(
    out: Path,
    stored: Mapping[str, Stored],
    wanted: Mapping[str, Place],
    advance: Callable[[int], None],
) -> dict[str, int]:
    """Write one shard; `advance` hears the bytes read. Returns the bytes of each tensor."""
    shapes = {name: tensor for one in stored.values() for name, tensor in _planned(one, wanted)}
    tensors = (
        tensor for one in stored.values() for tensor in _made(one, wanted[one.name], advance)
    )
    write_shard(out, shapes, tensors, lambda _: None)
    return {name: tensor.nbytes for name, tensor in shapes.items()}


def _planned(stored: Stored, wanted: Mapping[str, Place]) -> Iterator[tuple[str, Tensor]]:
    """Names and shapes of what becomes of a tensor."""
    place = wanted[stored.name]
    if isinstance(place, PackedRows):
        with torch.device("meta"):
            codes = place.codes()
        yield from stored_as(stored.name, codes)
    else:
        yield stored.name, torch.empty(stored.shape, dtype=DTYPES[stored.dtype], device="meta")


def _made(stored: Stored, place: Place, advance: Callable[[int], None]) -> Iterator[Tensor]:
    """The same tensors with their values."""
    with stored.path.open("rb", buffering=0) as file:
        if not isinstance(place, PackedRows):
            whole = torch.empty(stored.shape, dtype=DTYPES[stored.dtype])
            read_into(file, stored, whole)
            advance(whole.nbytes)
            yield whole
            return
        codes = place.codes()
        for start, block in blocks(file, stored):
            quantise_into(block, codes.rows(start, start + len(block)))
            advance(block.nbytes)
    yield codes.values
    yield codes.scales


def _tell_form(source: Path, target: Path, form: Format) -> None:
    config = {**Fields.read(source / CONFIG).values, QUANTIZATION: as_config(form)}
    (target / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloister quantize",
        description="Round a model's matrices to 8 or 4 bits, once, into a new folder.",
    )
    parser.add_argument("model", help="a folder, a Hugging Face Hub id, or novice")
    parser.add_argument("out", help="the folder to write")
    parser.add_argument("--weights", choices=FORMS, default="int4", help="default: int4")
    return parser
