"""From a model folder to filled weights: finds the shards, checks every name and shape, reads once.

Never unpickles: a folder with only pickled weights is refused with the command that converts it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from cloister.errors import BadModel, BadSettings
from worker.kernels.lowbit import BLOCK_NUMBERS, Codes, Format
from worker.kernels.packed import PackedRows
from worker.model.config import ModelConfig
from worker.model.fields import Fields
from worker.model.parameters import ModelWeights, Place, allocate, places
from worker.model.shards import DTYPES, STORED, Stored, read_header, read_into

WeightType = Literal["auto", "bfloat16", "float32"]
"""`auto` is as stored; float16 becomes bfloat16."""

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
PICKLES = ("pytorch_model*.bin", "*.pth", "*.pt", "*.ckpt", "*.bin")
BODY = "model."
SCALES = "_scales"  # behind the name of a matrix whose codes have them
DERIVED = ".rotary_emb.inv_freq"
"""Old checkpoints hold what the config already says; those tensors are passed over."""


@dataclass(frozen=True, slots=True)
class Inlet:
    """Where a tensor of `shape` goes a few rows at a time: `put` takes the first one's number."""

    shape: tuple[int, ...]
    is_codes: bool
    put: Callable[[int, Tensor], None]


def read_weights(
    folder: Path, config: ModelConfig, dtype: WeightType, form: Format | None = None
) -> ModelWeights:
    """Read all weights of a folder, matrices rounded to `form` if they are not stored so.

    Besides the weights themselves, only some rows of one tensor are in memory. `BadModel` names the
    file, tensor, expected and found.
    """
    stored = list_tensors(folder)
    weights = allocate(config, _choose(dtype, stored), form)
    split = _apart if config.low_bit is not None else _rounded
    wanted = dict(split(places(config, weights)))
    check(folder, config, stored, wanted)
    _fill(stored, wanted)
    return weights


def list_tensors(folder: Path) -> dict[str, Stored]:
    """All tensors of a folder's shards, by the names that a whole model has."""
    stored = _stored(shards(folder))
    if all(not name.startswith(BODY) for name in stored):  # saved without a head around it
        stored = {BODY + name: replace(one, name=BODY + name) for name, one in stored.items()}
    return stored


def stored_type(folder: Path, dtype: WeightType) -> torch.dtype:
    """The type that a folder's weights would have, from the files' headers alone."""
    return _choose(dtype, _stored(shards(folder)))


def shards(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a folder, in order."""
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    if (folder / INDEX).is_file():
        return _indexed(folder)
    pickles = sorted({path.name for pattern in PICKLES for path in folder.glob(pattern)})
    if pickles:
        raise BadModel(
            f"{folder} has pickled weights only ({pickles[0]}), which can run code when read; "
            f"turn them into safetensors with `cloister convert {folder}`"
        )
    raise BadModel(f"{folder} has no weights: neither {SINGLE} nor {INDEX}")


def _indexed(folder: Path) -> tuple[Path, ...]:
    fields = Fields.read(folder / INDEX)
    names = sorted({str(name) for name in fields.within("weight_map").values.values()})
    if not names:
        raise fields.bad("weight_map", "a map from tensors to files")
    for name in names:
        if Path(name).name != name:
            raise BadModel(f"{folder / INDEX} names {name!r}, which is not a plain file name")
        if not (folder / name).is_file():
            raise BadModel(f"{folder / name} is missing; {INDEX} names it")
    return tuple(folder / name for name in names)


def _stored(paths: Iterable[Path]) -> dict[str, Stored]:
    stored: dict[str, Stored] = {}
    for tensor in (tensor for path in paths for tensor in read_header(path)):
        if tensor.name in stored:
            first = stored[tensor.name].path.name
            raise BadModel(f"{tensor.path}: {tensor.name} is in {first} already")
        stored[tensor.name] = tensor
    return stored


def _choose(dtype: WeightType, stored: Mapping[str, Stored]) -> torch.dtype:
    if dtype not in get_args(WeightType):
        raise BadSettings(f"dtype is {dtype!r}; one of {', '.join(get_args(WeightType))} expected")
    if dtype != "auto":
        return torch.float32 if dtype == "float32" else torch.bfloat16
    whole = any(tensor.dtype == "F32" for tensor in stored.values())
    return torch.float32 if whole else torch.bfloat16


def check(
    folder: Path,
    config: ModelConfig,
    stored: Mapping[str, Stored],
    wanted: Mapping[str, Place | Inlet],
) -> None:
    """Raise `BadModel` unless each tensor has a place, and each place its tensor."""
    for name, place in wanted.items():
        if name not in stored:
            raise BadModel(
                f"{folder} lacks tensor {name} {list(place.shape)}, which config.json asks for"
            )
        found = stored[name]
        if found.shape != tuple(place.shape):
            raise BadModel(
                f"{found.path}: {name} has shape {list(found.shape)}; "
                f"{list(place.shape)} is expected by config.json"
            )
        types = ("U8",) if isinstance(place, Inlet) and place.is_codes else DTYPES
        if found.dtype not in types:
            raise BadModel(
                f"{found.path}: {name} is stored as {found.dtype}; "
                f"one of {', '.join(types)} is expected"
            )
    for name, tensor in stored.items():
        if name not in wanted and not _passed_over(config, name):
            raise BadModel(
                f"{tensor.path}: {name} has no place in the model that config.json tells"
            )


def _passed_over(config: ModelConfig, name: str) -> bool:
    return name.endswith(DERIVED) or (config.tied_head and name == "lm_head.weight")


def _rounded(places: Mapping[str, Place]) -> Iterator[tuple[str, Tensor | Inlet]]:
    """Low-bit matrices are rounded while they are read."""
    for name, place in places.items():
        if isinstance(place, PackedRows):
            yield name, Inlet(place.shape, is_codes=False, put=place.round)
        else:
            yield name, place


def stored_as(name: str, codes: Codes) -> Iterator[tuple[str, Tensor]]:
    """The two tensors that a low-bit matrix is in a file."""
    yield name, codes.values
    yield name + SCALES, codes.scales


def _apart(places: Mapping[str, Place]) -> Iterator[tuple[str, Tensor | Inlet]]:
    """Codes and scales of a low-bit matrix are tensors of their own."""
    for name, place in places.items():
        if not isinstance(place, PackedRows):
            yield name, place
            continue
        with torch.device("meta"):  # shapes alone
            tensors = stored_as(name, place.codes())
        puts = (place.put_values, place.put_scales)
        for (part, tensor), put in zip(tensors, puts, strict=True):
            yield part, Inlet(tuple(tensor.shape), tensor.dtype == torch.uint8, put)


def _fill(stored: Mapping[str, Stored], wanted: Mapping[str, Tensor | Inlet]) -> None:
    """Read each file once, from its start to its end."""
    for path in dict.fromkeys(tensor.path for tensor in stored.values()):
        with path.open("rb", buffering=0) as file:
            for tensor in stored.values():
                if tensor.path == path and tensor.name in wanted:
                    _read(file, tensor, wanted[tensor.name])


def _read(file: FileIO, stored: Stored, place: Tensor | Inlet) -> None:
    if isinstance(place, Tensor):
        read_into(file, stored, place)
        return
    for start, block in blocks(file, stored):
        place.put(start, block)


def blocks(file: FileIO, stored: Stored) -> Iterator[tuple[int, Tensor]]:
    """A matrix a few rows at a time, each block with the number of its first row."""
    rows = max(1, BLOCK_NUMBERS // stored.shape[1])
    for start in range(0, stored.shape[0], rows):
        count = min(rows, stored.shape[0] - start)
        block = torch.empty(count, stored.shape[1], dtype=STORED[stored.dtype])
        read_into(file, stored.rows(start, count), block)
        yield start, block
