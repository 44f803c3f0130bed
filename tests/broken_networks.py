"""Networks that fail, each in one way and at one step, installed as networks of the user's own.

Each function installs one into a folder of networks and returns its name. All are small and of MoveNet's family: they
take pictures of any multiple of 32, by default 64x64, and see nobody. Where it says "dark", a picture whose mean is
below 20 of 255 is meant: the golden picture and the sample clip are brighter, so such a network fails in use alone.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from agent.poses.decoders import roles_of
from models.getting.fetch import manifest
from models.getting.own import add
from models.shelf import catalogue
from models.shelf.catalogue import NetworkCard, Precision
from models.shelf.store import CARD, MANIFEST, Store

HEADS = {
    "center": 1,
    "keypoint_regress": 34,
    "keypoint_heatmap": 17,
    "keypoint_offset": 34,
    "box_scale": 2,
    "box_offset": 2,
}
"""Role to channels."""
VARIANTS: dict[Precision, str] = {"FP32": "FP32", "FP16": "FP16"}
DARK = 20.0


def sound(folder: Path, seed: int = 1, name: str = "tiny-sound") -> str:
    """One that works."""
    return _install(folder, name, network(seed=seed))


def without_file(folder: Path) -> str:
    """Its .xml is gone: nothing may be compiled."""
    name = _install(folder, "tiny-missing", network())
    for path in (folder / name).rglob("*.xml"):
        path.unlink()
    return name


def truncated(folder: Path) -> str:
    """Its weights are half as long as the manifest says."""
    name = _install(folder, "tiny-truncated", network())
    _cut_weights(folder / name)
    return name


def truncated_as_listed(folder: Path) -> str:
    """Its weights are half as long as its graph needs, and the manifest agrees: only OpenVINO can tell."""
    name = _install(folder, "tiny-short", network())
    _cut_weights(folder / name)
    _list_again(folder, name)
    return name


def damaged(folder: Path) -> str:
    """Its weights have the right size and other bytes than the manifest says."""
    name = _install(folder, "tiny-damaged", network())
    for path in (folder / name).rglob("*.bin"):
        weights = bytearray(path.read_bytes())
        weights[len(weights) // 2] ^= 0x10
        path.write_bytes(weights)
    return name


def other_weights(folder: Path) -> str:
    """Its weights are those of another network, and the manifest agrees: only its golden answer can tell, at FP32."""
    name = _install(folder, "tiny-other", network())
    _write(network(seed=2), name, folder / name)
    _list_again(folder, name)
    return name


def misshapen(folder: Path) -> str:
    """Its keypoint heatmap has 16 channels where the card says 17."""
    return install_as_it_is(folder, "tiny-misshapen", network(HEADS | {"keypoint_heatmap": 16}))


def narrow(folder: Path) -> str:
    """All channels are as the card says; the maps of its box heads are half as wide as the others."""
    return install_as_it_is(folder, "tiny-narrow", network(halved=("box_scale", "box_offset")))


def nan(folder: Path) -> str:
    """It answers NaN to every picture."""
    return install_as_it_is(folder, "tiny-nan", network(spoil=lambda mean: ops.log(ops.subtract(mean, _float(1000)))))


def nan_in_the_dark(folder: Path) -> str:
    """It answers NaN to dark pictures."""
    return _install(folder, "tiny-blind", network(spoil=lambda mean: ops.log(ops.subtract(mean, _float(DARK)))))


def raises_in_the_dark(folder: Path) -> str:
    """Its inference fails on dark pictures."""

    def spoil(mean: Any) -> Any:
        # Twelve values fit a shape of (1, 12); of a dark picture (1, 5) is asked.
        columns = ops.select(ops.less(mean, _float(DARK)), ops.constant(np.int64(5)), ops.constant(np.int64(12)))
        pattern = ops.concat([ops.constant(np.array([1])), ops.unsqueeze(columns, ops.constant(np.int64(0)))], 0)
        data = ops.broadcast(mean, ops.constant(np.array([12])))
        return ops.reduce_sum(ops.reshape(data, pattern, special_zero=False), ops.constant(np.array([0, 1])))

    return _install(folder, "tiny-raising", network(spoil=spoil))


def hangs_in_the_dark(folder: Path) -> str:
    """Its inference never returns for a dark picture: a loop whose condition holds for as long as the mean is low."""
    return _install(folder, "tiny-hanging", network(spoil=lambda mean: _loop(-1, ops.less(mean, _float(DARK)))))


def never_answers(folder: Path) -> str:
    """Its inference never returns, whatever the picture."""
    return install_as_it_is(folder, "tiny-mute", network(spoil=lambda mean: _loop(-1, ops.greater(mean, _float(-1)))))


def lagging(folder: Path, rounds: int = 60_000) -> str:
    """Its inference is right, and takes a good part of a second, which it spends in a loop."""
    return _install(folder, "tiny-lagging", network(spoil=lambda mean: _loop(rounds, ops.greater(mean, _float(-1)))))


def slow(folder: Path, side: int = 1600) -> str:
    """OpenVINO multiplies two ``side`` x ``side`` matrices whenever it builds it: 1600 take 1 s, 4000 about 17 s.

    An engine with its reference is built twice.
    """

    def spoil(_mean: Any) -> Any:
        matrix = ops.broadcast(_float(1e-3), ops.constant(np.array([side, side])))
        return ops.reduce_sum(ops.matmul(matrix, matrix, False, False), ops.constant(np.array([0, 1])))

    return install_as_it_is(folder, "tiny-slow", network(spoil=spoil))


def install_as_it_is(folder: Path, name: str, network: ov.Model) -> str:
    """Install what `models add` would refuse: without golden outputs, as if it had been installed elsewhere."""
    entry = folder / name
    entry.mkdir(parents=True)
    (entry / CARD).write_text(card(name), encoding="utf-8")
    _write(network, name, entry)
    _list_again(folder, name)
    return name


def network(
    heads: dict[str, int] = HEADS,
    *,
    seed: int = 1,
    halved: tuple[str, ...] = (),
    spoil: Callable[[Any], Any] | None = None,
) -> ov.Model:
    """Two random convolutions. ``spoil`` makes a number of the picture's mean, of which zero times is added to all."""
    random = np.random.default_rng(seed)
    picture = ops.parameter([1, -1, -1, 3], np.float32, name="input")
    picture.output(0).get_tensor().set_names({"input"})
    layer = ops.multiply(ops.transpose(picture, ops.constant(np.array([0, 3, 1, 2]))), _float(1 / 128))
    layer = ops.relu(_convolution(random, layer, 3, 16))
    spoiled = None
    if spoil is not None:
        mean = ops.reduce_mean(picture, ops.constant(np.array([0, 1, 2, 3])))
        spoiled = ops.multiply(spoil(mean), _float(0))
    results = []
    for role, channels in heads.items():
        head = ops.transpose(_convolution(random, layer, 16, channels), ops.constant(np.array([0, 2, 3, 1])))
        if role == "center":
            head = ops.subtract(ops.multiply(head, _float(0.01)), _float(8))  # nobody anywhere
        if role in halved:
            head = ops.strided_slice(
                head,
                *(ops.constant(np.array(value)) for value in ([0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 2, 1])),
                begin_mask=[1, 1, 1, 1],
                end_mask=[1, 1, 1, 1],
            )
        if spoiled is not None:
            head = ops.add(head, spoiled)
        head.output(0).get_tensor().set_names({role})
        results.append(ops.result(head))
    return ov.Model(results, [picture], "stand-in")


def card(name: str) -> str:
    """Text of the card of a network of this family."""
    heads = "\n".join(f'{role} = {{ tensor = "{role}", channels = {channels} }}' for role, channels in HEADS.items())
    return f"""kind = "network"
name = "{name}"
title = "Stand-in"
licence = "Apache-2.0"
origin = "made by a test"
[input]
name = "input"
layout = "NHWC"
colour = "RGB"
stride = 32
height = 64
width = 64
resizable = true
[decoder]
family = "movenet"
stride = 4
[decoder.heads]
{heads}
[conversion]
kind = "own"
[conversion.network]
FP32 = "{name}.xml"
"""


def _install(folder: Path, name: str, network: ov.Model) -> str:
    """As `models add` does."""
    scratch = folder / ".scratch"
    scratch.mkdir(parents=True)
    (scratch / f"{name}.toml").write_text(card(name), encoding="utf-8")
    ov.save_model(network, scratch / f"{name}.xml", compress_to_fp16=False)
    add(scratch / f"{name}.toml", scratch, Store(folder), roles_of)
    shutil.rmtree(scratch)
    return name


def _loop(rounds: int, goes_on: Any) -> Any:
    """Count for so many rounds, -1 without end, where ``goes_on``; a number."""
    counted, again = ops.parameter([], np.float32), ops.parameter([], np.bool_)
    condition, next_again = ops.logical_or(again, again), ops.logical_or(again, again)
    body = ov.Model([condition, ops.add(counted, _float(1)), next_again], [counted, again], "body")
    loop = ops.loop(ops.constant(np.int32(rounds)), goes_on)
    loop.set_function(body)
    loop.set_merged_input(counted, _float(0).output(0), body.outputs[1])
    loop.set_merged_input(again, goes_on.output(0), body.outputs[2])
    loop.set_special_body_ports([-1, 0])
    return loop.get_iter_value(body.outputs[1], -1)


def _write(network: ov.Model, name: str, entry: Path) -> None:
    for precision, variant in VARIANTS.items():
        ov.save_model(network, entry / variant / f"{name}.xml", compress_to_fp16=precision == "FP16")


def _list_again(folder: Path, name: str) -> None:
    entry = folder / name
    (entry / MANIFEST).unlink(missing_ok=True)
    described = catalogue.parse((entry / CARD).read_text(encoding="utf-8"), name)
    assert isinstance(described, NetworkCard)
    variants = {precision: f"{variant}/{name}.xml" for precision, variant in VARIANTS.items()}
    (entry / MANIFEST).write_text(manifest(described, entry, {}, variants).model_dump_json(), encoding="utf-8")


def _cut_weights(entry: Path) -> None:
    for path in entry.rglob("*.bin"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _convolution(random: np.random.Generator, layer: Any, inputs: int, outputs: int) -> Any:
    weights = random.normal(0, 0.3, (outputs, inputs, 3, 3)).astype(np.float32)
    return ops.convolution(layer, ops.constant(weights), [2, 2], [1, 1], [1, 1], [1, 1])


def _float(value: float) -> Any:
    return ops.constant(np.float32(value))
