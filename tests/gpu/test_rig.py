"""Promises of the rig itself: the plugin is the real one, and takes the stand-in for an Intel graphics card."""

import numpy as np
import openvino as ov
from openvino import opset13

from agent.inference.devices import list_devices, open_core

WIDE = 16


def convolution() -> ov.Model:
    """A convolution whose right answer is known: each value is the sum of nine times 16 ones, fewer at the edge."""
    picture = opset13.parameter([1, WIDE, 8, 8], np.float32)
    weights = opset13.constant(np.ones((WIDE, WIDE, 3, 3), np.float32))
    return ov.Model([opset13.result(opset13.convolution(picture, weights, *[[1, 1]] * 4))], [picture])


def test_the_machine_has_a_gpu() -> None:
    """OpenVINO lists the card beside the processor."""
    devices = {device.name: device for device in list_devices(open_core({}))}
    assert set(devices) == {"CPU", "GPU"}
    assert "UHD Graphics 630" in devices["GPU"].full_name
    assert {"FP32", "FP16"} <= set(devices["GPU"].capabilities)


def test_its_kernels_compute() -> None:
    """A convolution comes out as it should, in single precision."""
    compiled = open_core({}).compile_model(convolution(), "GPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(np.ones((1, WIDE, 8, 8), np.float32))[0]
    assert found[0, 0, 4, 4] == 9 * WIDE
    assert found[0, 0, 0, 0] == 4 * WIDE
