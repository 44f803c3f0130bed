"""Two small networks that answer as YOLOX and RTMPose do, of pictures drawn for them.

People are spots on black, red with a blue cell around them. The detector says of each anchor how blue its cell is, and
guesses a box of fixed sides around it; the pose network puts the joints around where the crop is reddest.
"""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from agent.poses.decoders import roles_of
from models.getting.own import add
from models.shelf.store import Store

Floats = NDArray[np.float32]
STRIDES = (8, 16, 32)
DETECTOR, POSE = "boxes-of-light", "joints-of-light"
BOX = (64.0, 96.0)
"""Width and height of every box the detector guesses, pixels of its input."""
JOINTS = 26
POSE_SIZE = (256, 192)
OFFSETS = [((joint % 5 - 2) * 38, (min(joint // 5, 4) - 2) * 41) for joint in range(JOINTS)]
"""x and y of each joint from the spot of light, pixels of the crop: with its margin the box around them is the crop."""
MIDDLE = 12
"""The joint that is on the spot."""


CARD = """
kind = "network"
name = "{name}"
title = ""
licence = ""
origin = ""
{detector}
[input]
name = "input"
layout = "NCHW"
colour = "{colour}"
stride = 32
height = 256
width = {width}
resizable = {resizable}

[decoder]
family = "{family}"
nms_iou = 0.45

[decoder.heads]
{heads}

[conversion]
kind = "own"

[conversion.network]
FP32 = "{name}.xml"
"""
DETECTOR_HEADS = """
boxes = { tensor = "boxes", channels = 4, axis = 2 }
classes = { tensor = "classes", channels = 2, axis = 2 }
objectness = { tensor = "objectness", channels = 1, axis = 0 }
"""
POSE_HEADS = """
simcc_x = { tensor = "simcc_x", channels = 26, axis = 1 }
simcc_y = { tensor = "simcc_y", channels = 26, axis = 1 }
"""
CARDS = {
    DETECTOR: {"colour": "BGR", "width": 320, "resizable": "true", "family": "yolox", "heads": DETECTOR_HEADS},
    POSE: {"colour": "RGB", "width": 192, "resizable": "false", "family": "simcc", "heads": POSE_HEADS},
}


def install(folder: Path, store: Store) -> None:
    """Add both to the store as networks of the user's own, from exports in ``folder``."""
    for name, model in ((DETECTOR, detector()), (POSE, pose())):
        ov.save_model(model, folder / f"{name}.xml", compress_to_fp16=False)
        path = folder / f"{name}.toml"
        named = f'detector = "{DETECTOR}"' if name == POSE else ""
        path.write_text(CARD.format(name=name, detector=named, **CARDS[name]), encoding="utf-8")
        add(path, folder, store, roles_of)


def detector() -> ov.Model:
    """Takes 0..255 BGR; how blue each anchor's cell is, is its objectness, of the first of two classes."""
    picture = _picture()
    light = _channel(picture, 0)
    flat, boxes = [], []
    for stride in STRIDES:
        cells = ops.avg_pool(light, [stride] * 2, [0, 0], [0, 0], [stride] * 2, exclude_pad=False)
        flat.append(ops.reshape(cells, _index([1, -1, 1]), special_zero=False))
        # Half a cell from the anchor, and logarithms of the sides in strides.
        guess = np.array((0.5, 0.5, *np.log(np.array(BOX) / stride)), np.float32)
        boxes.append(ops.add(ops.multiply(flat[-1], ops.constant(np.float32(0))), ops.constant(guess)))
    objectness = ops.reshape(ops.concat(flat, 1), _index([1, -1]), special_zero=False)
    # A second class that is as bright everywhere: only the first is a person.
    classes = ops.add(
        ops.multiply(ops.concat(flat, 1), ops.constant(np.float32(0))), ops.constant(np.array((1, 0.9), np.float32))
    )
    return _network(picture, boxes=ops.concat(boxes, 1), classes=classes, objectness=objectness)


def pose() -> ov.Model:
    """Takes 0..255 RGB; the joints are around the column and row where red, blurred over 9 pixels, is highest."""
    picture = _picture()
    red = _channel(picture, 0)
    blurred = ops.avg_pool(red, [1, 1], [4, 4], [4, 4], [9, 9], exclude_pad=False)
    outputs = {}
    for role, axis in (("simcc_x", 2), ("simcc_y", 3)):
        line = ops.reduce_max(blurred, _index([axis]), keep_dims=False)  # (1, 1, columns or rows)
        twice = ops.concat([ops.unsqueeze(line, _index(3)), ops.unsqueeze(line, _index(3))], 3)
        bins = ops.reshape(twice, _index([1, 1, -1]), special_zero=False)
        outputs[role] = ops.concat([_moved(bins, 2 * OFFSETS[joint][axis - 2]) for joint in range(JOINTS)], 1)
    return _network(picture, **outputs)


def _channel(picture: Any, index: int) -> Any:
    """One channel, 0..1, (1, 1, H, W): by a convolution, which is what can be quantised."""
    weights = np.zeros((1, 3, 1, 1), np.float32)
    weights[0, index] = 1 / 255
    return ops.convolution(picture, ops.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1])


def _moved(bins: Any, by: int) -> Any:
    """Bins (1, 1, N) moved on by so many, with nothing where none comes from."""
    if by == 0:
        return bins
    nothing = ops.constant(np.zeros((1, 1, abs(by)), np.float32))
    start, stop = (0, -by) if by > 0 else (-by, np.iinfo(np.int64).max)
    kept = ops.slice(bins, _index([start]), _index([stop]), _index([1]), _index([2]))
    return ops.concat([nothing, kept] if by > 0 else [kept, nothing], 2)


def _picture() -> Any:
    picture = ops.parameter([1, 3, -1, -1], np.float32, name="input")
    picture.output(0).get_tensor().set_names({"input"})
    return picture


def _network(picture: Any, **outputs: Any) -> ov.Model:
    for name, node in outputs.items():
        node.output(0).get_tensor().set_names({name})
    return ov.Model([ops.result(node) for node in outputs.values()], [picture], "stand-in")


def _index(value: Any) -> Any:
    return ops.constant(np.array(value, np.int64))
