"""A running service: the shipped unit's agent under a stand-in for systemd."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from models.store import Store, models_dir
from tests.broker import Broker
from tests.system.process import DEMO, ROOT, environment
from tests.systemd.stand_in import StandIn
from tests.systemd.unit import Unit

UNIT = ROOT / "systemd" / "edgepose-agent@.service"
LAUNCH = Path(__file__).with_name("launch.py")


class Service(Protocol):
    """Starts the agent as a service; ended with the test."""

    def __call__(
        self, seam: str = "nothing", *, watchdog: str = "2s", abstract: bool = False, **variables: str
    ) -> StandIn: ...


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def compiled(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled networks, for all services of the tests."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """The file that makes the seam fail."""
    return tmp_path / "now"


@pytest.fixture
def service(broker: Broker, compiled: Path, flag: Path, tmp_path: Path) -> Iterator[Service]:
    """The shipped unit, its watchdog shortened, with the demo's small picture and the test's broker."""
    with ExitStack() as stack:

        def start(seam: str = "nothing", *, watchdog: str = "2s", abstract: bool = False, **variables: str) -> StandIn:
            unit = Unit.read(UNIT, "demo")
            unit = replace(unit, settings=unit.settings | {"WatchdogSec": [watchdog], "RestartSec": ["100ms"]})
            given = {
                "EDGEPOSE_MQTT__HOST": "127.0.0.1",
                "EDGEPOSE_MQTT__PORT": str(broker.port),
                "EDGEPOSE_PATHS__CACHE": str(compiled),
                "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "128",
                "EDGEPOSE_PATHS__MODELS": str(models_dir()),
            }
            command = [sys.executable, str(LAUNCH), seam, str(flag), "run", "--config", str(DEMO)]
            log = stack.enter_context((tmp_path / "log").open("ab"))
            everything = environment(PYTHONPATH=str(ROOT), **given) | variables
            stand_in = StandIn(
                unit, command=command, variables=everything, folder=tmp_path, abstract=abstract, output=log
            )
            return stack.enter_context(stand_in)

        yield start
