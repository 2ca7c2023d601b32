"""Memory that is free within the process goes back to the system."""

import ctypes


def give_back() -> None:
    """Have the C library give back what was used and freed; where it cannot, nothing happens.

    glibc keeps freed blocks for later ones, and loading frees many that nothing else will want.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
