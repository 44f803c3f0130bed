"""A plugin that ends the process while devices are listed costs a child its life, and nobody else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.inference import stand_in
from tests.nursery import NURSERY
from tests.system.process import environment

ASKS = """
import json, sys
from agent.errors import EngineError
from agent.inference import plugins
if len(sys.argv) > 1:
    plugins.PROBE_S = float(sys.argv[1])
from agent.inference.devices import list_devices, open_core, require_devices
core = open_core({"SIMCPU": "CPU"})
try:
    require_devices(core, "AUTO:NPU,CPU")
    refused = ""
except EngineError as error:
    refused = f"{error} {error.hint}"
print(json.dumps([[device.name for device in list_devices(core)], plugins.left_out(), refused]))
"""


NO_ROOM = """
import tempfile
tempfile._candidate_tempdir_list = list  # nowhere is a file to be had: each disk is full
"""


def asked(libraries: str, *arguments: str, before: str = "") -> tuple[list[str], dict[str, str], str]:
    """What a process beside these libraries finds: devices, plugins that were left out, and how NPU is refused."""
    done = subprocess.run(
        [sys.executable, "-c", before + ASKS, *arguments],
        env=environment(LD_LIBRARY_PATH=libraries),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names, left_out, refused = json.loads(done.stdout.splitlines()[-1])
    return names, left_out, refused


@pytest.mark.parametrize("name", ["SIGILL", "SIGSEGV", "SIGABRT"])
def test_a_plugin_that_dies_is_named_and_left_out(tmp_path: Path, name: str) -> None:
    """Whatever signal it dies of, the others are there, aliases too, and who asks for it learns why there is none."""
    names, left_out, refused = asked(stand_in.build(tmp_path, stand_in.DYING % name))
    assert names == ["CPU", "SIMCPU"]
    assert left_out == {"NPU": f"ended its process by {name}"}
    assert "NPU is left out" in refused
    assert name in refused


def test_who_is_born_beside_other_libraries_asks_anew(tmp_path: Path) -> None:
    """An agent of the tests has the nursery's answer where it finds the same libraries, and there alone."""
    libraries = stand_in.build(tmp_path, stand_in.DYING % "SIGABRT")
    for variables, plugins in ((environment(LD_LIBRARY_PATH=libraries), ["NPU"]), (environment(), [])):
        done = NURSERY.run(["-c", ASKS], variables, timeout_s=120)
        assert done.returncode == 0, done.stderr
        assert list(json.loads(done.stdout.splitlines()[-1])[1]) == plugins


def test_a_plugin_that_never_answers_is_left_out(tmp_path: Path) -> None:
    """A driver that hangs costs its time limit, once."""
    names, left_out, _refused = asked(stand_in.build(tmp_path, stand_in.HANGING), "8")
    assert names == ["CPU", "SIMCPU"]
    assert left_out == {"NPU": "no answer within 8 s"}


def test_nothing_is_left_out_where_all_answer() -> None:
    """Where each plugin answers, be it that there is no such device, OpenVINO's own list holds."""
    _names, left_out, _refused = asked("")
    assert left_out == {}


def test_a_full_disk_is_in_no_ones_way(tmp_path: Path) -> None:
    """Where no file can be made anywhere all is found out as ever, beside a plugin that dies too."""
    names, left_out, _refused = asked("", before=NO_ROOM)
    assert (names[0], left_out) == ("CPU", {})
    names, left_out, _refused = asked(stand_in.build(tmp_path, stand_in.DYING % "SIGILL"), before=NO_ROOM)
    assert (names, left_out) == (["CPU", "SIMCPU"], {"NPU": "ended its process by SIGILL"})


def test_doctor_speaks_beside_a_plugin_that_dies(tmp_path: Path) -> None:
    """`agent doctor` tells everything it would tell otherwise, and names the plugin."""
    libraries = stand_in.build(tmp_path, stand_in.DYING % "SIGILL")
    command = [str(Path(sys.executable).with_name("agent")), "doctor", "--json"]
    done = subprocess.run(
        command, env=environment(LD_LIBRARY_PATH=libraries), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in {0, 1}, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert len(checks) > 8
    told = checks["devices"]["finding"]
    assert "SIGILL" in told or "no answer within" in told, told
