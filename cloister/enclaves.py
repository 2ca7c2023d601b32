"""The sizes of enclaves that Cloister ships settings for."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

GIB = 2**30

ProfileName = Literal["1b", "3b", "7b"]


@dataclass(frozen=True, slots=True)
class Profile:
    """One enclave size. All memory is committed when the enclave starts.

    `gramine_bytes` is a power of two, as Gramine asks; `occlum_bytes` is Occlum's user space and
    `kernel_bytes` the heap of its library operating system.
    """

    gramine_bytes: int
    occlum_bytes: int
    kernel_bytes: int
    gramine_threads: int
    occlum_threads: int


PROFILES = MappingProxyType[ProfileName, Profile](
    {
        "1b": Profile(16 * GIB, 12 * GIB, 1 * GIB, 64, 256),
        "3b": Profile(32 * GIB, 20 * GIB, 1 * GIB, 64, 256),
        "7b": Profile(64 * GIB, 40 * GIB, 2 * GIB, 64, 500),
    }
)
"""By the size of the model in bfloat16 that they are meant for."""

PAGE = Profile(4 * GIB, 3 * GIB, 1 * GIB, 64, 128)
"""For the chat page, in an enclave of its own."""


def profile_for(need_bytes: int) -> ProfileName | None:
    """The smallest profile that holds so much in both homes; None when none does."""
    for name, profile in PROFILES.items():
        if need_bytes <= min(profile.gramine_bytes, profile.occlum_bytes):
            return name
    return None


def enclave_bytes(need_bytes: int) -> int:
    """The smallest enclave, a power of two, that holds so much."""
    return 1 << max(0, need_bytes - 1).bit_length()
