"""Puts a GPU server together."""

import os

import torch

from cloister.errors import BadSettings
from worker.execution.split.pipe import Listener
from worker.gpu.server import Server
from worker.gpu.settings import GpuSettings
from worker.gpu.shelf import load_shelf
from worker.model.source import find_model


def build(settings: GpuSettings, listener: Listener, *, takes_seeds: bool = False) -> Server:
    """Load the linears, try the device's arithmetic, and answer a server that may run.

    Raises:
        BadModel: the model cannot be found or read.
        BadSettings: the device is not there or computes wrongly, or the memory is too small.
    """
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    shelf = load_shelf(
        find_model(settings.model),
        settings.dtype,
        _device(settings.device),
        int8=settings.weights == "int8",
    )
    return Server(
        shelf,
        listener,
        token=settings.token.get_secret_value().encode() if settings.token else b"",
        most_rows=settings.rows,
        most_sessions=settings.connections,
        memory_bytes=settings.memory_mb * 2**20,
        takes_seeds=takes_seeds,
    )


def _device(name: str) -> torch.device:
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise BadSettings(f"device = {name!r} cannot be used: {reason}") from None
    return torch.device(name)
