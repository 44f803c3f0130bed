"""TensorFlow.js graph model to frozen graph: on a graph small enough to compute by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelError
from models.getting import graphdef, tfjs
from tests.models import graph_models

PICTURE = np.random.default_rng(3).integers(0, 256, (1, 8, 16, 3), np.int32)


def test_whole_graph_computes_the_same(tmp_path: Path) -> None:
    """Weights, a scalar constant among them, the fused convolution and its bias survive the conversion."""
    graph = tfjs.load(*graph_models.files())
    path = tmp_path / "whole.pb"
    path.write_bytes(graph.SerializeToString())
    compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result = compiled(PICTURE)["decoded:0"]
    np.testing.assert_allclose(result, 1 / (1 + np.exp(-graph_models.expected(PICTURE))), atol=1e-6)


def test_cut_graph_is_the_same_for_both_readers(tmp_path: Path) -> None:
    """OpenVINO and OpenCV read the cut graph from a float picture, and both compute the head."""
    graph = tfjs.cut(tfjs.load(*graph_models.files()), ["head"])
    path = tmp_path / "original.pb"
    path.write_bytes(graph.SerializeToString())
    picture = PICTURE.astype(np.float32)
    compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(picture)[0], graph_models.expected(PICTURE), atol=1e-5)
    net = cv2.dnn.readNetFromTensorflow(str(path))
    net.setInput(np.ascontiguousarray(picture.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(net.forward().transpose(0, 2, 3, 1), graph_models.expected(PICTURE), atol=1e-5)


def test_cut_drops_what_the_outputs_do_not_need() -> None:
    """Nothing behind the outputs and no Cast is left; fused operations are split, the last keeping the name."""
    graph = tfjs.cut(tfjs.load(*graph_models.files()), ["head"])
    ops = {node.name: node.op for node in graph.node}
    assert ops == {
        "input": "Placeholder", "kernel": "Const", "bias": "Const", "scale": "Const", "halved": "Mul",
        "head/Conv2D": "Conv2D", "head/BiasAdd": "BiasAdd", "head": "Relu6",
    }  # fmt: skip


def test_bytes_round_trip() -> None:
    """A frozen graph that was written reads back as the same graph."""
    data = tfjs.load(*graph_models.files()).SerializeToString(deterministic=True)
    assert graphdef.from_bytes(data).SerializeToString(deterministic=True) == data


@pytest.mark.parametrize("change", [-1, 1])
def test_weights_of_the_wrong_length_are_refused(change: int) -> None:
    """Weights that end early or go on are not silently used."""
    topology, weights = graph_models.files()
    wrong = weights[:change] if change < 0 else weights + b"\0"
    with pytest.raises(ModelError, match=r"the weights (end within|are \d+ bytes)"):
        tfjs.load(topology, wrong)


def test_unknown_fused_operation_is_refused() -> None:
    """A fused operation we cannot split is named instead of dropped."""
    document = graph_models.topology(("BiasAdd", "Prelu"))
    with pytest.raises(ModelError, match="head fuses BiasAdd and Prelu"):
        tfjs.load(json.dumps(document).encode(), graph_models.weights())


def test_missing_weight_and_missing_head_are_named() -> None:
    """A constant without a value and an output that is not there are named."""
    document = graph_models.topology()
    document["weightsManifest"][0]["weights"][0]["name"] = "other"
    with pytest.raises(ModelError, match="no value for scale"):
        tfjs.load(json.dumps(document).encode(), graph_models.weights())
    with pytest.raises(ModelError, match="no node tail"):
        tfjs.cut(tfjs.load(*graph_models.files()), ["tail"])


@given(st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b'{"modelTopology": {"node": 3}}', b"null"]))
def test_anything_else_is_a_model_error(data: bytes) -> None:
    """Any bytes in place of the topology give a ModelError, never anything else."""
    with pytest.raises(ModelError):
        tfjs.load(data, b"")
