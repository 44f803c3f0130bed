"""A running service: the shipped unit's agent under a stand-in for systemd."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from models.shelf.store import Store
from tests.broker import Broker
from tests.systemd.service import as_service
from tests.systemd.stand_in import StandIn


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
            log = stack.enter_context((tmp_path / "log").open("ab"))
            small = {"EDGEPOSE_PATHS__CACHE": str(compiled), "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "128"}
            stand_in = as_service(
                tmp_path,
                broker.port,
                settings={"WatchdogSec": [watchdog], "RestartSec": ["100ms"]},
                seam=seam,
                flag=flag,
                abstract=abstract,
                output=log,
                variables=small | variables,
            )
            return stack.enter_context(stand_in)

        yield start
