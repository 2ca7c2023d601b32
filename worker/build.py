"""Puts a worker together: the one place that names the concrete classes of several rooms."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from fastapi import FastAPI

from worker.api.app import Readiness, create_app
from worker.api.response_store import Bounds, ResponseStore
from worker.api.served import Served
from worker.engine.engine import InferenceEngine
from worker.engine.limits import Limits
from worker.engine.model import context_limit
from worker.execution.local import LocalExecution
from worker.model.decoder import Decoder
from worker.model.load import load_model
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
    app: FastAPI


def build(settings: WorkerSettings) -> Worker:
    """Load the model and start the engine.

    Raises:
        BadModel: the model cannot be found, read or served.
        BadSettings: the cache is too small for one page, or limits contradict each other.
    """
    folder = find_model(settings.model)
    torch.set_num_threads(settings.threads or threads_for(_stored_bytes(folder)))
    model = _model(settings, folder)
    served = _served(settings, folder, model)
    engine = InferenceEngine(model, served.tokenizer, _limits(settings))
    readiness = Readiness()
    store = ResponseStore(_bounds(settings))
    app = create_app(served, engine, token=settings.join_token, readiness=readiness, store=store)
    engine.start()
    return Worker(engine, served, readiness, store, app)


def _model(settings: WorkerSettings, folder: Path) -> Decoder:
    return load_model(
        folder,
        execution=LocalExecution(),
        dtype=settings.dtype,
        page_size=settings.page_size,
        page_count=settings.cache_pages or None,
        cache_bytes=None if settings.cache_pages else settings.cache_mb * 2**20,
    )


def _served(settings: WorkerSettings, folder: Path, model: Decoder) -> Served:
    return Served.load(
        folder,
        name=settings.served_name or Path(settings.model).resolve().name,
        context_length=context_limit(model),
        vocabulary_size=model.vocabulary_size,
        tool_format=settings.tool_format,
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
    """Threads of the tensor operators: one for a small model, else one a core."""
    return 1 if weights_bytes < SMALL_BYTES else os.cpu_count() or 1


def _stored_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
