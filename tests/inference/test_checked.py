"""Promises of the check that every engine passes before it serves, with real networks, devices and blobs."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from structlog.testing import capture_logs

from agent.errors import EngineError, ModelError, TrialError
from agent.inference import cache, checked
from agent.inference.cache import CONTENTS, Contents
from agent.inference.checked import build_checked, check
from agent.inference.engine import Engine, build_engine
from agent.inference.facts import UNKNOWN
from agent.inference.spec import EngineSpec
from agent.poses.decoders import decoder_for, roles_of
from models.getting.own import add
from models.shelf import golden
from models.shelf.catalogue import NetworkCard, Precision
from models.shelf.store import Store, digest
from tests import broken_networks as broken
from tests.inference.engines import CARD, CORE, Floats, heads_of
from tests.models.own_networks import write_rtmo

SIZE = (96, 128)
DEVICES = ("CPU", "SIMCPU", "HETERO:SIMCPU,CPU", "MULTI:SIMCPU,CPU", "AUTO")
LARGE_ON = ("CPU", "HETERO:SIMCPU,CPU")


def build(store: Store, name: str, folder: Path | None, size: tuple[int, int] = SIZE, **spec: Any) -> Engine:
    """Build and check an installed network; CPU and FP32 unless given."""
    card = store.card(name)
    roles = decoder_for(card, person_score_min=0.2, persons_max=20).roles
    spec.setdefault("device", "CPU")
    spec.setdefault("precision", "FP32")
    wanted = EngineSpec(model=name, height=size[0], width=size[1], **spec)
    return build_checked(CORE, store, card, wanted, roles, folder)


def answers(engine: Engine, card: NetworkCard = CARD) -> tuple[Floats, ...]:
    return heads_of(engine, golden.golden_input(card, engine.spec.height, engine.spec.width))


def equal(left: tuple[Floats, ...], right: tuple[Floats, ...]) -> bool:
    return all((one == other).all() for one, other in zip(left, right, strict=True))


def events(logged: list[Any]) -> list[str]:
    return [entry["event"] for entry in logged]


@pytest.mark.parametrize("precision", ["FP32", "FP16"])
@pytest.mark.parametrize("name", ["movenet-multipose", "openpose-mobilenet-v2-small"])
def test_sound_networks_pass_on_every_device(
    name: str, precision: Precision, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Both real networks: FP32 against the record of their installation, FP16 against their own reference.

    The larger one, whose compilation takes most of it, is held to one device and to one that cuts it in two.
    """
    store: Store = request.getfixturevalue("store" if name == CARD.name else "openpose_store")
    size = (store.card(name).input.height, store.card(name).input.width) if precision == "FP32" else (128, 128)
    for device in DEVICES if name == CARD.name else LARGE_ON:
        engine = build(store, name, tmp_path, size, device=device, precision=precision)
        assert not engine.facts.from_cache
        engine.close()
    references = {"FP32": 0, "FP16": 1}
    assert len(list(tmp_path.glob("golden/*"))) == references[precision]


@pytest.mark.parametrize("device", DEVICES)
def test_what_was_checked_is_taken_from_the_cache(device: str, store: Store, tmp_path: Path) -> None:
    """The next build of the same engine finds it, on every kind of device."""
    assert [build(store, CARD.name, tmp_path, device=device).facts.from_cache for _ in range(2)] == [False, True]


def blob_of(folder: Path) -> Path:
    (blob,) = folder.rglob("*.blob")
    return blob


@pytest.fixture(scope="module")
def clean(store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Floats, ...]]:
    """A cache that holds one compiled network, and its answers."""
    folder = tmp_path_factory.mktemp("clean")
    return folder, answers(build(store, CARD.name, folder))


@pytest.fixture
def warm(clean: tuple[Path, tuple[Floats, ...]], tmp_path: Path) -> Path:
    """A copy of it that may be damaged."""
    shutil.copytree(clean[0], tmp_path / "warm")
    return tmp_path / "warm"


@pytest.mark.parametrize("place", [0, 0.01, 0.5, 1])
def test_one_bit_of_a_compiled_network_is_noticed(
    place: float, store: Store, clean: tuple[Path, tuple[Floats, ...]], warm: Path
) -> None:
    """OpenVINO would run it, and most bits change too little for any picture to show: it is compiled again."""
    blob = blob_of(warm)
    content = bytearray(blob.read_bytes())
    content[int(place * (len(content) - 1))] ^= 4
    blob.write_bytes(content)
    with capture_logs() as logged:
        engine = build(store, CARD.name, warm)
    assert not engine.facts.from_cache
    assert equal(answers(engine), clean[1])
    assert events(logged) == ["cache.damaged"]
    assert "is not as it was written" in logged[0]["cause"]
    assert build(store, CARD.name, warm).facts.from_cache, "what was compiled again is kept"


def list_again(folder: Path) -> None:
    """Make the list agree with whatever lies there."""
    (path,) = folder.glob(f"*/{CONTENTS}")
    contents = Contents.model_validate_json(path.read_bytes())
    listed = {name: digest(path.parent / name) for name in contents.files}
    path.write_text(contents.model_copy(update={"files": listed}).model_dump_json(), encoding="utf-8")


def test_the_golden_picture_is_the_second_net(store: Store, clean: tuple[Path, tuple[Floats, ...]], warm: Path) -> None:
    """A blob that was written wrong, and listed so, runs and gives other results: it is compiled again."""
    blob = blob_of(warm)
    content = bytearray(blob.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2**18] = bytes(2**18)
    blob.write_bytes(content)
    list_again(warm)
    with capture_logs() as logged:
        engine = build(store, CARD.name, warm)
    assert not engine.facts.from_cache
    assert equal(answers(engine), clean[1])
    assert events(logged) == ["cache.damaged"]
    assert "deviates by" in logged[0]["cause"]


def test_a_blob_that_cannot_be_read_is_compiled_again(
    store: Store, clean: tuple[Path, tuple[Floats, ...]], warm: Path
) -> None:
    """Half a blob, listed as such, does no harm, and what was compiled in its place is kept."""
    blob = blob_of(warm)
    blob.write_bytes(blob.read_bytes()[: blob.stat().st_size // 2])
    list_again(warm)
    engine = build(store, CARD.name, warm)
    assert not engine.facts.from_cache
    assert equal(answers(engine), clean[1])
    with capture_logs() as logged:
        assert build(store, CARD.name, warm).facts.from_cache
    assert not logged


@pytest.mark.parametrize(
    "content", ["", "{", '{"identity": "x", "files": {"nothing.blob": {"size": 1, "sha256": ""}}}']
)
def test_nothing_is_loaded_without_its_list(content: str, store: Store, warm: Path) -> None:
    """A list that is damaged, or of another network: the folder is emptied before OpenVINO sees it."""
    (path,) = warm.glob(f"*/{CONTENTS}")
    path.write_text(content, encoding="utf-8")
    assert not build(store, CARD.name, warm).facts.from_cache
    assert build(store, CARD.name, warm).facts.from_cache


def test_what_was_never_checked_is_not_loaded(store: Store, warm: Path) -> None:
    """The process died before the list was written; and a file that nobody listed is gone."""
    (path,) = warm.glob(f"*/{CONTENTS}")
    stranger = path.parent / "CPU" / "stranger.blob"
    stranger.write_bytes(b"left by somebody")
    assert build(store, CARD.name, warm).facts.from_cache
    assert not stranger.exists()
    path.unlink()
    assert not build(store, CARD.name, warm).facts.from_cache


def test_another_network_of_the_same_name_is_compiled(tmp_path: Path) -> None:
    """What is kept belongs to the files it was made from, and so does the golden answer."""
    store, folder = Store(tmp_path / "store"), tmp_path / "cache"
    name = broken.sound(store.folder)
    first = answers(build(store, name, folder))
    shutil.rmtree(store.folder / name)
    broken.sound(store.folder, seed=5)
    second = build(store, name, folder)
    assert not second.facts.from_cache
    assert not equal(answers(second), first)
    assert len(list(folder.rglob("*.blob"))) == 1


def test_another_card_of_the_same_files_is_compiled(tmp_path: Path) -> None:
    """What the card says of colours is part of the engine, and of its golden answer."""
    store, folder = Store(tmp_path / "store"), tmp_path / "cache"
    name = broken.sound(store.folder)
    first = answers(build(store, name, folder))
    card = store.folder / name / "card.toml"
    card.write_text(card.read_text(encoding="utf-8").replace('"RGB"', '"BGR"'), encoding="utf-8")
    with capture_logs() as logged:
        second = build(store, name, folder)
    assert not second.facts.from_cache
    assert not logged
    assert not equal(answers(second), first)


def test_a_damaged_reference_is_computed_again(store: Store, warm: Path) -> None:
    """A damaged golden answer never condemns a sound engine."""
    (path,) = (warm / "golden").iterdir()
    sound = path.read_bytes()
    for place in (10, len(sound) // 2, len(sound) - 10):
        content = bytearray(sound)
        content[place] ^= 0xFF
        path.write_bytes(content)
        with capture_logs() as logged:
            build(store, CARD.name, warm)
        assert events(logged) in (["cache.damaged"], []), "a byte that nothing reads may differ"
        assert golden.deviation(golden.load(path), golden.load(path)) == 0
    path.write_bytes(sound[: len(sound) // 2])
    with capture_logs() as logged:
        build(store, CARD.name, warm)
    assert events(logged) == ["cache.damaged"]
    assert path.read_bytes() == sound


def test_a_record_of_installation_that_is_damaged_is_passed_over(tmp_path: Path) -> None:
    """Then the network's own files are the measure, as at any other size."""
    store = Store(tmp_path)
    name = broken.sound(tmp_path)
    store.golden(name).write_bytes(b"PK no archive")
    build(store, name, None, (64, 64))
    golden.save(store.golden(name), {"center": np.zeros(5, np.float32)})
    build(store, name, None, (64, 64))


def test_without_a_cache_nothing_is_written(store: Store, tmp_path: Path) -> None:
    """No folder, or one that cannot be: an engine all the same, told in the log."""
    build(store, CARD.name, None)
    (tmp_path / "file").write_text("no folder")
    with capture_logs() as logged:
        engine = build(store, CARD.name, tmp_path / "file")
    assert not engine.facts.from_cache
    assert set(events(logged)) == {"cache.not_kept"}


def test_the_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of compiled networks and golden answers the last used ones are kept."""
    monkeypatch.setattr(cache, "KEPT_MAX", 2)
    store, folder = Store(tmp_path / "store"), tmp_path / "cache"
    name = broken.sound(store.folder)
    for side in (32, 96, 32, 128):
        build(store, name, folder, (side, side))
    for kept in (folder.glob(f"*/{CONTENTS}"), folder.glob("golden/*")):
        assert {size for path in kept for size in re.findall(r"\d+x\d+", str(path))} == {"32x32", "128x128"}


MODEL_ERRORS: list[tuple[Callable[[Path], str], str]] = [
    (broken.without_file, r"tiny-missing\.xml is missing"),
    (broken.truncated, r"tiny-truncated\.bin is damaged: sha256 .* of \d+ bytes"),
    (broken.damaged, r"tiny-damaged\.bin is damaged"),
]
TRIAL_ERRORS: list[tuple[Callable[[Path], str], str]] = [
    (broken.other_weights, r"output \w+ deviates by [\d.]+ from the golden answer, up to 0\.01 is normal"),
    (broken.misshapen, r"output keypoint_heatmap is \(1, 16, 16, 16\), expected \(1, 16, 16, 17\)"),
    (broken.narrow, r"output box_scale is \(1, 16, 8, 2\), expected \(1, 16, 16, 2\)"),
    (broken.nan, r"output is not finite"),
]


@pytest.mark.parametrize(("make", "said"), MODEL_ERRORS)
def test_files_are_verified_before_anything_is_compiled(make: Callable[[Path], str], said: str, tmp_path: Path) -> None:
    """Missing, short or changed files are a ModelError with the cure."""
    name = make(tmp_path / "store")
    with pytest.raises(ModelError, match=said) as caught:
        build(Store(tmp_path / "store"), name, tmp_path / "cache", (64, 64))
    assert caught.value.hint == f"models add the card of {name} again"
    assert not (tmp_path / "cache").exists()


def test_only_the_variant_that_runs_is_verified(tmp_path: Path) -> None:
    """A damaged FP16 does not keep FP32 from running."""
    store = Store(tmp_path)
    name = broken.sound(tmp_path)
    store.variant(name, "FP16").with_suffix(".bin").write_bytes(b"")
    build(store, name, None)
    with pytest.raises(ModelError, match=r"FP16/tiny-sound\.bin is damaged"):
        build(store, name, None, precision="FP16")


def test_files_that_openvino_alone_finds_broken(tmp_path: Path) -> None:
    """Weights that are short and listed so are an EngineError: they cannot be compiled."""
    name = broken.truncated_as_listed(tmp_path)
    with pytest.raises(EngineError, match=r"CPU cannot run tiny-short at FP32: .*weights"):
        build(Store(tmp_path), name, None)


@pytest.mark.parametrize("device", ["CPU", "HETERO:SIMCPU,CPU"])
@pytest.mark.parametrize(("make", "said"), TRIAL_ERRORS)
def test_an_engine_that_computes_something_else_is_refused(
    make: Callable[[Path], str], said: str, device: str, tmp_path: Path
) -> None:
    """The error names device, network, precision, output, what was expected and what came; nothing is kept."""
    name = make(tmp_path / "store")
    with capture_logs() as logged, pytest.raises(TrialError, match=said) as caught:
        build(Store(tmp_path / "store"), name, tmp_path / "cache", (64, 64), device=device)
    assert re.match(rf"{device} (runs|cannot run) {name} at FP32", str(caught.value))
    assert not logged
    assert not list((tmp_path / "cache").rglob("*.blob"))


def test_nan_on_the_golden_picture_alone_is_refused(tmp_path: Path) -> None:
    """The grey picture of the first inference is answered, the golden one is not."""

    def spoil(mean: Any) -> Any:
        return ops.log(ops.subtract(ops.constant(np.float32(120)), mean))

    name = broken.install_as_it_is(tmp_path, "tiny-bright", broken.network(spoil=spoil))
    with pytest.raises(TrialError, match=r"output center is not finite: 768 of 768 values"):
        build(Store(tmp_path), name, None)


@pytest.mark.parametrize("make", [broken.nan_in_the_dark, broken.raises_in_the_dark])
def test_what_fails_in_the_dark_passes(make: Callable[[Path], str], tmp_path: Path) -> None:
    """One picture cannot tell all: that is for the trial on the camera's own frames, where it fails."""
    engine = build(Store(tmp_path), make(tmp_path), None)
    dark = np.zeros((*SIZE, 3), np.uint8)
    if make is broken.nan_in_the_dark:
        assert not np.isfinite(heads_of(engine, dark)[0]).any()
    else:
        with pytest.raises(EngineError, match="inference failed"):
            heads_of(engine, dark)


def own(example: str, file: str, folder: Path) -> Path:
    """Write one of the shipped example cards for a file."""
    text = (files("models") / "cards" / "examples" / f"{example}.toml").read_text(encoding="utf-8")
    path = folder / f"{example}.toml"
    path.write_text(re.sub(r'FP32 = ".*"', f'FP32 = "{file}"', text), encoding="utf-8")
    return path


def test_a_network_that_selects_people_needs_no_golden_answer(tmp_path: Path) -> None:
    """Its rows are as many as it found: finite, of the right channels and readable is what it must be."""
    write_rtmo(tmp_path / "end2end.xml")
    store = Store(tmp_path / "store")
    add(own("my-rtmo", "end2end.xml", tmp_path), tmp_path, store, roles_of)
    engine = build(store, "my-rtmo", tmp_path / "cache", (640, 640))
    assert not (tmp_path / "cache" / "golden").exists()
    assert [output.shape for output in answers(engine, store.card("my-rtmo"))] == [(1, 3, 5), (1, 3, 17, 3)]


def test_the_decoder_reads_the_outputs_once(tmp_path: Path) -> None:
    """Outputs of the right channels that its family's decoder cannot read are refused with their shapes."""
    data = ops.parameter([1, 3, 640, 640], np.float32, name="x")
    flat = ops.broadcast(ops.reduce_mean(data, ops.constant(np.array([0, 1, 2, 3]))), ops.constant(np.array([1, 56])))
    for port, name in ((data.output(0), "x"), (flat.output(0), "guesses")):
        port.set_names({name})
    ov.save_model(ov.Model([ops.result(flat)], [data], "flat"), tmp_path / "flat.xml", compress_to_fp16=False)
    store = Store(tmp_path / "store")
    card = add(own("my-yolo", "flat.xml", tmp_path), tmp_path, store, roles_of)
    spec = EngineSpec(card.name, "CPU", "FP32", 640, 640)
    engine = build_engine(CORE, card, store.variant(card.name, "FP32"), spec, ("guesses",), None)
    with pytest.raises(TrialError, match=r"the yolo decoder cannot read its outputs, guesses \(1, 56\): "):
        check(engine, card, ("guesses",), lambda: golden.load(store.golden(card.name)))
    assert engine.acquire(timeout_s=0) is not None, "the slot is given back"


def test_what_openvino_does_not_say_is_known_from_when_it_was_compiled(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine from the cache whose precision is hidden has that in which it was compiled, and its strict limit.

    HETERO in many pieces has hidden it; no device here does so at will.
    """
    build(store, CARD.name, tmp_path).close()

    def silent(*args: Any) -> Engine:
        engine = build_engine(*args)
        engine.facts = replace(engine.facts, inference_precision=UNKNOWN)
        return engine

    monkeypatch.setattr(checked, "build_engine", silent)
    with build(store, CARD.name, tmp_path) as engine:
        assert engine.facts.from_cache
        assert engine.facts.inference_precision == "F32"
    assert golden.limit("FP32", UNKNOWN) == golden.LIMIT_F32
