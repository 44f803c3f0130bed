"""openpose-mobilenet-v2-small: a frozen TensorFlow graph becomes IR that computes what was published."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from agent.errors import ModelError
from models.getting import convert, frozen, graphdef
from models.getting.fetch import fetch
from models.shelf import catalogue, golden
from models.shelf.catalogue import FrozenConversion, Precision
from models.shelf.store import Store

NAME = "openpose-mobilenet-v2-small"
CARD = catalogue.network(NAME)
ROLES = ("heatmaps", "affinity")
SIZES = [(368, 432), (256, 464), (376, 440)]
"""Height and width; the last are multiples of 8 alone."""


def picture(shared_data: Path, height: int, width: int) -> NDArray[np.uint8]:
    path = shared_data / "coco-mini" / "000000000785.jpg"
    if not path.is_file():
        pytest.skip(f"no test data: {path} is missing")
    image = cv2.imread(str(path))
    assert image is not None
    return np.asarray(cv2.resize(image, (width, height)), np.uint8)


@pytest.fixture(scope="module")
def published(openpose_store: Store) -> Any:
    """Compile the published graph, whose one output is heatmaps and fields in 57 channels."""
    return ov.Core().compile_model(openpose_store.whole(NAME), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("precision", ["FP32", "FP16"])
def test_roles_equal_the_published_graph(
    precision: Precision, height: int, width: int, openpose_store: Store, published: Any, shared_data: Path
) -> None:
    """At every multiple of 8 the IR's outputs are the channels of the published graph's output."""
    image = picture(shared_data, height, width)
    whole = published(image[None].astype(np.float32))[0]
    outputs = convert.run(CARD, openpose_store.variant(NAME, precision), image)
    # FP16 weights, seen through a hundred layers and statistics of the picture.
    tolerance = 1e-3 if precision == "FP32" else 0.05
    for role, expected in zip(ROLES, (whole[..., :19], whole[..., 19:]), strict=True):
        assert outputs[role].shape == expected.shape == (1, height // 8, width // 8, CARD.decoder.heads[role].channels)
        np.testing.assert_allclose(outputs[role], expected, atol=tolerance * np.abs(expected).max())


def test_statistics_are_taken_where_the_channels_stand(openpose_store: Store) -> None:
    """Every normalisation over the picture is one over height and width, which the CPU has a kernel for."""
    model = ov.Core().read_model(openpose_store.variant(NAME, "FP32"))
    axes = [node.input_value(1).get_node() for node in model.get_ops() if node.get_type_name() == "MVN"]
    assert len(axes) == 39
    assert all(list(node.get_vector()) == [2, 3] for node in axes)


@pytest.mark.parametrize(("height", "width"), SIZES[:2])
def test_opencv_reads_the_original(height: int, width: int, openpose_store: Store, shared_data: Path) -> None:
    """OpenCV's DNN module reads the original at every multiple of 16 and gives the same maps, almost.

    It adds a normalisation's epsilon to the deviation instead of the variance, which shows where a channel hardly
    varies: correlations measured here are 0.998 and 0.926 at least.
    """
    image = picture(shared_data, height, width)
    net = cv2.dnn.readNetFromTensorflow(str(openpose_store.original(NAME)))
    net.setInput(cv2.dnn.blobFromImage(image))
    names = net.getUnconnectedOutLayersNames()
    actual = {output.shape[1]: output for output in net.forward(names)}
    outputs = convert.run(CARD, openpose_store.variant(NAME, "FP32"), image)
    for role, least in zip(ROLES, (0.99, 0.9), strict=True):
        found = actual[CARD.decoder.heads[role].channels].transpose(0, 2, 3, 1)
        assert np.corrcoef(found.ravel(), outputs[role].ravel())[0, 1] > least, role


def test_golden_answer(openpose_store: Store) -> None:
    """FP32 answers the golden picture as recorded, and FP16 its heatmaps.

    Nobody is in that picture: the fields are noise of 0.002, of which FP16 weights change a sixth.
    """
    answer = golden.load(openpose_store.golden(NAME))
    image = golden.golden_input(CARD)
    assert golden.deviation(convert.run(CARD, openpose_store.variant(NAME, "FP32"), image), answer) < 1e-4
    halved = convert.run(CARD, openpose_store.variant(NAME, "FP16"), image)
    assert golden.deviation(halved, {"heatmaps": answer["heatmaps"]}) < 0.01


def test_installed_again_needs_no_file(openpose_store: Store) -> None:
    """What is installed is current: fetching it again touches nothing."""
    assert openpose_store.precisions(NAME) == ("FP32", "FP16")
    assert fetch(CARD, openpose_store) is False


def test_other_bytes_are_no_frozen_graph(tmp_path: Path) -> None:
    """A file that is no GraphDef is refused by name of what it should be."""
    assert isinstance(CARD.conversion, FrozenConversion)
    path = tmp_path / CARD.conversion.graph
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(ModelError, match="not a frozen TensorFlow graph"):
        convert.convert(CARD, {CARD.conversion.graph: path}, tmp_path)


def test_only_resizes_take_factors(openpose_store: Store) -> None:
    """A factor for a node that is missing or no such resize is an error that names it."""
    graph = graphdef.from_bytes(openpose_store.whole(NAME).read_bytes())
    for name in ("nowhere", "image"):
        with pytest.raises(ModelError, match=f"{name} is no resize"):
            frozen.resize_by_factors(graph, {name: 2})
