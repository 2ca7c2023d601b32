"""Counts the pages of the KV cache: who holds them, and which still hold a known prefix.

No tensors here: a page is a number. A page is *free* (its content means nothing), *held* by one or
more sequences, or *idle* (held by none, but its content is a known prefix that the next request may
take over). Full pages are known by a chain of hashes, so that equal digests mean equal tokens from
the first one on; the chain starts at the request's salt, so that different salts never meet. The
hash is keyed with a secret of this process: nobody outside can compute a digest.
"""

import hashlib
import os
from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence


class Pages:
    """The page pool. Not thread-safe: the engine owns it."""

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self.size = size
        self._secret = os.urandom(32)
        self._free = list(reversed(range(count)))
        self._idle: OrderedDict[int, None] = OrderedDict()  # least recently used first
        self._holders = [0] * count
        self._page_of: dict[bytes, int] = {}
        self._digest_of: dict[int, bytes] = {}

    @property
    def available(self) -> int:
        """Pages that `take` could give."""
        return len(self._free) + len(self._idle)

    @property
    def used(self) -> int:
        """Pages that sequences hold."""
        return self.count - self.available

    def needed(self, tokens: int) -> int:
        """Pages that hold so many tokens."""
        return -(-tokens // self.size)

    def root(self, salt: str) -> bytes:
        """The digest before the first page."""
        return self._hash(b"salt:" + salt.encode())

    def digest(self, parent: bytes, tokens: Sequence[int]) -> bytes:
        """The digest of one full page after the page of digest `parent`."""
        return self._hash(parent + array("q", tokens).tobytes())

    def take(self, count: int) -> list[int]:
        """Hold `count` pages; the caller has seen that so many are available."""
        assert count <= self.available, "the caller checks `available`"
        pages = [self._free.pop() if self._free else self._evict() for _ in range(count)]
        for page in pages:
            self._holders[page] = 1
        return pages

    def match(self, digests: Iterable[bytes]) -> list[int]:
        """Hold the longest known run of `digests` from its start."""
        pages: list[int] = []
        for digest in digests:
            page = self._page_of.get(digest)
            if page is None:
                break
            self._idle.pop(page, None)
            self._holders[page] += 1
            pages.append(page)
        return pages

    def publish(self, page: int, digest: bytes) -> None:
        """A held page is now full: requests may match it. A known page's twin stays unknown."""
        if digest not in self._page_of:
            self._page_of[digest] = page
            self._digest_of[page] = digest

    def release(self, pages: Sequence[int]) -> None:
        """Let a sequence's pages go. The last ones become idle first, as the least shareable."""
        for page in reversed(pages):
            self._holders[page] -= 1
            if self._holders[page] == 0:
                self._rest(page)

    def check(self, tables: Iterable[Sequence[int]]) -> None:
        """Prove that every page is in exactly one state, and held as often as `tables` say.

        Raises:
            AssertionError: a page leaked, is held twice, or is known by a wrong digest.
        """
        held = Counter(page for table in tables for page in table)
        assert [held[page] for page in range(self.count)] == self._holders
        states = [*self._free, *self._idle, *held]
        assert sorted(states) == list(range(self.count))
        assert {page: digest for digest, page in self._page_of.items()} == self._digest_of
        assert all(page in self._digest_of for page in self._idle)
        assert not any(page in self._digest_of for page in self._free)

    def _rest(self, page: int) -> None:
        if page in self._digest_of:
            self._idle[page] = None
        else:
            self._free.append(page)

    def _evict(self) -> int:
        page, _ = self._idle.popitem(last=False)
        del self._page_of[self._digest_of.pop(page)]
        return page

    def _hash(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=32, key=self._secret).digest()
