"""What the kernel is asked for on behalf of big arrays."""

import os
import subprocess
import sys

import pytest

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
