"""Networks small enough to build in a test that answer as YOLO-pose and RTMO exports do.

Each knows its people by heart and sees one thing: how bright the first channel of the picture is. A person's score is
their own times that brightness, so a wrong colour order, scale or type shows in the scores.
"""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops
from openvino.preprocess import PrePostProcessor

from tests.poses.crowds import corners_of
from tests.poses.yolo_guesses import draw_guesses

Floats = NDArray[np.float32]
SIZE = 640


def people() -> Floats:
    """Three people, (3, 17, 3): x and y in pixels of the input, visibility."""
    random = np.random.default_rng(11)
    joints = np.array([[60, 50], [260, 300], [420, 100]])[:, None] + random.random((3, 17, 2)) * (150, 280)
    return np.concatenate((joints, random.uniform(0.5, 1, (3, 17, 1))), axis=2).astype(np.float32)


SCORES = np.array([0.9, 0.8, 0.7], np.float32)


def write_yolo(xml: Path, *, size: int | None = SIZE, rows: int = 56, half: bool = False) -> None:
    """Save an export: input "x", takes 0..1, one output without a name, (1, 56, 400), every person guessed thrice."""
    data, brightness = _first_channel(size, "x")
    guesses = draw_guesses(people(), SCORES, repeats=3)[:, :rows]
    scored = np.zeros_like(guesses)
    scored[:, 4] = guesses[:, 4]
    guesses[:, 4] = 0
    answer = ops.add(ops.constant(guesses), ops.multiply(ops.constant(scored), brightness))
    _save([answer], data, xml, half=half)


def write_half(xml: Path) -> None:
    """Save an export at half precision: picture and guesses are float16, and not the weights alone."""
    data, brightness = _first_channel(None, "x")
    guesses = draw_guesses(people(), SCORES, repeats=3)
    guesses[:, 4] *= 0.5
    answer = ops.add(ops.constant(guesses), ops.multiply(brightness, ops.constant(np.float32(0))))
    steps = PrePostProcessor(ov.Model([ops.result(answer)], [data], "stand-in"))
    steps.input().tensor().set_element_type(ov.Type.f16)
    steps.output().tensor().set_element_type(ov.Type.f16)
    xml.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(steps.build(), xml)


def write_whole(xml: Path) -> None:
    """Save an export that takes bytes, and scales them by itself."""
    data, brightness = _first_channel(SIZE, "x")
    answer = ops.add(ops.constant(draw_guesses(people(), SCORES, repeats=3)), brightness)
    steps = PrePostProcessor(ov.Model([ops.result(answer)], [data], "stand-in"))
    steps.input().tensor().set_element_type(ov.Type.u8)
    ov.save_model(steps.build(), xml)


def write_broken(xml: Path) -> None:
    """Save an export whose guesses are no numbers."""
    data, brightness = _first_channel(SIZE, "x")
    guesses = np.full((1, 56, 400), np.nan, np.float32)
    _save([ops.add(ops.constant(guesses), brightness)], data, xml, half=False)


def write_flat(xml: Path) -> None:
    """Save an export whose output has one axis."""
    data, brightness = _first_channel(SIZE, "x")
    _save([ops.reshape(brightness, _index([1]), special_zero=False)], data, xml, half=False)


def write_chosen(xml: Path) -> None:
    """Save an end-to-end export: input "x", takes 0..1, one output (1, 300, 57), the people first."""
    data, brightness = _first_channel(SIZE, "x")
    rows, scored = np.zeros((2, 1, 300, 57), np.float32)
    rows[0, :3, :4] = corners_of(people())
    rows[0, :3, 6:] = people().reshape(3, 51)
    rows[0, 3:, 5] = 1  # another class, of score 0
    scored[0, :3, 4] = SCORES
    _save([ops.add(ops.constant(rows), ops.multiply(ops.constant(scored), brightness))], data, xml, half=False)


def write_rtmo(xml: Path) -> None:
    """Save an export: input "input", takes 0..255, non-maximum suppression inside, as many rows as there are people."""
    ov.save_model(rtmo(), xml, compress_to_fp16=False)


def rtmo(guesses: int = 1) -> ov.Model:
    """The same in memory, each person guessed so many times, the later the worse, five pixels from each other."""
    data, brightness = _first_channel(SIZE, "input")
    away = np.repeat(np.arange(guesses), 3)
    joints = np.tile(people(), (guesses, 1, 1))
    joints[..., :2] += np.float32(5) * away[:, None, None]
    boxes = corners_of(joints)
    certain = np.tile(SCORES, guesses) * (1 - np.float32(0.1) * away.astype(np.float32))
    scores = ops.multiply(ops.constant(certain[None, :, None] / np.float32(255)), brightness)
    picked = ops.non_max_suppression(
        ops.constant(boxes[None]),
        ops.transpose(scores, ops.constant(np.array([0, 2, 1]))),
        *(ops.constant(value) for value in (np.int64(200), np.float32(0.65), np.float32(0.1))),
        box_encoding="corner",
        output_type="i64",
    )
    rows = ops.squeeze(ops.gather(picked.output(0), _index([2]), _index(1)), _index([1]))
    found = [
        ops.gather(ops.concat([ops.constant(boxes[None]), scores], 2), rows, _index(1)),
        ops.gather(ops.constant(joints[None]), rows, _index(1)),
    ]
    for node, name in zip(found, ("dets", "keypoints"), strict=True):
        node.output(0).get_tensor().set_names({name})
    return ov.Model([ops.result(node) for node in found], [data], "stand-in")


def _index(value: Any) -> Any:
    return ops.constant(np.array(value, np.int64))


def _first_channel(size: int | None, name: str) -> tuple[Any, Any]:
    side = -1 if size is None else size
    data = ops.parameter([1, 3, side, side], np.float32, name=name)
    data.output(0).get_tensor().set_names({name})
    # What an export bakes in for one size, a table of anchors, is a constant that fits no other.
    baked = data if size is None else ops.add(data, ops.constant(np.zeros((1, 1, side, 1), np.float32)))
    first = ops.gather(baked, _index([0]), _index(1))
    return data, ops.squeeze(ops.reduce_mean(first, _index([2, 3]), keep_dims=True), _index([3]))


def _save(outputs: list[Any], data: Any, xml: Path, *, half: bool) -> None:
    xml.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(ov.Model([ops.result(node) for node in outputs], [data], "stand-in"), xml, compress_to_fp16=half)


def write_apart(path: Path, value: float) -> Path:
    """Write an ONNX file that adds one number to its input, and the number into a file of its own; returns that.

    By the field numbers of onnx.proto3, version 8 of its intermediate representation.
    """
    apart = path.with_suffix(".onnx.data")
    apart.write_bytes(np.float32(value).tobytes())
    where = _onnx((1, "location"), (2, apart.name))
    weight = _onnx((1, 1), (2, 1), (8, "w"), (13, where), (14, 1))
    shape = _onnx((1, _onnx((1, 1))))
    ports = [_onnx((1, name), (2, _onnx((1, _onnx((1, 1), (2, shape)))))) for name in ("x", "y")]
    node = _onnx((1, "x"), (1, "w"), (2, "y"), (4, "Add"))
    graph = _onnx((1, node), (2, "apart"), (5, weight), (11, ports[0]), (12, ports[1]))
    path.write_bytes(_onnx((1, 8), (7, graph), (8, _onnx((1, ""), (2, 17)))))
    return apart


def _onnx(*fields: tuple[int, int | str | bytes]) -> bytes:
    """One message of Protocol Buffers; every number in it is below 128."""
    message = b""
    for number, value in fields:
        if isinstance(value, int):
            message += bytes((number << 3, value))
        else:
            data = value.encode() if isinstance(value, str) else value
            message += bytes((number << 3 | 2, len(data))) + data
    return message
