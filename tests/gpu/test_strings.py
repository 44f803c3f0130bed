"""Promises of device strings with a GPU in them: what is reported runs, cold or warm, and nothing is dropped."""

import itertools
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino as ov
import pytest
from openvino import opset13
from structlog.testing import capture_logs

from agent.errors import EngineError
from agent.inference.devices import cause, require_devices
from agent.inference.facts import read_facts
from agent.inference.properties import properties
from agent.inference.spec import EngineSpec, Hint
from models.shelf.catalogue import Precision
from tests.gpu.matrix import HINTS, PRECISIONS, STRINGS, Bench, alike
from tests.gpu.small import Small, broken
from tests.gpu.test_rig import convolution
from tests.inference.engines import taken

RUNS_ON: Final = {
    "CPU": {"CPU"},
    "GPU": {"GPU"},
    "GPU.0": {"GPU"},
    "AUTO": {"GPU"},
    "AUTO:GPU,CPU": {"GPU"},
    "AUTO:-GPU": {"CPU"},
    "MULTI:GPU,CPU": {"GPU", "CPU"},
    "HETERO:GPU,CPU": {"GPU"},
    "HETERO:CPU,GPU": {"CPU"},
    "BATCH:GPU(4)": {"GPU"},
}
WITH_GPU: Final = [device for device, where in RUNS_ON.items() if "GPU" in where]


def marked(device: str, precision: Precision, hint: Hint) -> Any:
    slow = precision == "FP16" or device.startswith("BATCH")
    return pytest.param(device, precision, hint, marks=[pytest.mark.whole] if slow else [])


@pytest.mark.parametrize(
    ("device", "precision", "hint"), [marked(*case) for case in itertools.product(STRINGS, PRECISIONS, HINTS)]
)
def test_what_is_reported_runs_cold_or_warm(small: Small, device: str, precision: Precision, hint: Hint) -> None:
    """Devices, precision, requests and submodels are what was asked for, and the same when taken from the cache."""
    streams = 3 if device == "GPU.0" else None  # else it would find what GPU has left in the cache
    with small.engine(device, precision, hint=hint, streams=streams) as engine:
        cold = engine.facts
    with small.engine(device, precision, hint=hint, streams=streams) as engine:
        warm = engine.facts
    assert (cold.from_cache, warm.from_cache) == (False, True)
    assert alike(cold, warm), f"{cold} and from the cache {warm}"
    assert set(cold.execution_devices) == RUNS_ON[device]
    if precision == "FP32":
        assert cold.inference_precision == "F32"
    elif RUNS_ON[device] == {"GPU"}:
        assert cold.inference_precision == "F16"


@pytest.mark.parametrize("device", WITH_GPU)
@pytest.mark.parametrize("hint", HINTS)
def test_streams_requests_and_threads_reach_whom_they_concern(small: Small, device: str, hint: Hint) -> None:
    """Streams every device, threads the processor alone; no device is lost over them."""
    told = small.told(device, hint=hint, streams=1, requests=2, threads=1)
    assert {name.removesuffix(".0") for name in told} == RUNS_ON[device]
    for name, values in told.items():
        assert values["NUM_STREAMS"] == 1
        assert values["INFERENCE_PRECISION_HINT"] == ov.Type.f32
        assert ("INFERENCE_NUM_THREADS" in values) == (name == "CPU")
        if name == "CPU":
            assert values["INFERENCE_NUM_THREADS"] == 1


@pytest.mark.parametrize("device", [device for device in WITH_GPU if not device.startswith("BATCH")])
def test_nobody_waits_for_a_batch_who_has_not_asked_for_one(small: Small, device: str) -> None:
    """Under the throughput hint no device gathers frames, which takes OpenVINO a second of a slow camera's each."""
    for values in small.told(device, hint="throughput").values():
        assert "AUTO_BATCH_TIMEOUT" not in values
        assert int(values["NUM_STREAMS"]) > 1


@pytest.mark.parametrize("device", ["GPU.1", "AUTO:GPU.1,CPU", "MULTI:GPU.1,CPU", "HETERO:CPU,GPU.1", "BATCH:GPU.1(4)"])
def test_a_card_that_is_not_there_is_refused_by_name(small: Small, device: str) -> None:
    """OpenVINO would run MULTI without it in silence; here every mode says what is missing."""
    with pytest.raises(EngineError, match=r"this box has no GPU\.1") as caught:
        small.engine(device)
    assert "devices here: CPU, GPU" in caught.value.hint


def test_gpu_0_is_gpu(small: Small) -> None:
    """The card has one name in everything that is told, and one compiled network."""
    assert str(require_devices(small.core, "hetero:gpu.0,cpu")) == "HETERO:GPU,CPU"
    small.engine("GPU", requests=3).close()
    with small.engine("gpu.0", requests=3) as engine:
        assert engine.spec.device == "GPU"
        assert engine.facts.from_cache


@pytest.mark.parametrize("device", ["GPU", "MULTI:GPU,CPU", "HETERO:GPU,CPU", "BATCH:GPU(4)"])
def test_what_the_driver_refuses_fails_with_its_cause(
    small: Small, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that builds nothing fails the engine, MULTI too; and the error holds what the plugin said."""
    with broken(monkeypatch, tmp_path, "BUILD"), pytest.raises(EngineError, match=r"[Bb]uild") as caught:
        small.engine(device, requests=5)
    assert "Exception from" not in str(caught.value)


def test_auto_tells_what_it_chose(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUTO goes to the processor where the card cannot, and says that it did."""
    with broken(monkeypatch, tmp_path, "BUILD"), small.engine("AUTO:GPU,CPU", requests=6) as engine:
        assert engine.facts.execution_devices == ("CPU",)


@pytest.mark.parametrize("device", ["MULTI:GPU,CPU", "AUTO:GPU,CPU"])
def test_a_card_that_fails_while_it_runs_is_told(
    small: Small, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO goes on with the processor and says nothing; the engine's facts and the log do."""
    with small.engine(device, requests=7) as engine, capture_logs() as logs:
        assert "GPU" in engine.facts.execution_devices
        with broken(monkeypatch, tmp_path, "FAIL"):
            for _ in range(4):
                slot = taken(engine)
                slot.start()
                slot.wait()
                engine.release(slot)
        assert engine.facts.execution_devices == ("CPU",)
    assert [entry["event"] for entry in logs] == ["engine.moved"]


BAD: Final[list[tuple[dict[str, Any], str]]] = [
    ({"INFERENCE_PRECISION_HINT": "bf16"}, "Supported values: { f16, f32, dynamic }"),
    ({"INFERENCE_NUM_THREADS": 1}, "Option not found: INFERENCE_NUM_THREADS"),
    ({"NUM_STREAMS": 1}, "Invalid value: 1 for property: NUM_STREAMS"),
]


@pytest.mark.parametrize(("wanted", "told"), BAD)
def test_the_plugin_s_own_words_are_the_cause(small: Small, wanted: dict[str, Any], told: str) -> None:
    """Of what the plugin answers the line that says what is wrong is told, and what may be instead."""
    with pytest.raises(RuntimeError) as caught:
        small.core.compile_model(convolution(), "GPU", wanted)
    assert told in cause(caught.value)
    assert "description" not in cause(caught.value)


def quantized() -> ov.Model:
    """A convolution between two roundings to eight bits."""
    picture = opset13.parameter([1, 16, 16, 16], np.float32)
    bounds = [opset13.constant(np.float32(bound)) for bound in (0.0, 4.0)]
    values = opset13.fake_quantize(picture, *bounds, *bounds, 256)
    weights = np.random.default_rng(0).uniform(-1, 1, (16, 16, 3, 3)).astype(np.float32)
    edges = [opset13.constant(np.float32(edge)) for edge in (-1.0, 1.0)]
    kernel = opset13.fake_quantize(opset13.constant(weights), *edges, *edges, 255)
    return ov.Model([opset13.result(opset13.convolution(values, kernel, *[[1, 1]] * 4))], [picture])


def test_int8_runs_in_half_precision_and_says_so(small: Small) -> None:
    """A device without integer convolutions runs a quantised network all the same; what it runs in is told."""
    spec = EngineSpec("quantized", "GPU", "INT8", 16, 16)
    compiled = small.core.compile_model(quantized(), "GPU", properties(small.core, spec))
    facts = read_facts(compiled, spec, 0.0, 0.0)
    assert (facts.model_precision, facts.inference_precision) == ("INT8", "F16")
    picture = np.random.default_rng(1).uniform(0, 4, (1, 16, 16, 16)).astype(np.float32)
    # Not the processor's: without VNNI its eight-bit sums overflow.
    plain = small.core.compile_model(quantized(), "GPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = plain(picture)[0]
    assert np.abs(expected).max() > 10
    assert np.abs(compiled(picture)[0] - expected).max() <= 0.02 * np.abs(expected).max()


POSES: Final[list[tuple[str, Precision, float]]] = [
    ("GPU", "FP32", 0.99),
    ("GPU", "FP16", 0.95),
    ("MULTI:GPU,CPU", "FP32", 0.99),
]


@pytest.mark.whole
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("device", "precision", "least"), POSES)
def test_poses_are_those_of_the_processor(bench: Bench, device: str, precision: Precision, least: float) -> None:
    """The real network finds the same people in the same place."""
    assert bench.built(device, precision).oks >= least
