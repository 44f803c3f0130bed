"""What a process holds, by readings of it."""

import mmap
import os
from typing import Final

from tests.soak.footprint import Breath

HELD_MB: Final = 64


def test_what_is_held_for_a_while_counts_for_that_while() -> None:
    """Of 64 MB held in one of four readings the mean has a quarter, the least nothing; later they are forgotten."""
    breath = Breath(os.getpid(), 4)
    for _ in range(3):
        breath.read()
    before_mb, least_mb = breath.anon_mb, breath.least_mb
    # Of the kernel, not of the C library: that may have room from tests before, and keeps what is freed there.
    with mmap.mmap(-1, HELD_MB << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1
        breath.read()
    assert abs(breath.anon_mb - before_mb - HELD_MB / 4) < 2
    assert abs(breath.rss_mb - breath.anon_mb - breath.now.rss_kb / 1024 + breath.now.anon_kb / 1024) < 2
    assert abs(breath.least_mb - least_mb) < 2
    for _ in range(4):
        breath.read()
    assert abs(breath.anon_mb - before_mb) < 2
