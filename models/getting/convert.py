"""From downloaded files to an installed network: IR per precision, the original beside it, the golden outputs."""

import errno
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from agent.errors import ModelError
from models.getting import frozen, graphdef, onnx, tfjs
from models.getting.graphdef import Graph
from models.shelf import golden
from models.shelf.catalogue import (
    FrozenConversion,
    IrConversion,
    NetworkCard,
    OnnxConversion,
    Output,
    OwnConversion,
    Precision,
    TfjsConversion,
)
from models.shelf.store import GOLDEN, ORIGINAL, WHOLE

Downloaded = Mapping[str, Path]
"""Where each file of the card lies, by its name in the card."""
Cut = TfjsConversion | FrozenConversion
"""A TensorFlow graph, to be cut at the heads."""


def convert(card: NetworkCard, downloaded: Downloaded, built: Path) -> dict[Precision, str]:
    """Fill the folder ``built`` from the downloaded files.

    Returns the .xml of each precision by path below ``built``. Raises ModelError when the files are not what the card
    says they are, and OSError when the disk is at fault.
    """
    match card.conversion:
        case TfjsConversion() as conversion:
            files = downloaded[conversion.topology].read_bytes(), downloaded[conversion.weights].read_bytes()
            variants = from_graph(card, conversion, tfjs.load(*files), built)
        case FrozenConversion() as conversion:
            whole = graphdef.from_bytes(downloaded[conversion.graph].read_bytes())
            variants = from_graph(card, conversion, whole, built)
            heads = graphdef.from_bytes((built / ORIGINAL).read_bytes())
            frozen.resize_by_factors(heads, conversion.opencv_factors)
            (built / ORIGINAL).write_bytes(heads.SerializeToString(deterministic=True))
        case IrConversion() as conversion:
            variants = _from_ir(card, conversion, downloaded, built)
        case OnnxConversion() as conversion:
            variants = _save(card, onnx.load(card, conversion, read(downloaded[conversion.network])), built)
        case OwnConversion():
            raise ModelError(f"{card.name} is a network of the user's own", hint="models add installs it")
    finish(card, variants, built)
    return variants


def finish(card: NetworkCard, variants: Mapping[Precision, str], built: Path) -> None:
    """Check what lies in the folder ``built`` against the card and record the golden outputs. Raises ModelError."""
    for xml in variants.values():
        check(card, built / xml)
    first = variants.get("FP32") or next(iter(variants.values()))
    outputs = run(card, built / first, golden.golden_input(card))
    for role, head in card.decoder.heads.items():
        if (found := outputs[role].shape[_channel_axis(card, head)]) != head.channels:
            raise ModelError(f"{first}: {head.tensor} has {found} channels, the card says {head.channels}")
        if not np.isfinite(outputs[role]).all():
            raise ModelError(
                f"{first}: {head.tensor} is not finite for the golden picture",
                hint="set input.mean and scale as the network was trained; export it again where they are right",
            )
    if not card.decoder.selects:
        golden.save(built / GOLDEN, outputs)


def from_graph(card: NetworkCard, conversion: Cut, whole: Graph, built: Path) -> dict[Precision, str]:
    """Write the whole graph, the graph cut at the heads, and the cut graph's IR at FP32 and FP16."""
    (built / WHOLE).write_bytes(whole.SerializeToString(deterministic=True))
    heads = tfjs.cut(whole, conversion.cut.values())
    (built / ORIGINAL).write_bytes(heads.SerializeToString(deterministic=True))
    model = read(built / ORIGINAL)
    _name_tensors(model, card, conversion)
    frozen.normalise_per_picture(model)
    return _save(card, model, built)


def _save(card: NetworkCard, model: ov.Model, built: Path) -> dict[Precision, str]:
    variants: dict[Precision, str] = {"FP32": f"FP32/{card.name}.xml", "FP16": f"FP16/{card.name}.xml"}
    for precision, xml in variants.items():
        (built / xml).parent.mkdir()
        save(model, built / xml, half=precision == "FP16")
    return variants


def save(model: ov.Model, xml: Path, *, half: bool) -> None:
    """Write IR, its weights as float16 if ``half``. Raises OSError."""
    try:
        ov.save_model(model, xml, compress_to_fp16=half)
    except RuntimeError as error:
        # OpenVINO does not say why; what the disk does to a file is an OSError everywhere else.
        raise OSError(errno.EIO, f"OpenVINO could not write {xml.name}") from error


def _name_tensors(model: ov.Model, card: NetworkCard, conversion: Cut) -> None:
    for role, node in conversion.cut.items():
        output = model.output(f"{node}:0")
        output.get_tensor().set_names({card.decoder.outputs[role]})
        output.get_node().set_friendly_name(card.decoder.outputs[role])
    parameter = model.get_parameters()[0]
    parameter.set_layout(ov.Layout(card.input.layout))
    parameter.set_friendly_name(card.input.name)
    model.input().get_tensor().set_names({card.input.name})
    model.set_friendly_name(card.name)


def _from_ir(card: NetworkCard, conversion: IrConversion, downloaded: Downloaded, built: Path) -> dict[Precision, str]:
    variants: dict[Precision, str] = {}
    for precision, xml in conversion.xml.items():
        variants[precision] = f"{precision}/{card.name}.xml"
        (built / precision).mkdir()
        for suffix in (".xml", ".bin"):
            source = downloaded[xml.removesuffix(".xml") + suffix]
            shutil.copyfile(source, (built / variants[precision]).with_suffix(suffix))
    return variants


def check(card: NetworkCard, xml: Path) -> None:
    """Raise ModelError unless the network's input and outputs are what the card promises."""
    model = read(xml)
    if card.input.name not in (names := model.input().get_names()):
        raise ModelError(f"{xml.name}: the input is called {', '.join(sorted(names))}, the card says {card.input.name}")
    for role, head in card.decoder.heads.items():
        axis = _channel_axis(card, head)
        try:
            shape = model.output(head.tensor).get_partial_shape()
        except RuntimeError as error:
            present = ", ".join(
                f"{name} {port.get_partial_shape()}" for port in model.outputs for name in port.get_names()
            )
            raise ModelError(
                f"{xml.name} has no output {head.tensor}, which the card names as {role}", hint=f"it has {present}"
            ) from error
        if shape.rank.is_static and not 0 <= axis < len(shape):
            raise ModelError(f"{xml.name}: {head.tensor} is {shape}, the card has its channels on axis {axis}")
        channels = shape[axis] if shape.rank.is_static else ov.Dimension()
        if channels.is_static and channels != head.channels:
            raise ModelError(f"{xml.name}: {head.tensor} has {channels} channels, the card says {head.channels}")


def _channel_axis(card: NetworkCard, head: Output) -> int:
    return card.input.layout.index("C") if head.axis is None else head.axis


def run(card: NetworkCard, xml: Path, picture: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Compute the outputs by role for ``picture``, uint8 (H, W, 3) BGR of an accepted size, at f32 on the CPU."""
    compiled = ov.Core().compile_model(read(xml), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(as_tensor(card, picture))
    return {role: np.array(results[tensor]) for role, tensor in card.decoder.outputs.items()}


def as_tensor(card: NetworkCard, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network itself takes for ``picture``, uint8 (H, W, 3) BGR: float32 of four axes in the card's layout."""
    data: NDArray[Any] = picture[..., ::-1] if card.input.colour == "RGB" else picture
    data = (data - np.array(card.input.mean, np.float32)) / np.array(card.input.scale, np.float32)
    data = data if card.input.layout == "NHWC" else data.transpose(2, 0, 1)
    return np.ascontiguousarray(data[None], np.float32)


def read(path: Path) -> ov.Model:
    """Read a network from IR, ONNX or a frozen graph. Raises ModelError."""
    try:
        return ov.Core().read_model(path)
    except RuntimeError as error:
        why = _last_line(error)
        apart = "external" in why.lower()  # as today's PyTorch exports
        hint = "its weights are in a file of their own: put that, whole, into the same folder" if apart else ""
        raise ModelError(f"OpenVINO cannot read {path.name}: {why}", hint=hint) from error


def _last_line(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1]
