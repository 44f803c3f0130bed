"""From downloaded files to an installed network: IR per precision, the original beside it, the golden outputs."""

import errno
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from agent.errors import ModelError
from models import golden, graphdef, tfjs
from models.catalogue import FrozenConversion, IrConversion, NetworkCard, Precision, TfjsConversion
from models.graphdef import Graph
from models.store import GOLDEN, ORIGINAL, WHOLE

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
        case IrConversion() as conversion:
            variants = _from_ir(card, conversion, downloaded, built)
    for xml in variants.values():
        check(card, built / xml)
    first = variants.get("FP32") or next(iter(variants.values()))
    golden.save(built / GOLDEN, run(card, built / first, golden.golden_input(card)))
    return variants


def from_graph(card: NetworkCard, conversion: Cut, whole: Graph, built: Path) -> dict[Precision, str]:
    """Write the whole graph, the graph cut at the heads, and the cut graph's IR at FP32 and FP16."""
    (built / WHOLE).write_bytes(whole.SerializeToString(deterministic=True))
    heads = tfjs.cut(whole, conversion.cut.values())
    (built / ORIGINAL).write_bytes(heads.SerializeToString(deterministic=True))
    model = _read(built / ORIGINAL)
    _name_tensors(model, card, conversion)
    variants: dict[Precision, str] = {"FP32": f"FP32/{card.name}.xml", "FP16": f"FP16/{card.name}.xml"}
    for precision, xml in variants.items():
        (built / xml).parent.mkdir()
        try:
            ov.save_model(model, built / xml, compress_to_fp16=precision == "FP16")
        except RuntimeError as error:
            # OpenVINO does not say why; what the disk does to a file is an OSError everywhere else.
            raise OSError(errno.EIO, f"OpenVINO could not write {xml}") from error
    return variants


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
    model = _read(xml)
    if card.input.name not in (names := model.input().get_names()):
        raise ModelError(f"{xml.name}: the input is called {', '.join(sorted(names))}, the card says {card.input.name}")
    axis = card.input.layout.index("C")
    for role, head in card.decoder.heads.items():
        try:
            channels = model.output(head.tensor).get_partial_shape()[axis]
        except RuntimeError as error:
            raise ModelError(f"{xml.name} has no output {head.tensor}, which the card names as {role}") from error
        if channels != head.channels:
            raise ModelError(f"{xml.name}: {head.tensor} has {channels} channels, the card says {head.channels}")


def run(card: NetworkCard, xml: Path, picture: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Compute the outputs by role for ``picture``, uint8 (H, W, 3) BGR of an accepted size, at f32 on the CPU."""
    model = _read(xml)
    data = picture[..., ::-1] if card.input.colour == "RGB" else picture
    data = data if card.input.layout == "NHWC" else data.transpose(2, 0, 1)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(np.ascontiguousarray(data[None], np.float32))
    return {role: np.array(results[tensor]) for role, tensor in card.decoder.outputs.items()}


def _read(path: Path) -> ov.Model:
    try:
        return ov.Core().read_model(path)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot read {path.name}: {_last_line(error)}") from error


def _last_line(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1]
