"""What tests of every package share: the real network and clip, and the test data beside the checkout."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from models import catalogue
from models.fetch import fetch
from models.store import Store, models_dir

# How long an example takes is the machine's business: no test fails because another process had the processor.
settings.register_profile("edgepose", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgepose")

SHARED_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


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
