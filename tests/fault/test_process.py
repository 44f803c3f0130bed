"""The process: disks, clocks, and where a fault may come in."""

import importlib
import time
from pathlib import Path

import pytest

from agent.control.journal import Journal
from agent.service import clock
from agent.service.clock import WallClock
from agent.wire.messages import Event, State, Status
from tests import broken_networks
from tests.broker import Broker
from tests.capture.pictures import write_folder
from tests.fault.box import changed
from tests.fault.driver import InjectedError, arm
from tests.fault.rig import TOPICS, Ear, driven
from tests.fault.seams import SEAMS
from tests.system.small import variables


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    """Environment of an agent on a tiny network."""
    broken_networks.sound(tmp_path / "networks")
    return variables(tmp_path / "networks", write_folder(tmp_path / "pictures", 20), tmp_path)


def told(ear: Ear, code: str) -> Event:
    return Event.decode(ear.event(code, 0).payload)


@pytest.mark.parametrize("name", SEAMS)
def test_every_seam_is_there(name: str) -> None:
    """Each place of the table names something of the agent that can be called."""
    module, _, names = SEAMS[name].place.partition(":")
    found = importlib.import_module(module)
    for step in names.split("."):
        found = getattr(found, step)
    assert callable(found)


def test_a_seam_raises_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Armed, a seam raises the next time it is passed and never again."""
    monkeypatch.setattr(WallClock, "jump", WallClock.jump)
    arm("agent.service.clock:WallClock.jump", tmp_path / "armed")
    watched = WallClock()
    assert watched.jump() is None
    (tmp_path / "armed").touch()
    with pytest.raises(InjectedError):
        watched.jump()
    assert watched.jump() is None


def test_a_clock_that_jumps_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was set is told once, with by how much and which way; one that is slewed is not."""
    watched = WallClock()
    ahead_s = time.time() - time.monotonic()
    moves = iter((0.5, 86_400.5, 86_400.6, 0.6))
    monkeypatch.setattr(clock, "_ahead_s", lambda: ahead_s + next(moves))
    slewed, forward, still, back = (watched.jump() for _ in range(4))
    assert slewed is still is None
    assert forward is not None
    assert back is not None
    assert forward.facts["jumped_s"] == pytest.approx(86_400, abs=1)
    assert back.facts["jumped_s"] == pytest.approx(-86_400, abs=1)
    assert "forward" in forward.message
    assert "back" in back.message


def test_a_disk_that_takes_nothing(tmp_path: Path, given: dict[str, str]) -> None:
    """An agent that cannot write its state runs, does what it is asked for, and says that a restart would forget it."""
    (tmp_path / "file").touch()
    nowhere = given | {"EDGEPOSE_PATHS__STATE": str(tmp_path / "file" / "state")}
    with Broker(tmp_path) as broker, Ear(broker.port) as ear, driven(broker.port, **nowhere):
        assert "cannot be written" in told(ear, "state.not_saved").message
        ear.pose(0, 60)
        changed(ear, "SIMCPU")


def test_a_damaged_state_file_is_told(tmp_path: Path, given: dict[str, str]) -> None:
    """A state file that is damaged, or void because the configuration was edited, is told, and the agent runs."""
    state = tmp_path / "state" / "demo.json"
    state.parent.mkdir()
    state.write_bytes(b"nonsense")
    with Broker(tmp_path) as broker:
        with Ear(broker.port) as ear, driven(broker.port, **given):
            assert str(state) in told(ear, "state.damaged").message
            ear.pose(0, 60)
        edited = given | {"EDGEPOSE_INFERENCE__DEVICE": "SIMCPU"}
        with Ear(broker.port) as ear, driven(broker.port, **edited):
            assert "edited" in told(ear, "state.reset").message


def test_a_start_that_could_not_be_is_no_death(tmp_path: Path, given: dict[str, str]) -> None:
    """Starts without the network end as failed, and count nothing against what was asked for."""
    missing = given | {"EDGEPOSE_PATHS__MODELS": str(tmp_path / "nothing")}
    with Broker(tmp_path) as broker, Ear(broker.port) as ear:
        for _ in range(3):
            with driven(broker.port, **missing) as process:
                assert process.end(30) == 1
        ear.wait_for(TOPICS.availability, b"offline")
        last = State.decode([seen for seen in ear.heard if seen.topic == TOPICS.state][-1].payload)
    assert last.status is Status.FAILED
    assert "`models list`" in (last.last_error or "")
    record = Journal(tmp_path / "state" / "demo.json").load()
    assert record is not None
    assert (record.alive, record.deaths) == (False, ())
