"""What tests of every package share: the real network and clip, and the test data beside the checkout."""

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.signals import handle_on_the_ordinary_stack

# How long an example takes is the machine's business: no test fails because another process had the processor.
settings.register_profile("edgepose", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("edgepose"), max_examples=20, stateful_step_count=20)
settings.load_profile("edgepose")

# A shell that starts something in the background, and nohup, have it ignore Ctrl-C, which every program started from
# here would inherit. A test that sends a signal means the program as a terminal starts it.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (_number,))

HERE = Path(__file__).parent
pytest_plugins = ("tests.traces",)
SLOW = frozenset(
    {"cameras", "controller", "fault", "fuzz", "inference", "link", "models", "record", "security", "soak", "study"}
    | {"fleet", "system", "systemd"}
)
"""Folders whose tests start agents, brokers, cameras or commands, or compile networks: not part of `make check`."""

LONGEST = (
    "system/test_first_week.py",
    "system/test_study.py",
    "system/test_quantize_job.py",
    "system/test_wire.py",
    "inference/test_checked.py",
    "system/test_kill_switch.py",
    "models/test_quantize.py",
    "system/test_broken_requests.py",
    "systemd/test_service.py",
    "soak/test_endurance.py",
    "soak/test_switches.py",
    "system/test_demo.py",
    "system/test_crash_rule.py",
    "models/test_frozen.py",
    "system/test_zone_moments.py",
    "fleet/test_fleet.py",
)
"""Files that take longest, as measured: they begin first, so that nobody waits for one of them at the end."""

SHARED_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


def pytest_runtest_setup() -> None:
    """Whatever an engine of the test before has left behind, a signal finds a stack."""
    handle_on_the_ordinary_stack()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make check` leaves out, and have what takes long begin first."""
    for item in items:
        if _folder(item) in SLOW:
            item.add_marker("slow")
    places = {HERE / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (places.get(item.path, len(places)), _folder(item) not in SLOW))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command that runs in the tests' own process sets the log up for itself: the next test has the usual one."""
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def store() -> Store:
    """Fill the user's own cache with movenet-multipose and vtest: fetched by the first run, checked by the others."""
    store = Store(models_dir())
    for name in ("movenet-multipose", "vtest"):
        fetch(catalogue.card(name), store)
    return store


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Find the test data beside the checkout."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip(f"no test data: {SHARED_DATA}/README.md is missing")
    return SHARED_DATA.resolve()


@pytest.fixture(scope="session")
def openpose_store(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Fill a cache of its own with the OpenPose network, from the file beside the checkout."""
    path = shared_data / "models" / "openpose-mobilenet-v2-small.pb"
    if not path.is_file():
        pytest.skip(f"no test data: {path} is missing")
    store = Store(tmp_path_factory.mktemp("openpose"))
    fetch(catalogue.card("openpose-mobilenet-v2-small"), store, origin=path)
    return store
