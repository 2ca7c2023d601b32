"""transformers as a peer: its own model in bf16 with its dynamic cache, greedy choices."""

import time
from collections.abc import Sequence
from itertools import pairwise

import torch
import transformers

from benchmarks._peers.protocol import Loaded, Round, Scores, speak


class Transformers:
    """One model; sequences of a round are one batch."""

    def load(self, model: str, threads: int, options: Sequence[str]) -> Loaded:  # noqa: ARG002
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self._model = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
        self._model.eval()
        return Loaded(f"transformers {transformers.__version__}, torch {torch.__version__}")

    def round(self, prompts: list[list[int]], tokens: int) -> Round:
        cache = transformers.DynamicCache(config=self._model.config)
        ids = torch.tensor(prompts)  # [sequences, tokens]
        times = [time.perf_counter()]
        for _ in range(tokens):
            told = self._model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            ids = told.logits[:, -1:].argmax(-1)
            times.append(time.perf_counter())
        gaps = [later - earlier for earlier, later in pairwise(times)]
        return Round(gaps[0], gaps[1:])

    def score(self, text: list[int]) -> Scores:
        rows = self._model(torch.tensor([text])).logits[0, :-1].double().log_softmax(-1)
        said = rows.gather(1, torch.tensor(text[1:])[:, None])[:, 0]
        return Scores(said.tolist(), rows.argmax(-1).tolist())


if __name__ == "__main__":
    speak(Transformers())
