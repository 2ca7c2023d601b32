"""OpenVINO GenAI as a peer: its paged continuous batching, one step at a time."""

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai

from benchmarks._peers.protocol import CONTEXT_TOKENS, SEQUENCES, Loaded, Round, Scores, speak

BLOCK_TOKENS = 32  # of a block of keys and values on a CPU
STEP_TOKENS = 512


class OpenVino:
    """One pipeline."""

    def load(self, model: str, threads: int, options: Sequence[str]) -> Loaded:  # noqa: ARG002
        self._model, self._threads, self._asked = model, threads, 0
        self._pipeline = pipeline(model, threads)
        return Loaded(f"openvino-genai {version('openvino-genai')} {Path(model).name}")

    def round(self, prompts: list[list[int]], tokens: int) -> Round:
        started = time.perf_counter()
        running = [self._ask(ids, tokens) for ids in prompts]
        counts, first_s, steps_s = [0] * len(running), 0.0, []
        while self._pipeline.has_non_finished_requests():
            began = time.perf_counter()
            self._pipeline.step()
            ended = time.perf_counter()
            grown = [_grown(handle) for handle in running]
            if min(counts) and min(grown):
                steps_s.append(ended - began)  # a step that gave every sequence its next token
            counts = [count + more for count, more in zip(counts, grown, strict=True)]
            if not first_s and min(counts):
                first_s = ended - started
        return Round(first_s, steps_s)

    def score(self, text: list[int]) -> Scores:
        """The same files without the pipeline, which tells of the last token alone."""
        compiled = openvino.Core().compile_model(
            f"{self._model}/openvino_model.xml", "CPU", {"INFERENCE_NUM_THREADS": self._threads}
        )
        count = len(text)
        given = {
            "input_ids": np.array([text], np.int64),
            "attention_mask": np.ones((1, count), np.int64),
            "position_ids": np.arange(count, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        rows = compiled(given)["logits"][0, :-1].astype(np.float64)  # [tokens - 1, words]
        sums = np.logaddexp.reduce(rows, axis=1)
        return Scores((rows[range(count - 1), text[1:]] - sums).tolist(), rows.argmax(1).tolist())

    def _ask(self, ids: list[int], tokens: int) -> Any:
        self._asked += 1
        return self._pipeline.add_request(self._asked, as_tensor(ids), greedy(tokens))


def pipeline(model: str, threads: int) -> Any:
    """A pipeline with as much room as every peer has."""
    schedule = genai.SchedulerConfig()
    schedule.num_kv_blocks = CONTEXT_TOKENS // BLOCK_TOKENS
    schedule.max_num_batched_tokens = STEP_TOKENS
    schedule.max_num_seqs = SEQUENCES
    schedule.dynamic_split_fuse = True
    how = {"INFERENCE_NUM_THREADS": threads}
    return genai.ContinuousBatchingPipeline(model, schedule, "CPU", how)


def as_tensor(ids: Sequence[int]) -> Any:
    return openvino.Tensor(np.array([ids], np.int64))


def greedy(tokens: int) -> Any:
    """Exactly so many tokens."""
    how = genai.GenerationConfig()
    how.max_new_tokens = how.min_new_tokens = tokens
    how.ignore_eos = True
    how.do_sample = False
    return how


def _grown(handle: Any) -> int:
    """How many tokens came since the last look."""
    if not handle.can_read():
        return 0
    return sum(len(output.generated_ids) for output in handle.read().values())


if __name__ == "__main__":
    speak(OpenVino())
