"""Promises of the limit of a compiled network."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from agent.benchmark.limit import Limits, raw_throughput
from agent.errors import EngineError
from agent.inference.devices import open_core
from agent.inference.engine import Engine
from agent.inference.peak import GFLOP, convolutions
from agent.inference.spec import EngineSpec
from models.shelf.inspect import multiply_accumulates
from models.shelf.store import Store
from tests.inference.engines import CORE, movenet, taken
from tests.pipeline.test_pipeline import check_whole

SECONDS = 0.2


@pytest.fixture(scope="module")
def engine(store: Store) -> Iterator[Engine]:
    with movenet(store, (64, 64), device="SIMCPU", hint="throughput") as engine:
        yield engine


class Counting:
    """A core that counts what it compiles."""

    def __init__(self) -> None:
        self.compiled: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(CORE, name)

    def compile_model(self, network: Any, device: str, wanted: dict[str, Any]) -> Any:
        self.compiled.append((device, network))
        return CORE.compile_model(network, device, wanted)


def test_the_limit_is_the_raw_rate_and_its_arithmetic(engine: Engine) -> None:
    """Operations a second are those of one frame times the raw rate; the peak is of the same device."""
    core = Counting()
    limit = Limits(core).limit(engine, 0.5, SECONDS)
    assert limit.raw_fps > 0
    assert limit.gflops == pytest.approx(0.5 * limit.raw_fps)
    assert limit.peak_gflops is not None
    assert limit.peak_gflops > 0
    assert [device for device, _ in core.compiled] == ["SIMCPU"]
    check_whole(engine)


def test_a_peak_is_measured_once(engine: Engine, store: Store) -> None:
    """Rows of the same device and precision share its peak; another precision has its own."""
    core = Counting()
    limits = Limits(core)
    peaks = [limits.limit(engine, 1.0, SECONDS).peak_gflops for _ in range(2)]
    assert peaks[0] == peaks[1]
    assert len(core.compiled) == 1
    with movenet(store, (64, 64), device="SIMCPU", precision="FP16") as other:
        limits.limit(other, 1.0, SECONDS)
    assert len(core.compiled) == 2


def test_a_device_that_cannot_be_asked_has_no_peak(engine: Engine) -> None:
    """Where the convolutions do not run, the raw rate is told all the same."""
    limit = Limits(open_core({})).limit(engine, 1.0, SECONDS)  # it knows no SIMCPU
    assert limit.raw_fps > 0
    assert limit.peak_gflops is None


def test_the_arithmetic_of_the_convolutions_is_counted_right() -> None:
    """Operations are counted as they are for networks."""
    core = Counting()
    with convolutions(core, EngineSpec("any", "CPU", "FP32", 1, 1)):
        ((_, network),) = core.compiled
    assert 2 * multiply_accumulates(network) / 1e9 == pytest.approx(GFLOP)


@pytest.mark.parametrize(("precision", "computed"), [("FP32", "F32"), ("INT8", "U8")])
def test_the_convolutions_compute_at_the_precision(precision: Any, computed: str) -> None:
    """The peak of INT8 is one of whole numbers, and none is of a network that gives nothing."""
    with convolutions(CORE, EngineSpec("any", "CPU", precision, 1, 1)) as engine:
        assert engine.facts.inference_precision in (computed, "I8" if precision == "INT8" else computed)
        slot = taken(engine)
        slot.input[:] = np.random.default_rng(0).uniform(0, 4, slot.input.shape)
        slot.start()
        slot.wait()
        assert np.isfinite(slot.outputs[0]).all()
        assert slot.outputs[0].std() > 0.01
        engine.release(slot)


def test_a_busy_engine_has_no_raw_throughput(engine: Engine) -> None:
    """Measuring beside something else would tell nothing, and says so."""
    slots = [taken(engine) for _ in range(2)]
    with pytest.raises(EngineError, match="busy"):
        raw_throughput(engine, SECONDS)
    for slot in slots:
        engine.release(slot)
    check_whole(engine)
