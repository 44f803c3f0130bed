"""Promises of the engine, with the real network on real (and doubled) devices."""

import queue
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13

from agent.capture.frame import Image
from agent.errors import EdgeposeError, EngineError
from agent.inference.engine import Engine, Slot, build_engine
from agent.inference.letterbox import prepare
from agent.inference.spec import EngineSpec
from models.shelf import golden
from models.shelf.catalogue import NetworkCard, Precision
from models.shelf.store import Store
from tests.footage import clip_frames
from tests.inference.engines import CARD, CORE, DECODER, Floats, heads_of, movenet, taken

SIZE = (96, 128)
PICTURES = 12


@pytest.fixture(scope="module")
def engine(store: Store) -> Engine:
    return movenet(store, SIZE)


@pytest.fixture(scope="module")
def pictures(store: Store) -> list[Image]:
    images = [np.empty((*SIZE, 3), np.uint8) for _ in range(PICTURES)]
    for frame, image in zip(clip_frames(store, range(0, PICTURES * 20, 20)), images, strict=True):
        prepare(frame, image)
    return images


def same(left: tuple[Floats, ...], right: tuple[Floats, ...]) -> bool:
    return all(np.abs(one - other).max() <= 1e-3 * np.abs(other).max() for one, other in zip(left, right, strict=True))


@pytest.mark.parametrize("precision", ["FP32", "FP16"])
def test_precision_is_reported_as_it_runs(store: Store, precision: Precision) -> None:
    """FP32 computes in F32 as the golden answer was; FP16 says what it really computes in, and computes accordingly."""
    engine = movenet(store, (CARD.input.height, CARD.input.width), precision=precision)
    answer = dict(zip(DECODER.roles, heads_of(engine, golden.golden_input(CARD)), strict=True))
    deviation = golden.deviation(answer, golden.load(store.golden(CARD.name)))
    assert engine.facts.model_precision == precision
    assert engine.facts.inference_precision in ({"F32"} if precision == "FP32" else {"F16", "BF16", "F32"})
    assert (deviation < 1e-3) == (engine.facts.inference_precision == "F32")
    assert deviation < 0.3


@pytest.mark.parametrize(
    "device", ["SIMCPU", "HETERO:SIMCPU,CPU", "MULTI:SIMCPU,CPU", "AUTO", "AUTO:SIMCPU,CPU", "BATCH:CPU(4)"]
)
def test_every_kind_of_device_gives_the_same_heads(
    device: str, store: Store, engine: Engine, pictures: list[Image]
) -> None:
    """One device, its double, and both combined compute the same, and say which of them they use."""
    other = movenet(store, SIZE, device=device)
    for picture in pictures[:3]:
        assert same(heads_of(other, picture), heads_of(engine, picture))
    assert set(other.facts.execution_devices) <= {"CPU", "SIMCPU"}
    assert other.facts.execution_devices
    assert other.facts.inference_precision == "F32"
    assert (other.facts.submodels is not None) == device.startswith("HETERO")


def test_results_are_never_mixed_up(store: Store, engine: Engine, pictures: list[Image]) -> None:
    """With every slot in flight, each slot gives the result of the picture it was given, in the order of starting."""
    expected = [heads_of(engine, picture) for picture in pictures]
    ring = movenet(store, SIZE, hint="throughput", streams=2, requests=4)
    assert ring.facts.infer_requests == 5
    assert not any(same(expected[n], expected[n - 1]) for n in range(PICTURES)), "the pictures cannot be told apart"
    flight: queue.SimpleQueue[tuple[int, Slot]] = queue.SimpleQueue()
    order = np.random.default_rng(3).integers(0, PICTURES, 150).tolist()

    def feed() -> None:
        for number in order:
            slot = taken(ring)
            slot.input[:] = pictures[number]
            slot.start()
            flight.put((number, slot))

    feeder = threading.Thread(target=feed)
    feeder.start()
    for place, wanted in enumerate(order):
        number, slot = flight.get(timeout=10)
        slot.wait()
        assert number == wanted
        assert same(slot.outputs, expected[number]), f"result {place} is not that of its picture"
        assert slot.latency_ms > 0
        ring.release(slot)
    feeder.join()


def test_a_slot_is_lent_once(store: Store) -> None:
    """There are one slot more than requests asked for; when all are out, nobody gets one until one comes back."""
    engine = movenet(store, SIZE, requests=2)
    slots = [taken(engine) for _ in range(3)]
    assert len({id(slot) for slot in slots}) == 3
    assert engine.acquire(timeout_s=0.01) is None
    engine.release(slots[1])
    assert engine.acquire(timeout_s=0.01) is slots[1]


@pytest.mark.parametrize(
    ("spec", "waiting"),
    [
        ({"hint": "latency"}, 1),
        ({"hint": "latency", "requests": 2}, 1),
        ({"hint": "latency", "device": "HETERO:SIMCPU,CPU"}, 1),
        ({"hint": "throughput", "streams": 1, "requests": 1}, 0),
        ({"hint": "latency", "device": "BATCH:CPU(2)"}, 0),
    ],
)
def test_the_one_more_is_prepared_and_not_started(
    spec: dict[str, Any], waiting: int, store: Store, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the latency hint no more compute at a time than were asked for; the one that ends starts the next."""
    began: list[Slot] = []
    compute = Slot.compute

    def noted(slot: Slot) -> None:
        began.append(slot)
        compute(slot)

    monkeypatch.setattr(Slot, "compute", noted)
    with movenet(store, SIZE, **spec) as ring:
        slots = [taken(ring) for _ in range(ring.facts.infer_requests)]
        began.clear()
        for slot, picture in zip(slots, pictures, strict=False):
            slot.input[:] = picture
            slot.start()
        at_once = len(slots) - waiting
        assert began == slots[:at_once]
        for place, slot in enumerate(slots, 1):
            slot.wait()
            assert began == slots[: place + at_once]
            ring.release(slot)


class Failing:
    """A request that OpenVINO cannot start."""

    def start_async(self) -> None:
        raise RuntimeError("the driver is gone")


def test_one_that_cannot_start_keeps_no_place(
    store: Store, engine: Engine, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What OpenVINO says against a prepared request is told to whoever waits for it, and the next one computes."""
    expected = heads_of(engine, pictures[0])
    with movenet(store, SIZE, hint="latency") as ring:
        first, second = taken(ring), taken(ring)
        first.input[:] = pictures[0]
        first.start()
        with monkeypatch.context() as patch:
            patch.setattr(second, "_request", Failing())
            second.start()
            first.wait()
        with pytest.raises(EngineError, match="the driver is gone"):
            second.wait()
        ring.release(first)
        ring.release(second)
        with monkeypatch.context() as patch:
            patch.setattr(first, "_request", Failing())
            with pytest.raises(RuntimeError, match="the driver is gone"):
                first.start()
        assert same(heads_of(ring, pictures[0]), expected)
        assert same(heads_of(ring, pictures[0]), expected)


@pytest.mark.parametrize("device", ["CPU", "AUTO:SIMCPU,CPU", "HETERO:SIMCPU,CPU"])
def test_the_second_build_comes_from_the_cache(
    device: str, store: Store, engine: Engine, pictures: list[Image], tmp_path: Path
) -> None:
    """A compiled network is kept, found again by the next build, and computes the same."""
    first = movenet(store, SIZE, device=device, cache=tmp_path)
    second = movenet(store, SIZE, device=device, cache=tmp_path)
    assert (first.facts.from_cache, second.facts.from_cache) == (False, True)
    assert same(heads_of(second, pictures[0]), heads_of(engine, pictures[0]))


def test_every_device_string_has_a_cache_of_its_own(store: Store, tmp_path: Path) -> None:
    """HETERO:A,B never finds what HETERO:B,A left, which OpenVINO would take."""
    devices = ("HETERO:SIMCPU,CPU", "HETERO:CPU,SIMCPU", "CPU")
    engines = [movenet(store, SIZE, device=device, cache=tmp_path) for device in devices]
    assert not any(engine.facts.from_cache for engine in engines)
    assert [engine.facts.execution_devices for engine in engines] == [("SIMCPU",), ("CPU",), ("CPU",)]
    assert len(list(tmp_path.iterdir())) == len(devices)


def test_a_batch_gives_each_picture_its_own_result(store: Store, engine: Engine, pictures: list[Image]) -> None:
    """BATCH computes several slots at once, and each gives the result of its picture."""
    expected = [heads_of(engine, picture) for picture in pictures]
    with movenet(store, SIZE, device="BATCH:CPU(2)") as ring:
        assert ring.facts.infer_requests % 2 == 0
        slots = [taken(ring) for _ in range(ring.facts.infer_requests)]
        for slot, picture in zip(slots, pictures, strict=False):
            slot.input[:] = picture
            slot.start()
        for slot, wanted in zip(slots, expected, strict=False):
            slot.wait()
            assert same(slot.outputs, wanted)
            ring.release(slot)


def test_devices_may_be_written_in_any_case(store: Store) -> None:
    """The engine's own spec has the device string as OpenVINO reads it."""
    with movenet(store, SIZE, device="hetero: simcpu, cpu") as engine:
        assert engine.spec.device == "HETERO:SIMCPU,CPU"


def test_without_a_cache_folder_nothing_is_kept(store: Store) -> None:
    """No cache means that each build compiles."""
    assert not any(movenet(store, SIZE).facts.from_cache for _ in range(2))


def damage_weights(folder: Path) -> None:
    path = folder / f"{CARD.name}.bin"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove_weights(folder: Path) -> None:
    (folder / f"{CARD.name}.bin").unlink()


def damage_graph(folder: Path) -> None:
    (folder / f"{CARD.name}.xml").write_text("<net>no graph</")


def cut_graph(folder: Path) -> None:
    path = folder / f"{CARD.name}.xml"
    path.write_bytes(path.read_bytes()[:5000])


def remove_graph(folder: Path) -> None:
    (folder / f"{CARD.name}.xml").unlink()


@pytest.mark.parametrize("damage", [damage_weights, remove_weights, damage_graph, cut_graph, remove_graph])
def test_a_damaged_network_is_one_clear_line(damage: object, store: Store, tmp_path: Path) -> None:
    """Whatever is wrong with the files, the error is one line that names device, network and precision."""
    folder = tmp_path / "FP32"
    shutil.copytree(store.variant(CARD.name, "FP32").parent, folder)
    assert callable(damage)
    damage(folder)
    with pytest.raises(EngineError, match=r"^CPU cannot run movenet-multipose at FP32: .{10}") as caught:
        movenet(store, SIZE, xml=folder / f"{CARD.name}.xml")
    assert "\n" not in str(caught.value)
    assert "Exception from" not in str(caught.value)


def test_a_missing_device_is_told_before_anything_is_compiled(store: Store) -> None:
    """A device that is not here is an EngineError, though OpenVINO would take the others."""
    with pytest.raises(EngineError, match="names NOPE, which is no device"):
        movenet(store, SIZE, device="AUTO:NOPE,CPU")


def tiny(folder: Path, output: str, *, broken: bool = False) -> tuple[NetworkCard, Path]:
    """Save a network that answers its picture, or NaN, as ``output``; the card expects the output ``out``."""
    picture = opset13.parameter([-1, -1, -1, 3], np.float32, name="input")
    result = opset13.log(opset13.subtract(picture, np.float32(1000))) if broken else opset13.negative(picture)
    result.output(0).set_names({output})
    ov.save_model(ov.Model([result], [picture]), folder / "tiny.xml")
    head = CARD.decoder.heads["center"].model_copy(update={"tensor": "out", "channels": 3})
    decoder = CARD.decoder.model_copy(update={"heads": {"picture": head}})
    return CARD.model_copy(update={"name": "tiny", "decoder": decoder}), folder / "tiny.xml"


def build(card: NetworkCard, xml: Path, role: str = "picture") -> Engine:
    spec = EngineSpec(card.name, "CPU", "FP32", 32, 64)
    return build_engine(CORE, card, xml, spec, (role,), cache=None)


def test_colour_and_type_are_converted_in_the_graph(tmp_path: Path) -> None:
    """An engine takes the u8 BGR picture as it comes from the camera; the network sees float RGB of 0 to 255."""
    picture = np.random.default_rng(1).integers(0, 256, (32, 64, 3), np.uint8)
    (seen,) = heads_of(build(*tiny(tmp_path, "out")), picture)
    assert (-seen[0] == picture[..., ::-1]).all()


def test_nan_is_refused(tmp_path: Path) -> None:
    """A network that answers NaN never goes live."""
    with pytest.raises(EngineError, match="CPU cannot run tiny at FP32: the network's output is not finite"):
        build(*tiny(tmp_path, "out", broken=True))


def test_a_network_without_the_cards_outputs_is_told(tmp_path: Path) -> None:
    """Files that lack an output the card names are an error that names the output."""
    with pytest.raises(EdgeposeError, match="out"):
        build(*tiny(tmp_path, "other"))


def test_a_card_without_the_decoders_roles_is_told(tmp_path: Path) -> None:
    """A card that lacks a role its decoder reads is an error that names the role."""
    with pytest.raises(EdgeposeError, match="keypoint_heatmap"):
        build(*tiny(tmp_path, "out"), role="keypoint_heatmap")


def test_what_was_asked_for_stands_beside_what_runs(store: Store) -> None:
    """More streams than the processor can have are not had, and the facts say how many are, and in how many threads."""
    engine = movenet(store, (64, 64), hint="throughput", streams=64, threads=1)
    assert engine.spec.streams == 64
    assert engine.facts.streams is not None
    assert 1 <= engine.facts.streams < 64
    assert engine.facts.threads == 1
    engine.close()
