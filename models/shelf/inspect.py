"""What a network is: inputs, outputs, size, and the arithmetic of one picture."""

import math
from dataclasses import dataclass

import openvino as ov

from agent.errors import ModelError
from models.shelf.catalogue import NetworkCard
from models.shelf.store import Store


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output."""

    name: str
    shape: str
    type: str


@dataclass(frozen=True, slots=True)
class Variant:
    """One precision that is present."""

    precision: str
    bytes: int
    """Of its .xml and .bin together."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One network at one input size."""

    name: str
    height: int
    width: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    gflops: float
    """Of convolutions and matrix products; a multiply-accumulate counts as two."""
    parameters: int
    variants: tuple[Variant, ...]
    original_bytes: int | None


WORKING = ("Convolution", "GroupConvolution", "MatMul")


def inspect(card: NetworkCard, store: Store, height: int | None = None, width: int | None = None) -> Summary:
    """Describe an installed network at an input size, by default the card's. Raises ModelError."""
    manifest = store.manifest(card.name)
    precisions = store.precisions(card.name)
    model = ov.Core().read_model(store.variant(card.name, precisions[0]))
    height, width = height or card.input.height, width or card.input.width
    inputs, outputs = _tensors(model.inputs), _tensors(model.outputs)
    resized(model, card, height, width)
    sizes = {path: file.size for path, file in manifest.files.items()}
    variants = tuple(
        Variant(precision, sizes[xml] + sizes[xml.removesuffix(".xml") + ".bin"])
        for precision, xml in ((precision, manifest.variants[precision]) for precision in precisions)
    )
    return Summary(
        name=card.name,
        height=height,
        width=width,
        inputs=inputs,
        outputs=outputs,
        gflops=2 * multiply_accumulates(model) / 1e9,
        parameters=parameters(model),
        variants=variants,
        original_bytes=sizes.get("original.pb"),
    )


def resized(model: ov.Model, card: NetworkCard, height: int, width: int) -> ov.Model:
    """Give ``model`` a static shape, and return it. Raises ModelError for a size the card does not have."""
    stride = card.input.stride
    if (height, width) != (card.input.height, card.input.width):
        if not card.input.resizable:
            raise ModelError(f"{card.name} accepts {card.input.height}x{card.input.width} only, not {height}x{width}")
        if height % stride or width % stride or height < stride or width < stride:
            raise ModelError(f"{card.name} wants height and width in multiples of {stride}, not {height}x{width}")
    axes = {"N": 1, "C": 3, "H": height, "W": width}
    model.reshape([axes[axis] for axis in card.input.layout])
    return model


def _tensors(ports: list[ov.Output]) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(_name(port), str(port.get_partial_shape()), port.get_element_type().get_type_name())
        for port in ports
    )


def _name(port: ov.Output) -> str:
    return port.get_any_name() if port.get_names() else str(port.get_node().get_friendly_name())


def multiply_accumulates(model: ov.Model) -> int:
    """Count the multiply-accumulates of a network, but for what has no size before it runs, behind a selection."""
    return sum(work_of(op) for op in model.get_ops())


def work_of(op: ov.Node) -> int:
    """Multiply-accumulates of one operation; 0 of all but convolutions and matrix products of known sizes."""
    if op.get_type_name() not in WORKING:
        return 0
    if any(port.get_partial_shape().is_dynamic for port in (*op.inputs(), *op.outputs())):
        return 0
    per_output: int
    match op.get_type_name():
        case "Convolution":
            # weights: outputs, inputs, kernel
            per_output = math.prod(op.input(1).get_shape()[1:])
        case "GroupConvolution":
            # weights: groups, outputs, inputs, kernel
            per_output = math.prod(op.input(1).get_shape()[2:])
        case "MatMul":
            per_output = int(op.input(0).get_shape()[-2 if op.get_attributes()["transpose_a"] else -1])
        case _:
            return 0
    outputs: int = math.prod(op.output(0).get_shape())
    return per_output * outputs


def parameters(model: ov.Model) -> int:
    """Count the trained numbers: elements of every constant that is no shape or index."""
    constants = (op.output(0) for op in model.get_ops() if op.get_type_name() == "Constant")
    whole = {"i32", "i64", "u64", "boolean"}
    return sum(math.prod(c.get_shape()) for c in constants if c.get_element_type().get_type_name() not in whole)
