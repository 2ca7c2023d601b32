"""llama.cpp as a peer: its own batches through the bindings of llama-cpp-python, greedy choices."""

import ctypes
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np

from benchmarks._peers.protocol import CONTEXT_TOKENS, SEQUENCES, Loaded, Round, Scores, speak

BATCH_TOKENS = 2048


class LlamaCpp:
    """One context, in which each sequence has a room of its own: its quicker way."""

    def load(self, model: str, threads: int, options: Sequence[str]) -> Loaded:  # noqa: ARG002
        llama.llama_backend_init()
        how = llama.llama_model_default_params()
        how.load_mode = llama.LLAMA_LOAD_MODE_NONE  # mapped, what it repacks would be held twice
        self._model = llama.llama_model_load_from_file(model.encode(), how)
        if not self._model:
            raise ValueError(f"{model} cannot be loaded")
        self._threads, self._context = threads, None
        self._open(SEQUENCES)
        self._words = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))
        return Loaded(f"llama-cpp-python {version('llama-cpp-python')} {Path(model).stem}")

    def round(self, prompts: list[list[int]], tokens: int) -> Round:
        self._forget()
        started = time.perf_counter()
        chosen = self._read(prompts)
        first_s = time.perf_counter() - started
        steps_s = []
        for place in range(len(prompts[0]), len(prompts[0]) + tokens - 1):
            started = time.perf_counter()
            self._decode([(id, place, row, True) for row, id in enumerate(chosen)])
            chosen = [int(self._logits(row).argmax()) for row in range(len(chosen))]
            steps_s.append(time.perf_counter() - started)
        return Round(first_s, steps_s)

    def score(self, text: list[int]) -> Scores:
        self._open(1)
        self._decode([(id, place, 0, True) for place, id in enumerate(text)])
        rows = [self._logits(place).astype(np.float64) for place in range(len(text) - 1)]
        likely = [
            row[id] - np.logaddexp.reduce(row) for row, id in zip(rows, text[1:], strict=True)
        ]
        return Scores([float(each) for each in likely], [int(row.argmax()) for row in rows])

    def _read(self, prompts: list[list[int]]) -> list[int]:
        """Read all prompts; the first token of each."""
        chosen = []
        together = max(1, BATCH_TOKENS // len(prompts[0]))
        for start in range(0, len(prompts), together):
            group = enumerate(prompts[start : start + together], start)
            items = [item for row, prompt in group for item in _items(row, prompt)]
            self._decode(items)
            ends = [place for place, item in enumerate(items) if item[3]]
            chosen += [int(self._logits(end).argmax()) for end in ends]
        return chosen

    def _open(self, sequences: int) -> None:
        """Begin anew with room for so many sequences, which share it evenly."""
        if self._context is not None:
            llama.llama_free(self._context)
        self._context = llama.llama_init_from_model(self._model, _context(self._threads, sequences))

    def _forget(self) -> None:
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)

    def _decode(self, items: Sequence[tuple[int, int, int, bool]]) -> None:
        """Compute (token, position, sequence, wants logits) for each item."""
        batch = llama.llama_batch_init(len(items), 0, 1)
        batch.n_tokens = len(items)
        for index, (id, place, row, wanted) in enumerate(items):
            batch.token[index], batch.pos[index], batch.logits[index] = id, place, wanted
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, row
        status = llama.llama_decode(self._context, batch)
        llama.llama_synchronize(self._context)
        llama.llama_batch_free(batch)
        if status:
            raise ValueError(f"llama_decode gave {status}")

    def _logits(self, index: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
        return np.ctypeslib.as_array(
            llama.llama_get_logits_ith(self._context, index), (self._words,)
        )


def _context(threads: int, sequences: int) -> Any:
    how = llama.llama_context_default_params()
    how.n_ctx, how.n_seq_max, how.kv_unified = CONTEXT_TOKENS, sequences, False
    how.n_batch, how.n_ubatch = BATCH_TOKENS, 512
    how.n_threads = how.n_threads_batch = threads
    return how


def _items(row: int, prompt: list[int]) -> Iterator[tuple[int, int, int, bool]]:
    last = len(prompt) - 1
    return ((id, place, row, place == last) for place, id in enumerate(prompt))


def _quiet(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    """Loading says much; what fails is told by its caller."""


if __name__ == "__main__":
    quiet = llama.llama_log_callback(_quiet)
    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    speak(LlamaCpp())
