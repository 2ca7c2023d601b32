"""Puts a worker together: the one place that names the concrete classes of several rooms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from fastapi import FastAPI
from prometheus_client.registry import Collector

from cloister.errors import BadModel, BadSettings
from cloister.usage import UsageLog
from worker.api.answer import Patience
from worker.api.app import Readiness, create_app
from worker.api.response_store import Bounds, ResponseStore
from worker.api.served import Served
from worker.api.tokenizer import Tokenizer
from worker.engine.draft_model import DraftModel
from worker.engine.drafts import OFF, Drafter, Forced, Lookup
from worker.engine.engine import InferenceEngine
from worker.engine.limits import Limits
from worker.engine.model import context_limit
from worker.execution.local import LocalExecution
from worker.execution.seam import Execution
from worker.execution.split.address import Address, parse, same_machine
from worker.execution.split.execution import SplitExecution
from worker.execution.split.frames import Frames, Wire
from worker.execution.split.gpus import Counts, Gpus
from worker.execution.split.helper import HelperPool
from worker.execution.split.masks import BLOCK_ROWS, LocalPool, MaskSource, NoMasks
from worker.execution.split.metrics import SplitCollector
from worker.execution.split.site import Calls
from worker.execution.split.stream import MaskStream
from worker.kernels.cores import physical_cores
from worker.kernels.lowbit import INT8
from worker.kernels.masking import Masking, find_masking
from worker.kernels.masking_twins import MaskingTwins
from worker.kernels.native import Kernels, find_kernels
from worker.kernels.twins import Twins
from worker.memory import give_back
from worker.model.config import ModelConfig
from worker.model.decoder import Decoder
from worker.model.load import LOW_BITS, LowBit, form_of, load_model
from worker.model.pooling import embeds
from worker.model.source import find_model
from worker.model.weights import WeightType, stored_type
from worker.settings import WorkerSettings

CONNECT_S = 2.0  # for a GPU server to take a connection; requests may wait meanwhile
SMALL_BYTES = 100 * 2**20
"""Below this size threads wait for each other longer than they compute (docs/log.md), and rounding
matrices to int8 is not worth what it costs in accuracy."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that is ready to serve: its engine runs, its app waits for a server."""

    engine: InferenceEngine
    served: Served
    readiness: Readiness
    store: ResponseStore
    usage: UsageLog
    app: FastAPI
    execution: Execution
    kernels: Kernels
    threads: int  # that compute

    def close(self) -> None:
        """Stop the engine, then give back what execution and kernels hold."""
        self.engine.close()
        self.execution.close()
        self.kernels.close()


def build(settings: WorkerSettings) -> Worker:
    """Load the model and start the engine.

    Raises:
        BadModel: a model cannot be found, read or served, or drafts in other words.
        BadSettings: the cache is too small for one page, or limits contradict each other.
    """
    folder = find_model(settings.model)
    threads = settings.threads or threads_for(_stored_bytes(folder))
    low_bit = low_bit_for(settings, folder)
    kernels = _kernels(settings, folder, threads, low_bit)
    if settings.weights == "auto" and isinstance(kernels, Twins) and low_bit == INT8:
        low_bit = "stored"  # which PyTorch computes much faster
    is_embedder, placed = embeds(folder, settings.task), _placed(settings, kernels)
    model = _model(settings, folder, placed.execution, kernels, low_bit, is_embedder)
    placed.start()
    vector_size = model.config.hidden if is_embedder else None
    served = _served(settings, folder, model, placed.name, vector_size)
    drafter = _drafter(settings, model, served, kernels)
    limits = _limits(settings)
    engine = InferenceEngine(model, served.tokenizer, limits, drafter, draw=kernels.draw)
    readiness, store, usage = Readiness(), ResponseStore(_bounds(settings)), UsageLog()
    app = create_app(
        served,
        engine,
        token=settings.join_token,
        usage=usage,
        readiness=readiness,
        store=store,
        patience=Patience(settings.ping_s, settings.request_timeout_s),
        collectors=placed.collectors,
    )
    give_back()
    engine.start()
    execution = placed.execution
    return Worker(engine, served, readiness, store, usage, app, execution, kernels, threads)


def _kernels(settings: WorkerSettings, folder: Path, threads: int, low_bit: LowBit) -> Kernels:
    """What computes beside torch; tells torch how many threads are its own."""
    required = settings.kernels == "native"
    if not _packs(settings, folder, low_bit):
        # Torch multiplies: its threads wait awake, so those of attention must not.
        torch.set_num_threads(threads)
        return find_kernels(threads, spins=0, required=required)
    kernels = find_kernels(threads, required=required)
    torch.set_num_threads(threads if isinstance(kernels, Twins) else 1)
    return kernels


def _packs(settings: WorkerSettings, folder: Path, low_bit: LowBit) -> bool:
    """Do kernels multiply, where there are compiled ones?"""
    is_low_bit = form_of(folder, ModelConfig.read(folder), low_bit) is not None
    is_bfloat = stored_type(folder, _dtype(settings)) == torch.bfloat16
    return settings.execution == "local" and (is_low_bit or is_bfloat)


def low_bit_for(settings: WorkerSettings, folder: Path) -> LowBit:
    """How matrices are held: large ones in int8, where nothing else is stored or asked for.

    Raises `BadModel`.
    """
    if settings.execution != "local":
        return "none"
    if settings.weights != "auto":
        return LOW_BITS[settings.weights]
    if settings.dtype == "float32" or embeds(folder, settings.task):
        return "stored"
    is_large = _stored_bytes(folder) >= SMALL_BYTES
    return INT8 if is_large and ModelConfig.read(folder).low_bit is None else "stored"


@dataclass(frozen=True, slots=True)
class Placed:
    """Where linears run. `start` is called when the decoder is built."""

    execution: Execution
    name: str
    start: Callable[[], None]
    collectors: tuple[Collector, ...]


def _placed(settings: WorkerSettings, kernels: Kernels) -> Placed:
    if settings.execution == "local":
        return Placed(LocalExecution(kernels), "local", lambda: None, ())
    token = settings.gpu_token.get_secret_value().encode() if settings.gpu_token else b""
    places = _places(settings)
    helper, masks = _masks(settings, places)
    split = SplitExecution(
        Calls(_gpus(places), settings.chunk_rows, settings.on_gpu_loss),
        masks,
        _masking(settings),
        numbers="clear" if settings.mode == "plain" else "ring",
        token=token,
        deadline_s=settings.gpu_deadline_s,
    )
    collector = SplitCollector(split.counts, helper, masks)
    return Placed(split, f"split-{settings.mode}", split.start, (collector,))


def _masking(settings: WorkerSettings) -> Masking:
    """Its calls are helped with by the threads of attention."""
    if settings.mode == "plain":
        return MaskingTwins()  # which nobody asks for anything
    return find_masking(required=settings.kernels == "native")


def _places(settings: WorkerSettings) -> list[Address]:
    places = [parse("gpu", url, settings.tls_ca) for url in settings.gpu]
    for place in places:
        if settings.mode != "blind" and not place.hides:
            raise BadSettings(
                f"gpu = {place.url!r}: mode {settings.mode} is readable on the way: use tls://, "
                "or a tunnel that begins on loopback"
            )
    return places


def _gpus(places: Sequence[Address]) -> Gpus:
    return Gpus([(place.url, partial(_open, place)) for place in places])


def _open(place: Address) -> Wire:
    return Frames(place.connect(CONNECT_S))


def _masks(settings: WorkerSettings, gpus: Sequence[Address]) -> tuple[Counts, MaskSource]:
    """The source, and what becomes of calls to a helper, if there is one."""
    if settings.mode != "blind":
        return Counts(), NoMasks()
    limit_bytes = settings.masks_mb * 2**20
    if settings.masks == "local":
        return Counts(), LocalPool(limit_bytes, settings.on_empty, MaskStream())
    helper = parse("masks", settings.masks.removeprefix("helper:"), settings.tls_ca)
    if either := next((gpu for gpu in gpus if same_machine(gpu, helper)), None):
        raise BadSettings(
            f"masks: the helper {helper.url} and the GPU server {either.url} are one machine, "
            "which could take off all masks"
        )
    pool = HelperPool(
        limit_bytes,
        settings.on_empty,
        (helper.url, partial(_open, helper)),
        token=settings.masks_token.get_secret_value().encode() if settings.masks_token else b"",
        deadline_s=settings.gpu_deadline_s,
        rows=max(settings.chunk_rows, BLOCK_ROWS),
    )
    return pool.counts, pool


def _model(
    settings: WorkerSettings,
    folder: Path,
    execution: Execution,
    kernels: Kernels,
    low_bit: LowBit,
    is_embedder: bool,
) -> Decoder:
    return load_model(
        folder,
        execution=execution,
        kernels=kernels,
        dtype=_dtype(settings),
        low_bit=low_bit,
        page_size=settings.page_size,
        page_count=settings.cache_pages or None,
        cache_bytes=None if settings.cache_pages else settings.cache_mb * 2**20,
        kv_cache_dtype=settings.kv_cache_dtype,
        embeds=is_embedder,
    )


def _dtype(settings: WorkerSettings) -> WeightType:
    return "bfloat16" if settings.weights == "bf16" else settings.dtype


def _served(
    settings: WorkerSettings, folder: Path, model: Decoder, execution: str, vector_size: int | None
) -> Served:
    return Served.load(
        folder,
        name=settings.served_name or Path(settings.model).resolve().name,
        context_length=context_limit(model),
        vocabulary_size=model.vocabulary_size,
        vector_size=vector_size,
        tool_format=settings.tool_format,
        execution=execution,
    )


def _drafter(settings: WorkerSettings, model: Decoder, served: Served, kernels: Kernels) -> Drafter:
    if settings.draft == "off":
        return OFF
    if served.vector_size is not None:
        raise BadSettings(
            f"draft = {settings.draft}: an embedding model generates nothing; use off"
        )
    if settings.draft == "ngram":
        return Forced(Lookup(settings.draft_tokens))
    folder = find_model(settings.draft)
    if not served.tokenizer.means_the_same(Tokenizer.load(folder)):
        raise BadModel(f"draft = {settings.draft}: its vocabulary is not that of {settings.model}")
    small = load_model(
        folder,
        execution=LocalExecution(kernels),
        kernels=kernels,
        dtype=settings.dtype,
        page_size=model.page_size,
        page_count=model.page_count,
        kv_cache_dtype=settings.kv_cache_dtype,
    )
    return DraftModel(
        small,
        vocabulary_size=model.vocabulary_size,
        most=settings.draft_tokens,
        step_tokens=settings.step_tokens,
        draw=kernels.draw,
    )


def _limits(settings: WorkerSettings) -> Limits:
    return Limits(
        step_tokens=settings.step_tokens,
        sequences=settings.sequences,
        queued_requests=settings.queued_requests,
        queued_tokens=settings.queued_tokens,
    )


def _bounds(settings: WorkerSettings) -> Bounds:
    return Bounds(
        responses=settings.kept_responses,
        size_bytes=settings.kept_mb * 2**20,
        seconds=settings.kept_s,
    )


def threads_for(weights_bytes: int) -> int:
    """Threads that compute: one for a small model, else one a core."""
    return 1 if weights_bytes < SMALL_BYTES else physical_cores()


def _stored_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
