"""Puts a worker together: the one place that names the concrete classes of several rooms."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from fastapi import FastAPI

from cloister.errors import BadModel, BadSettings
from cloister.usage import UsageLog
from worker.api.answer import Patience
from worker.api.app import Readiness, create_app
from worker.api.response_store import Bounds, ResponseStore
from worker.api.served import Served
from worker.api.tokenizer import Tokenizer
from worker.engine.draft_model import DraftModel
from worker.engine.drafts import OFF, Drafter, Lookup
from worker.engine.engine import InferenceEngine
from worker.engine.limits import Limits
from worker.engine.model import context_limit
from worker.execution.local import LocalExecution
from worker.model.decoder import Decoder
from worker.model.load import load_model
from worker.model.pooling import embeds
from worker.model.source import find_model
from worker.settings import WorkerSettings

SMALL_BYTES = 100 * 2**20
"""Below this size threads wait for each other longer than they compute (docs/log.md)."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that is ready to serve: its engine runs, its app waits for a server."""

    engine: InferenceEngine
    served: Served
    readiness: Readiness
    store: ResponseStore
    usage: UsageLog
    app: FastAPI


def build(settings: WorkerSettings) -> Worker:
    """Load the model and start the engine.

    Raises:
        BadModel: a model cannot be found, read or served, or drafts in other words.
        BadSettings: the cache is too small for one page, or limits contradict each other.
    """
    folder = find_model(settings.model)
    torch.set_num_threads(settings.threads or _threads(folder))
    is_embedder = embeds(folder, settings.task)
    model = _model(settings, folder, is_embedder)
    served = _served(settings, folder, model, model.config.hidden if is_embedder else None)
    drafter = _drafter(settings, model, served)
    engine = InferenceEngine(model, served.tokenizer, _limits(settings), drafter)
    readiness, store, usage = Readiness(), ResponseStore(_bounds(settings)), UsageLog()
    app = create_app(
        served,
        engine,
        token=settings.join_token,
        usage=usage,
        readiness=readiness,
        store=store,
        patience=Patience(settings.ping_s, settings.request_timeout_s),
    )
    engine.start()
    return Worker(engine, served, readiness, store, usage, app)


def _model(settings: WorkerSettings, folder: Path, is_embedder: bool) -> Decoder:
    return load_model(
        folder,
        execution=LocalExecution(),
        dtype=settings.dtype,
        page_size=settings.page_size,
        page_count=settings.cache_pages or None,
        cache_bytes=None if settings.cache_pages else settings.cache_mb * 2**20,
        embeds=is_embedder,
    )


def _served(
    settings: WorkerSettings, folder: Path, model: Decoder, vector_size: int | None
) -> Served:
    return Served.load(
        folder,
        name=settings.served_name or Path(settings.model).resolve().name,
        context_length=context_limit(model),
        vocabulary_size=model.vocabulary_size,
        vector_size=vector_size,
        tool_format=settings.tool_format,
    )


def _drafter(settings: WorkerSettings, model: Decoder, served: Served) -> Drafter:
    if settings.draft == "off":
        return OFF
    if served.vector_size is not None:
        raise BadSettings(
            f"draft = {settings.draft}: an embedding model generates nothing; use off"
        )
    if settings.draft == "ngram":
        return Lookup(settings.draft_tokens)
    folder = find_model(settings.draft)
    if not served.tokenizer.means_the_same(Tokenizer.load(folder)):
        raise BadModel(f"draft = {settings.draft}: its vocabulary is not that of {settings.model}")
    small = load_model(
        folder,
        execution=LocalExecution(),
        dtype=settings.dtype,
        page_size=model.page_size,
        page_count=model.page_count,
    )
    return DraftModel(
        small,
        vocabulary_size=model.vocabulary_size,
        most=settings.draft_tokens,
        step_tokens=settings.step_tokens,
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


def _threads(folder: Path) -> int:
    """One for a small model, else one a core."""
    size_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return 1 if size_bytes < SMALL_BYTES else os.cpu_count() or 1
