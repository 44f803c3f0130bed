"""Promises of what OpenVINO is told: it reaches every device, and compiled networks are kept apart."""

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13

from agent.inference.facts import hinted_precision, members_of, read_facts, ring_size
from agent.inference.properties import PLACEMENTS_MAX, cache_folder, properties
from agent.inference.spec import EngineSpec
from models.shelf.catalogue import Precision
from tests.inference.engines import CORE

TOGETHER = ["HETERO:SIMCPU,CPU", "MULTI:SIMCPU,CPU", "AUTO", "AUTO:SIMCPU,CPU", "BATCH:CPU(4)"]


def two_convolutions() -> ov.Model:
    """A network of which HETERO runs the second half on CPU."""
    picture = opset13.parameter([1, 16, 32, 32], np.float32)
    weights = opset13.constant(np.full((16, 16, 3, 3), 0.01, np.float32))
    first = opset13.convolution(picture, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    second = opset13.convolution(first, opset13.constant(np.full((16, 16, 3, 3), 0.02, np.float32)), *[[1, 1]] * 4)
    result = opset13.result(second)
    network = ov.Model([result], [picture])
    for node in network.get_ordered_ops():
        node.get_rt_info()["affinity"] = "SIMCPU"
    for node in (second, result):
        node.get_rt_info()["affinity"] = "CPU"
    return network


def compiled(device: str, precision: Precision = "FP32", **spec: Any) -> tuple[ov.CompiledModel, EngineSpec]:
    wanted = EngineSpec("tiny", device, precision, 32, 32, **spec)
    return CORE.compile_model(two_convolutions(), device, properties(CORE, wanted)), wanted


def members(network: ov.CompiledModel) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = network.get_property("DEVICE_PROPERTIES")
    return found


@pytest.mark.parametrize("device", TOGETHER)
def test_hints_reach_every_device(device: str) -> None:
    """Precision, performance hint and threads arrive at each device, where the default would be BF16 and latency."""
    network, _spec = compiled(device, hint="throughput", threads=1)
    found = members(network)
    assert set(found) == set(network.get_property("EXECUTION_DEVICES"))
    if device.startswith("HETERO"):
        assert set(found) == {"SIMCPU", "CPU"}
    for of_one in found.values():
        assert of_one["INFERENCE_PRECISION_HINT"] == ov.Type.f32
        assert of_one["PERFORMANCE_HINT"] == "THROUGHPUT"
        assert of_one["INFERENCE_NUM_THREADS"] == 1


@pytest.mark.parametrize("device", ["CPU", *TOGETHER])
@pytest.mark.parametrize(("precision", "effective"), [("FP32", {"F32"}), ("FP16", {"F16", "BF16", "F32"})])
def test_the_precision_told_is_the_one_that_runs(device: str, precision: Precision, effective: set[str]) -> None:
    """What is told to run is read from the compiled graph, and where it can be compared it is what was understood."""
    network, spec = compiled(device, precision)
    facts = read_facts(network, spec, 1.0, 1.0)
    assert facts.inference_precision in effective
    if precision == "FP32":
        assert hinted_precision(network, members_of(network)) == "F32"


@pytest.mark.parametrize("device", ["CPU", *TOGETHER])
def test_an_engine_leaves_nothing_with_openvino(device: str) -> None:
    """What OpenVINO never frees is asked for so seldom that it does not show: a box switches for months."""

    def engine() -> None:
        network, spec = compiled(device)
        read_facts(network, spec, 1.0, 1.0)

    engine()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(10):
        engine()
    gc.collect()
    # One answer of a network on two devices is some 60 names; asked whenever there was a question it was 84 to 281.
    assert (sys.getallocatedblocks() - before) / 10 < 75


@pytest.mark.parametrize(
    ("device", "requests", "optimal", "ring"),
    [
        ("CPU", None, 2, 3),
        ("CPU", 4, 2, 5),
        ("MULTI:GPU,CPU", None, 6, 7),
        ("BATCH:GPU(4)", None, 4, 8),
        ("BATCH:GPU(4)", 3, 4, 4),
        ("BATCH:GPU(4)", 4, 4, 8),
        ("BATCH:GPU", None, 16, 32),
    ],
)
def test_a_ring_is_one_more_than_optimal(device: str, requests: int | None, optimal: int, ring: int) -> None:
    """One request is prepared while the others run; a batch is never left with a part that waits for its timeout."""
    assert ring_size(EngineSpec("any", device, "FP32", 32, 32, requests=requests), optimal) == ring


def test_every_device_and_placement_has_its_folder(tmp_path: Path) -> None:
    """Device strings and placements are kept apart; the same one finds its folder again."""
    one, other = ("CPU", "SIMCPU"), ("SIMCPU", "CPU")
    folders = [
        cache_folder(tmp_path, device, placement)
        for device in ("HETERO:SIMCPU,CPU", "HETERO:CPU,SIMCPU", "BATCH:CPU(4)")
        for placement in (None, one, other)
    ]
    assert len(set(folders)) == 9
    assert cache_folder(tmp_path, "HETERO:SIMCPU,CPU", one) in folders


def test_placements_make_room(tmp_path: Path) -> None:
    """Of many placements those used last are kept; other devices, and the one without a placement, are let alone."""
    device = "HETERO:SIMCPU,CPU"
    for keep in (cache_folder(tmp_path, device, None), cache_folder(tmp_path, "CPU", None)):
        keep.mkdir()
    kept = cache_folder(tmp_path, "HETERO:CPU,SIMCPU", ("CPU",))
    placements = [("CPU",) * count for count in range(1, PLACEMENTS_MAX + 4)]
    folders = []
    for placement in placements:
        folders.append(cache_folder(tmp_path, device, placement))
        cache_folder(tmp_path, device, placements[0])
    there = {folder for folder in folders if folder.exists()}
    assert there == {folders[0], *folders[-(PLACEMENTS_MAX - 1) :]}
    assert {path.name for path in tmp_path.iterdir()} >= {kept.name, "CPU", "HETERO_SIMCPU+CPU"}
