"""What a selected peer runs on, once its environment and its model are there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._peers.catalogue import Peer
from benchmarks._peers.environment import convert, filled, prepare, python
from benchmarks._peers.measure import Start

IN_OWN_WORDS = {"port": "{port}"}
"""Known only when a server starts; stays as it is until then."""


@dataclass(frozen=True)
class Place:
    """Where things are, and how everybody runs. `options` are flags for our own worker."""

    cache: Path
    threads: int
    jobs: int
    deadline_s: float
    options: tuple[str, ...]


class Ready:
    """A peer whose environment stands. Raises `PeerFailed` where it cannot be made."""

    def __init__(self, peer: Peer, place: Place) -> None:
        self.peer = peer
        self._place = place
        self._words = {"threads": str(place.threads), **IN_OWN_WORDS}
        if peer.environment is not None:
            folder = prepare(peer.environment, place.cache, place.jobs)
            self._words |= {"folder": str(folder), "python": str(python(folder))}

    def runner(self, checkpoint: Path) -> Start:
        """How it is asked about this checkpoint, which is converted first if need be."""
        return self._start(self.peer.runner, checkpoint, ())

    def server(self, checkpoint: Path) -> Start:
        """The same by HTTP; its command still has the word `port`."""
        return self._start(self.peer.server, checkpoint, self._options)

    def model(self, checkpoint: Path) -> Path:
        """The checkpoint in the peer's own format."""
        if not self.peer.convert:
            return checkpoint
        command = filled(self.peer.convert, {**self._words, "checkpoint": str(checkpoint)})
        return convert(command, checkpoint.with_name(self.peer.converted))

    @property
    def _options(self) -> tuple[str, ...]:
        return self._place.options if self.peer.ours else ()

    def _start(self, command: Sequence[str], checkpoint: Path, more: Sequence[str]) -> Start:
        model = self.model(checkpoint)
        words = {**self._words, "checkpoint": str(checkpoint), "model": str(model)}
        return Start(
            command=(*filled(command, words), *more),
            model=model,
            options=self._options,
            threads=self._place.threads,
            deadline_s=self._place.deadline_s,
            log=self._place.cache / f"{self.peer.name}.log",
        )
