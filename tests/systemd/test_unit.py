"""The unit file: how exposed a service is that it confines, and what it must not take away."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.process import ROOT
from tests.systemd.service import UNIT
from tests.systemd.unit import Unit

EXPOSURE_MAX = 2.0


@pytest.fixture
def unit() -> Unit:
    return Unit.read(UNIT, "gym-01")


@pytest.fixture
def analyze() -> Callable[..., str]:
    """Systemd's own judgement of a unit: what it prints; it must find no fault."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "edgepose" not in done.stderr, "of other units of this machine it may complain"
        return done.stdout

    return run


def test_systemd_finds_no_fault(analyze: Callable[..., str], tmp_path: Path) -> None:
    """Every line of the unit is one that systemd knows."""
    program = UNIT.read_text().replace("/opt/edgepose/current/bin/agent", sys.executable)
    written = tmp_path / "edgepose-agent@gym-01.service"
    written.write_text(program)
    analyze("verify", "--man=no", written)


def test_the_service_is_little_exposed(analyze: Callable[..., str]) -> None:
    """The unit's exposure is at most 2.0, where units of brokers and collectors have 9.2."""
    told = analyze("security", "--offline=true", "--no-pager", UNIT)
    level = re.search(r"Overall exposure level for .*: ([\d.]+)", told)
    assert level is not None, told
    assert float(level[1]) <= EXPOSURE_MAX, told


def test_the_instance_is_the_device(unit: Unit) -> None:
    """The name behind the @ is the device id, and names configuration and credentials."""
    assert unit.environment()["EDGEPOSE_DEVICE_ID"] == "gym-01"
    assert unit.command()[-2:] == ["--config", "/etc/edgepose/gym-01.toml"]
    assert unit.one("LoadCredential") == "edgepose:/etc/edgepose/gym-01.credentials"


def test_the_watchdog_runs_and_its_word_counts(unit: Unit) -> None:
    """It is waited for until READY, the main process alone is heard, and what is silent for ten seconds is ended."""
    assert (unit.one("Type"), unit.one("NotifyAccess"), unit.seconds("WatchdogSec")) == ("notify", "main", 10)
    assert unit.one("Restart") == "always"


def test_what_an_agent_needs_is_left_to_it(unit: Unit) -> None:
    """Camera, graphics, network and OpenVINO's just-in-time code are not taken away."""
    assert {value.split()[0] for value in unit.settings["DeviceAllow"]} >= {
        "char-video4linux",
        "char-drm",
        "char-accel",
    }
    assert unit.one("SupplementaryGroups").split() == ["video", "render"]
    assert {"AF_INET", "AF_INET6", "AF_UNIX"} <= set(unit.one("RestrictAddressFamilies").split())
    assert not {"PrivateDevices", "PrivateNetwork", "MemoryDenyWriteExecute"} & set(unit.settings)


def test_the_graphics_driver_keeps_its_kernels(unit: Unit) -> None:
    """What the driver compiles has a home that the service may write, so that a restart does not compile it anew."""
    environment = unit.environment()
    assert environment["NEO_CACHE_PERSISTENT"] == "1"
    assert environment["NEO_CACHE_DIR"].removeprefix("/var/cache/") in unit.one("CacheDirectory").split()


def test_kinds_of_device_are_known_before_they_are_allowed(unit: Unit) -> None:
    """Systemd drops the rule of a kind whose module is not loaded: the installer names it, the unit waits for it."""
    assert "systemd-modules-load.service" in unit.one("After").split()
    script = (ROOT / "systemd" / "install.sh").read_text(encoding="utf-8")
    assert "MODULES=/etc/modules-load.d/edgepose.conf" in script
    assert "videodev" in script


def test_the_rest_of_the_box_is_read_only(unit: Unit) -> None:
    """Strict leaves nothing to write; /run, which systemd 252 forgets, is named. `make boot-trial` tries it."""
    assert (unit.one("ProtectSystem"), unit.one("ReadOnlyPaths")) == ("strict", "/run")


def test_the_installer_is_clean() -> None:
    """No finding of shellcheck stands in the installer."""
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    scripts = [str(path) for path in sorted((ROOT / "systemd").glob("*.sh"))]
    scripts.append(str(ROOT / "systemd" / "edgepose-agent"))
    found = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stdout
