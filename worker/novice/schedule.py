"""What decides a training: its settings, the rates over time, the two optimizers."""

from dataclasses import dataclass, field

import torch

from worker.novice.network import Network, Shape

UNSETTLED = 10**9


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights.

    `start` is a model that training goes on from; `drill` names a skill to practise more.
    """

    start: str = ""
    shape: Shape = field(default_factory=Shape)
    seed: int = 1
    steps: int = 4000
    warmup: int = 60
    cooldown: float = 0.4
    batch_tokens: int = 4096
    pool: int = 1024
    tokenizer_texts: int = 6000
    matrix_rate: float = 0.01
    rate: float = 0.008
    weight_decay: float = 0.01
    threads: int = 2
    compiled: bool = True
    drill: str = ""
    hash_every: int = 200


class Optimizer:
    """Muon for the matrices, AdamW for the rest; the rate is a share of each one's own."""

    def __init__(self, network: Network, settings: Settings) -> None:
        matrices = [each for each in network.blocks.parameters() if each.ndim == 2]
        others = [each for each in network.parameters() if each.ndim != 2]
        others += network.embed.parameters()
        self.settings = settings
        self.network = network
        self.muon = torch.optim.Muon(matrices, weight_decay=settings.weight_decay)
        self.adam = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, rate: float) -> None:
        """Apply the gradients and clear them."""
        self.muon.param_groups[0]["lr"] = self.settings.matrix_rate * rate
        self.adam.param_groups[0]["lr"] = self.settings.rate * rate
        self.muon.step()  # type: ignore[no-untyped-call]
        self.adam.step()
        self.network.zero_grad()


class Schedule:
    """Warm up, stay, cool down to zero over the last share of the steps.

    With a time budget the number of steps is settled when the cooldown has to begin; training with
    that number of steps then gives the same bits without looking at a clock.
    """

    def __init__(
        self, settings: Settings, budget_s: float | None = None, until: int | None = None
    ) -> None:
        self.settings = settings
        self.budget_s = budget_s
        self.until = until
        self.steps = settings.steps if budget_s is None else UNSETTLED

    @property
    def last(self) -> int:
        """The step to stop at: `until` breaks off early, with the rates of the whole training."""
        return self.steps if self.until is None else min(self.steps, self.until)

    def rate(self, step: int, elapsed_s: float) -> float:
        """Return the share of the full rate at a step, counted from 1."""
        stay = 1 - self.settings.cooldown
        if self.budget_s is not None and elapsed_s > stay * self.budget_s:
            self.steps, self.budget_s = round(step / stay), None
        left = (self.steps - step + 1) / (self.steps * self.settings.cooldown)
        return min(step / self.settings.warmup, left, 1.0)
