"""How the C library keeps memory, set so that a process which builds engines for months does not swell.

Every engine is built and closed in threads of their own, with weights of another size each time. Left alone, glibc
gives threads heaps of their own and keeps what they free: 200 switches then add 80 MB that nothing uses. It is not a
leak, and it does not stop by itself. On another C library nothing is set.
"""

import ctypes
from functools import cache
from typing import Final

ARENAS: Final = 2
LARGE_BYTES: Final = 8 << 20
"""From this size on memory goes straight back to the system. A frame of 1080p stays below: returned and fetched again
for every frame its pages would cost a millisecond."""
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8


@cache
def _libc() -> ctypes.CDLL | None:
    """Glibc, where it is the C library."""
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") and hasattr(libc, "malloc_trim") else None


def settle() -> None:
    """Set the bounds; call it before the first thread is started."""
    if (libc := _libc()) is not None:
        libc.mallopt(M_ARENA_MAX, ARENAS)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Return to the system what is free; takes a millisecond or, after an engine, some, beside the interpreter."""
    if (libc := _libc()) is not None:
        libc.malloc_trim(0)
