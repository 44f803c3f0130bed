"""A device file that does not open as a camera: the kernel's reason is told, by real files, rights and groups."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.process import ROOT

DEVICES = Path("/sys/fs/cgroup/devices")
ASK = """
from agent.capture.address import Device
from agent.capture.device import open_device
from agent.config.tree import Camera
from agent.errors import CaptureError
try:
    open_device(Device({path!r}), Camera())
except CaptureError as error:
    print(error)
"""


def told(path: str, first: str = "") -> str:
    """What a process of its own says of a device, after the statements of ``first``."""
    command = [sys.executable, "-c", ASK.format(path=path).replace("try:", f"{first}\ntry:", 1)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_no_camera_is_called_so() -> None:
    """A device that opens and is none."""
    assert told("/dev/null") == "/dev/null does not open as a camera: it is no camera"


def test_the_rights_of_a_file_are_told_as_such() -> None:
    """A user who is not in the group is sent there."""
    if os.geteuid() != 0 or not Path("/dev/kmsg").exists():
        pytest.skip("only root can become a user without rights")
    assert "not permitted to this user" in told("/dev/kmsg", "import os; os.setgroups([]); os.setuid(65534)")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A real control group in which /dev/null is closed, as a service's DeviceAllow closes what it does not name."""
    group = DEVICES / f"edgepose-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "devices.deny").write_text("c 1:3 rwm")
    except OSError as error:
        pytest.skip(f"no control group can be made in {DEVICES}: {error.strerror}")
    yield group
    group.rmdir()


def test_the_rule_of_a_service_is_told_as_such(closed: Path) -> None:
    """Whoever has every right to the file and is refused all the same learns that it is the service's doing."""
    enter = f"import os; open({str(closed / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
    assert "not permitted by the service" in told("/dev/null", enter)
