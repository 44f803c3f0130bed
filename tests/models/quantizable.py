"""A small network of which one layer can be quantised and another must not be."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from agent.capture.frame import Frame
from agent.poses.decoders import roles_of
from models.getting.own import add
from models.shelf.store import Store
from tests.models.own_networks import SCORES, SIZE, people
from tests.models.test_own import RED, example
from tests.poses.yolo_guesses import draw_guesses

NAME = "my-yolo"
SIDE = 64
STURDY, FRAGILE = "sturdy", "fragile"


def write(xml: Path, *, gain: float = 1.0) -> None:
    """Save a YOLO-pose stand-in: everybody's score is how red the picture is, which two convolutions work out.

    The fragile one takes that and, without using it, a second channel a hundred thousand times as large: eight bits for
    both leave nothing of the first.
    """
    data = ops.parameter([1, 3, SIDE, SIDE], np.float32, name="x")
    data.output(0).get_tensor().set_names({"x"})
    first = np.zeros((8, 3, 3, 3), np.float32)
    first[:, 0, 1, 1] = np.linspace(0.5, 1.5, 8) * gain
    sturdy = _convolution(data, first, STURDY)
    red = ops.reduce_mean(sturdy, np.array([1]), keep_dims=True)
    both = ops.concat([red, ops.multiply(ops.add(red, np.float32(1)), np.float32(1e5))], 1)
    fragile = _convolution(both, np.array([1, 0], np.float32).reshape(1, 2, 1, 1), FRAGILE)
    brightness = ops.squeeze(ops.reduce_mean(fragile, np.array([2, 3]), keep_dims=True), np.array([3]))
    guesses = draw_guesses(people() * (SIDE / SIZE, SIDE / SIZE, 1), SCORES, repeats=1)
    scored = np.zeros_like(guesses)
    scored[:, 4] = guesses[:, 4]
    guesses[:, 4] = 0
    answer = ops.add(ops.constant(guesses), ops.multiply(ops.constant(scored), brightness))
    xml.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(ov.Model([ops.result(answer)], [data], "stand-in"), xml, compress_to_fp16=False)


def _convolution(data: Any, weights: np.ndarray[Any, Any], name: str) -> Any:
    same = np.array([weights.shape[2] // 2] * 2)
    node = ops.convolution(data, ops.constant(weights), [1, 1], same, same, [1, 1])
    node.set_friendly_name(name)
    return node


def install(folder: Path) -> Store:
    """Install it at FP32 and FP16."""
    write(folder / "export" / "yolo11n-pose.xml")
    store = Store(folder / "store")
    add(card(folder), folder / "export", store, roles_of)
    return store


def card(folder: Path) -> Path:
    """Write its card."""
    return example(NAME, folder, changes={"height = 640": f"height = {SIDE}", "width = 640": f"width = {SIDE}"})


def frames(count: int, *, brightest: int = 255) -> Iterator[Frame]:
    """Red pictures, some brighter than others; each holds the network's three people."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(count):
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        image[..., RED] = brightest - number % 5 * 10
        yield Frame(image, number, now + timedelta(seconds=number), float(number), 0.0)
