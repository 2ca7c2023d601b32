"""The seam: the decoder asks the execution for linears, head counts and memory, and no more."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Barrier

import pytest
import torch
from torch import Tensor

from tests.model.checkpoints import config_of, difference, ours, prompt, save, scattered, whole
from worker.engine.step import Step
from worker.execution.local import Done, Linear, LocalExecution
from worker.execution.seam import Norm, Part, Pending, Site, SiteSpec, Weight
from worker.model.decoder import EMBED, HEAD
from worker.model.load import load_model

STEP = whole(prompt(30), scattered())


@pytest.fixture(params=["Llama", "Qwen3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    biases = {"attention_bias": True} if request.param == "Qwen3" else {"mlp_bias": True}
    save(config_of(request.param, head_dim=12, **biases), tmp_path)
    return tmp_path


class Watching(LocalExecution):
    """Notes the order in which parts come into memory, and checks that no other is used."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[Part] = []
        self.now: Part | None = None
        self.steps = 0

    def site(self, spec: SiteSpec, weight: Weight) -> Site:
        return WatchedSite(super().site(spec, weight), spec.part, self)

    @contextmanager
    def resident(self, part: Part) -> Iterator[None]:
        self.parts.append(part)
        self.now = part
        yield
        self.now = None

    def share(self, step: Step | None) -> Step:
        self.steps += 1
        return super().share(step)


@dataclass
class WatchedSite:
    site: Site
    part: Part
    execution: Watching

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.site.sizes

    def submit(self, x: Tensor) -> Pending:
        assert self.execution.now == self.part
        return self.site.submit(x)

    def __call__(self, x: Tensor) -> Tensor:
        return self.submit(x).result()


def test_parts_come_into_memory_in_turn(folder: Path) -> None:
    watching = Watching()
    logits = ours(folder, execution=watching).forward(STEP)
    assert watching.parts == [EMBED, Part("layer", 0), Part("layer", 1), HEAD]
    assert watching.steps == 1
    assert torch.equal(logits, ours(folder).forward(STEP))


@dataclass
class Ranks:
    """Two threads that add up what each computed."""

    barrier: Barrier = field(default_factory=lambda: Barrier(2, timeout=20))
    given: dict[int, Tensor] = field(default_factory=dict)

    def total(self, rank: int, mine: Tensor) -> Tensor:
        self.given[rank] = mine
        self.barrier.wait()
        total = self.given[0] + self.given[1]
        self.barrier.wait()
        return total


class Half(LocalExecution):
    """One of two ranks: half of the heads and half of the feed-forward."""

    def __init__(self, rank: int, ranks: Ranks) -> None:
        super().__init__()
        self.rank = rank
        self.ranks = ranks

    def site(self, spec: SiteSpec, weight: Weight) -> Site:
        if spec.split == "output" and spec.name != "head":
            sizes = tuple(size // 2 for size in spec.sizes)
            return Linear(replace(spec, sizes=sizes), self._rows(spec.sizes, weight))
        if spec.split == "input":
            return Summed(Linear(spec, self._columns(weight)), self)
        return super().site(spec, weight)

    def _rows(self, sizes: tuple[int, ...], weight: Weight) -> Weight:
        def mine(tensor: Tensor) -> Tensor:
            return torch.cat([part.chunk(2)[self.rank] for part in tensor.split(sizes)])

        return Weight(mine(weight.matrix), None if weight.bias is None else mine(weight.bias))

    def _columns(self, weight: Weight) -> Weight:
        return Weight(weight.matrix.chunk(2, 1)[self.rank], weight.bias if self.rank == 0 else None)


@dataclass
class Summed:
    linear: Linear
    half: Half

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.linear.sizes

    def submit(self, x: Tensor) -> Pending:
        return Done(self(x))

    def __call__(self, x: Tensor) -> Tensor:
        return self.half.ranks.total(self.half.rank, self.linear(x))


def test_two_ranks_with_half_of_the_heads_equal_local(folder: Path) -> None:
    ranks = Ranks()
    halves = [ours(folder, execution=Half(rank, ranks)) for rank in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda half: half.forward(STEP), halves))
    for logits in results:
        assert difference(logits, ours(folder).forward(STEP)) < 1e-5


def test_linear_has_prologue_and_epilogue() -> None:
    x, weight = torch.randn(3, 8), Weight(torch.randn(10, 8), torch.randn(10))
    norm = Norm(torch.rand(8), 1e-6)
    spec = SiteSpec(Part("layer"), "gate_up", (5, 5), "output", norm, silu_multiply=True)
    normed = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight
    gate, up = (normed @ weight.matrix.T + weight.bias).split(5, -1)
    expected = gate * gate.sigmoid() * up
    torch.testing.assert_close(Linear(spec, weight)(x), expected)
    torch.testing.assert_close(Linear(spec, weight).submit(x).result(), expected)


def test_bad_checkpoint_is_refused_before_the_execution_sees_it(tmp_path: Path) -> None:
    class Untouched(LocalExecution):
        def site(self, spec: SiteSpec, weight: Weight) -> Site:
            raise AssertionError("asked for a site")

    save(config_of("Llama"), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"12")
    with pytest.raises(Exception, match="truncated"):
        load_model(tmp_path, execution=Untouched(), page_count=1)
