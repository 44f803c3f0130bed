"""The real network: what was converted computes what was published."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from models.getting import convert, graphdef
from models.shelf import catalogue, golden
from models.shelf.catalogue import NetworkCard, Precision, TfjsConversion
from models.shelf.store import Store

IMAGES = ("000000000785", "000000040083", "000000196141", "000000197388")
CARD: NetworkCard = catalogue.network("movenet-multipose")


def picture(folder: Path, name: str, height: int, width: int) -> NDArray[np.uint8]:
    path = folder / "coco-mini" / f"{name}.jpg"
    if not path.is_file():
        pytest.skip(f"no test data: {path} is missing")
    image = cv2.imread(str(path))
    assert image is not None
    return np.asarray(cv2.resize(image, (width, height)), np.uint8)


@pytest.fixture(scope="module")
def whole(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Compile the published graph with its six heads as further outputs, named after their roles."""
    assert isinstance(CARD.conversion, TfjsConversion)
    graph = graphdef.from_bytes(store.whole(CARD.name).read_bytes())
    nodes = {node.name: node for node in graph.node}
    heads = CARD.conversion.cut.items()
    graphdef.copy_nodes(graph, [graphdef.node(role, "Identity", [head], nodes[head].attr["T"]) for role, head in heads])
    path = tmp_path_factory.mktemp("whole") / "whole.pb"
    path.write_bytes(graph.SerializeToString())
    return ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.fixture(scope="module")
def converted(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert the published graph again, with the converter as it is now."""
    assert isinstance(CARD.conversion, TfjsConversion)
    folder = tmp_path_factory.mktemp("converted")
    graph = graphdef.from_bytes(store.whole(CARD.name).read_bytes())
    convert.from_graph(CARD, CARD.conversion, graph, folder)
    return folder


def test_cache_holds_what_the_converter_makes(converted: Path, store: Store) -> None:
    """Whoever changes the conversion raises Manifest.layout, so that networks converted before are made again."""
    assert store.original(CARD.name).read_bytes() == (converted / "original.pb").read_bytes()
    weights = store.variant(CARD.name, "FP32").with_suffix(".bin").read_bytes()
    assert weights == (converted / "FP32" / f"{CARD.name}.bin").read_bytes()


def test_precisions_are_what_they_are_called(converted: Path) -> None:
    """FP16 weights take half the room of FP32 weights; height and width stay open in both."""
    sizes = {}
    for precision in ("FP32", "FP16"):
        xml = converted / precision / f"{CARD.name}.xml"
        sizes[precision] = xml.with_suffix(".bin").stat().st_size
        assert str(ov.Core().read_model(xml).input("input").get_partial_shape()) == "[1,?,?,3]"
    assert sizes["FP32"] == pytest.approx(2 * sizes["FP16"], rel=0.01)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (288, 384)])
@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("precision", ["FP32", "FP16"])
def test_heads_equal_the_whole_graph(
    precision: Precision, name: str, height: int, width: int, whole: Any, converted: Path, shared_data: Path
) -> None:
    """On real pictures of several shapes the IR's six heads are those inside the published graph."""
    image = picture(shared_data, name, height, width)
    reference = whole(image[None, ..., ::-1].astype(np.int32))
    heads = convert.run(CARD, converted / precision / f"{CARD.name}.xml", image)
    for role in CARD.decoder.heads:
        expected = reference[f"{role}:0"]
        assert heads[role].shape == (1, height // 4, width // 4, CARD.decoder.heads[role].channels)
        np.testing.assert_allclose(heads[role], expected, atol=1e-3 * np.abs(expected).max())


def test_whole_graph_sees_people(whole: Any, shared_data: Path) -> None:
    """The published graph, converted, finds somebody with confidence on every picture."""
    for name in IMAGES:
        persons = whole(picture(shared_data, name, 256, 256)[None, ..., ::-1].astype(np.int32))["Identity:0"]
        assert persons.shape == (1, 6, 56)
        assert persons[0, :, 55].max() > 0.3


def test_opencv_agrees_with_openvino(converted: Path, shared_data: Path) -> None:
    """The original graph runs in OpenCV's DNN module and gives the same heads."""
    assert isinstance(CARD.conversion, TfjsConversion)
    image = picture(shared_data, IMAGES[2], 256, 256)
    net = cv2.dnn.readNetFromTensorflow(str(converted / "original.pb"))
    net.setInput(cv2.dnn.blobFromImage(image, swapRB=True))
    names = net.getUnconnectedOutLayersNames()
    outputs = dict(zip(names, net.forward(names), strict=True))
    heads = convert.run(CARD, converted / "FP32" / f"{CARD.name}.xml", image)
    for role, node in CARD.conversion.cut.items():
        (actual,) = (output for name, output in outputs.items() if name.startswith(node))
        np.testing.assert_allclose(
            actual.transpose(0, 2, 3, 1), heads[role], atol=2e-3 * np.abs(heads[role]).max(), err_msg=role
        )


def test_installed_network_is_described(store: Store) -> None:
    """The manifest covers every file, names the licence and OpenVINO's version, and the digests hold."""
    manifest = store.manifest(CARD.name)
    present = {str(path.relative_to(store.network(CARD.name))) for path in store.network(CARD.name).rglob("*.*")}
    assert present - {"manifest.json"} == set(manifest.files)
    assert manifest.licence == "Apache-2.0"
    assert manifest.openvino_version
    assert store.precisions(CARD.name)[:2] == ("FP32", "FP16")
    store.verify(CARD.name)


def test_golden_answer(store: Store, tmp_path: Path) -> None:
    """The golden picture is answered as recorded by a sound network, and not by one whose weights are damaged."""
    answer = golden.load(store.golden(CARD.name))
    image = golden.golden_input(CARD)
    assert store.golden(CARD.name).stat().st_size < 300_000
    for precision in store.precisions(CARD.name)[:2]:  # a user may have made INT8 of his own beside them
        assert golden.deviation(convert.run(CARD, store.variant(CARD.name, precision), image), answer) < 1e-3
    shutil.copytree(store.variant(CARD.name, "FP32").parent, tmp_path / "damaged")
    weights = tmp_path / "damaged" / f"{CARD.name}.bin"
    spoiled = bytearray(weights.read_bytes())
    spoiled[9_000_000:9_004_096] = bytes(4096)
    weights.write_bytes(spoiled)
    damaged = convert.run(CARD, weights.with_suffix(".xml"), image)
    assert golden.deviation(damaged, answer) > 0.01


def test_golden_deviation_knows_what_cannot_be_compared() -> None:
    """A missing output, another shape and a NaN are infinitely far away."""
    expected = {"center": np.ones(4, np.float32)}
    assert golden.deviation({"center": np.ones((1, 2, 2, 1))}, expected) == 0
    assert golden.deviation({}, expected) == float("inf")
    assert golden.deviation({"center": np.ones(5)}, expected) == float("inf")
    assert golden.deviation({"center": np.array([1, 1, 1, np.nan])}, expected) == float("inf")
