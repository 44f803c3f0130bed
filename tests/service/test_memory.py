"""What the agent holds in memory and what it gives back."""

import gc
import os
import subprocess
import sys
import weakref

import pytest

from agent.service import memory

PROGRAM = """
import agent, numpy
array = numpy.ones(8 << 20, numpy.uint8)
place, inside = array.ctypes.data + (4 << 20), False
for line in open("/proc/self/smaps"):
    if "-" in (first := line.split()[0]):
        low, high = (int(end, 16) for end in first.split("-"))
        inside = low <= place < high
    elif inside and first == "VmFlags:":
        print("hg" in line.split())
"""


@pytest.mark.parametrize(("wanted", "huge"), [(None, False), ("1", True)], ids=["by default", "asked for"])
def test_big_arrays_lie_on_small_pages(wanted: str | None, huge: bool) -> None:
    """The agent's numpy asks for no huge pages, unless the environment says that it shall."""
    environ = {name: value for name, value in os.environ.items() if name != "NUMPY_MADVISE_HUGEPAGE"}
    environ |= {"NUMPY_MADVISE_HUGEPAGE": wanted} if wanted else {}
    told = subprocess.run([sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(huge)]


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_refers_to_itself_is_given_back() -> None:
    """However old it is: Python's collector alone would leave it until much else is as old."""
    ring = Ring()
    gc.collect()  # it is among the old now
    seen = weakref.ref(ring)
    del ring
    assert seen() is not None
    memory.tidy()
    assert seen() is None


def test_what_is_imported_is_not_looked_at_again() -> None:
    """Or giving back would stop every thread for tens of milliseconds."""
    program = (
        "import gc, agent.app; from agent.service import memory; memory.settle(); "
        "print(gc.get_freeze_count() > 50_000, len(gc.get_objects()) < 5_000)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "True"]
