"""How Python and the C library keep memory, set so that a process which runs for months does not swell.

Every engine is built and closed in threads of their own, with weights of another size each time. Left alone, glibc
gives threads heaps of their own and keeps what they free: 200 switches then add 80 MB that nothing uses. It is not a
leak, and it does not stop by itself. On another C library nothing is set.

What refers to itself, as every error with its traceback does, is freed by Python's collector alone, and that looks at
the old only once a quarter as much is new as there is in all: megabytes, by the time it does.
"""

import ctypes
import gc
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
    """Set the bounds; call it when everything is imported, and before the first thread is started."""
    # The modules are most of what there is, and stay: not looked at again, a collection is short enough for any moment.
    gc.collect()
    gc.freeze()
    if (libc := _libc()) is not None:
        libc.mallopt(M_ARENA_MAX, ARENAS)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Return to the system what is free; takes a millisecond or, after an engine, some, beside the interpreter."""
    if (libc := _libc()) is not None:
        libc.malloc_trim(0)


def tidy() -> None:
    """Free what nobody can reach as well; that stops the interpreter for half a millisecond after :func:`settle`."""
    gc.collect()
    give_back()
