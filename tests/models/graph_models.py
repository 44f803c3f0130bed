"""A TensorFlow.js graph model small enough to compute by hand, as its two files."""

import base64
import json
from typing import Any

import numpy as np

KERNEL = np.array([[[[2.0, -1.0], [0.5, 0.0], [0.0, 3.0]]]], np.float32)
"""1x1 convolution, 3 channels to 2."""
BIAS = np.array([-100.0, 0.25], np.float32)
SCALE = np.float32(0.5)
"""A scalar constant, stored as float16."""


def _text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _constant(name: str) -> dict[str, Any]:
    value = {"tensor": {"dtype": "DT_FLOAT", "tensorShape": {}}}
    return {"name": name, "op": "Const", "attr": {"value": value, "dtype": {"type": "DT_FLOAT"}}}


def topology(fused_ops: tuple[str, ...] = ("BiasAdd", "Relu6")) -> dict[str, Any]:
    """Return a document: int32 picture, cast, halved, convolved with bias and clamped to 0..6; a node nobody needs."""
    float_type = {"T": {"type": "DT_FLOAT"}}
    convolution = {
        **float_type,
        "fused_ops": {"list": {"s": [_text(op) for op in fused_ops]}},
        "num_args": {"i": "1"},
        "epsilon": {"f": 0},
        "strides": {"list": {"i": ["1", "1", "1", "1"]}},
        "dilations": {"list": {"i": ["1", "1", "1", "1"]}},
        "padding": {"s": _text("SAME")},
        "data_format": {"s": _text("NHWC")},
    }
    shape = {"dim": [{"size": size} for size in ("1", "-1", "-1", "3")]}
    cast = {"SrcT": {"type": "DT_INT32"}, "DstT": {"type": "DT_FLOAT"}, "Truncate": {"b": False}}
    nodes = [
        {"name": "input", "op": "Placeholder", "attr": {"dtype": {"type": "DT_INT32"}, "shape": {"shape": shape}}},
        *map(_constant, ("kernel", "bias", "scale")),
        {"name": "cast", "op": "Cast", "input": ["input"], "attr": cast},
        {"name": "halved", "op": "Mul", "input": ["cast", "scale"], "attr": float_type},
        {"name": "head", "op": "_FusedConv2D", "input": ["halved", "kernel", "bias"], "attr": convolution},
        {"name": "decoded", "op": "Sigmoid", "input": ["head"], "attr": float_type},
    ]
    return {
        "modelTopology": {"node": nodes, "library": {}, "versions": {"producer": 808}},
        "weightsManifest": _manifest(),
    }


def _manifest() -> list[dict[str, Any]]:
    half = {"dtype": "float16", "original_dtype": "float32"}
    specs: tuple[tuple[str, list[int]], ...] = (("scale", []), ("kernel", [1, 1, 3, 2]), ("bias", [2]))
    weights = [{"name": name, "shape": shape, "dtype": "float32", "quantization": half} for name, shape in specs]
    return [{"paths": ["weights.bin"], "weights": weights}]


def weights() -> bytes:
    """Return the weights in the manifest's order, as float16."""
    return b"".join(np.asarray(value, np.float16).tobytes() for value in (SCALE, KERNEL, BIAS))


def files() -> tuple[bytes, bytes]:
    """Return the topology file and the weights file."""
    return json.dumps(topology()).encode(), weights()


def expected(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Compute the node ``head`` for (1, H, W, 3)."""
    return np.asarray(np.clip((picture.astype(np.float32) * SCALE) @ KERNEL[0, 0] + BIAS, 0, 6))
