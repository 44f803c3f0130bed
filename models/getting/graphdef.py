"""TensorFlow's GraphDef messages, made from their public field numbers: reading a graph needs no TensorFlow.

Source of names and numbers: tensorflow/core/framework, the .proto files graph, node_def, attr_value, tensor,
tensor_shape, types and versions.
"""

from collections.abc import Iterable, MutableMapping, MutableSequence
from typing import Protocol, cast

import numpy as np
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from agent.errors import ModelError

_PACKAGE = "tensorflow"

_DATA_TYPES = {
    "DT_INVALID": 0, "DT_FLOAT": 1, "DT_DOUBLE": 2, "DT_INT32": 3, "DT_UINT8": 4, "DT_INT16": 5, "DT_INT8": 6,
    "DT_STRING": 7, "DT_COMPLEX64": 8, "DT_INT64": 9, "DT_BOOL": 10, "DT_HALF": 19,
}  # fmt: skip
DT_FLOAT = _DATA_TYPES["DT_FLOAT"]
_SCALARS = {"float32": "float_val", "int32": "int_val", "bool": "bool_val"}
_NUMPY = {"float32": DT_FLOAT, "int32": _DATA_TYPES["DT_INT32"], "bool": _DATA_TYPES["DT_BOOL"]}

# message: rows of (field, number, type); "*" repeats a field, a capital letter starts the name of a message or enum.
_VALUES = (("s", 2, "bytes"), ("i", 3, "int64"), ("f", 4, "float"), ("b", 5, "bool"), ("type", 6, "DataType"),
           ("shape", 7, "TensorShapeProto"), ("tensor", 8, "TensorProto"))  # fmt: skip
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "GraphDef": (("node", 1, "*NodeDef"), ("versions", 4, "VersionDef")),
    "VersionDef": (("producer", 1, "int32"), ("min_consumer", 2, "int32"), ("bad_consumers", 3, "*int32")),
    "NodeDef": (("name", 1, "string"), ("op", 2, "string"), ("input", 3, "*string"), ("device", 4, "string"),
                ("attr", 5, "*NodeDef.AttrEntry")),
    "AttrValue": (("list", 1, "AttrList"), *_VALUES),
    "AttrList": tuple((name, number, f"*{kind}") for name, number, kind in _VALUES),
    "TensorShapeProto": (("dim", 2, "*Dim"), ("unknown_rank", 3, "bool")),
    "Dim": (("size", 1, "int64"), ("name", 2, "string")),
    "TensorProto": (("dtype", 1, "DataType"), ("tensor_shape", 2, "TensorShapeProto"), ("version_number", 3, "int32"),
                    ("tensor_content", 4, "bytes"), ("float_val", 5, "*float"), ("int_val", 7, "*int32"),
                    ("bool_val", 11, "*bool")),
}  # fmt: skip


class Dim(Protocol):
    """One dimension; -1 is unknown."""

    size: int


class Shape(Protocol):
    """A tensor's shape."""

    dim: MutableSequence[Dim]


class Tensor(Protocol):
    """A constant's value."""

    dtype: int
    tensor_shape: Shape
    tensor_content: bytes
    float_val: MutableSequence[float]
    int_val: MutableSequence[int]
    bool_val: MutableSequence[bool]


class AttrList(Protocol):
    """A list attribute."""

    s: MutableSequence[bytes]


class Attr(Protocol):
    """One attribute of a node."""

    s: bytes
    type: int
    tensor: Tensor
    list: AttrList


class Node(Protocol):
    """One operation: ``input`` names nodes, with ``:k`` behind for output k and ``^`` before for control only."""

    name: str
    op: str
    input: MutableSequence[str]
    attr: MutableMapping[str, Attr]


class Graph(Protocol):
    """A whole graph."""

    node: MutableSequence[Node]

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:  # noqa: N802 - protobuf's own name
        """Return the bytes of a frozen graph file."""


def _field(name: str, number: int, kind: str, *, in_oneof: bool) -> FieldDescriptorProto:
    field = FieldDescriptorProto(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if kind.startswith("*"):
        field.label, kind = FieldDescriptorProto.LABEL_REPEATED, kind[1:]
    if kind[0].isupper():
        field.type_name = f".{_PACKAGE}.{kind}"
        is_enum = kind == "DataType"
        field.type = FieldDescriptorProto.TYPE_ENUM if is_enum else FieldDescriptorProto.TYPE_MESSAGE
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    if in_oneof:
        field.oneof_index = 0
    return field


def _graph_class() -> type[Message]:
    file = FileDescriptorProto(name="edgepose/graph.proto", package=_PACKAGE, syntax="proto3")
    for name, rows in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "AttrValue":
            message.oneof_decl.add(name="value")
        message.field.extend(_field(*row, in_oneof=name == "AttrValue") for row in rows)
        if name == "NodeDef":
            entry = DescriptorProto(name="AttrEntry")
            entry.options.map_entry = True
            entry.field.extend(
                [_field("key", 1, "string", in_oneof=False), _field("value", 2, "AttrValue", in_oneof=False)]
            )
            message.nested_type.append(entry)
    enum = file.enum_type.add(name="DataType")
    for name, number in _DATA_TYPES.items():
        enum.value.add(name=name, number=number)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.GraphDef"))


_GRAPH = _graph_class()


def from_json(topology: dict[str, object]) -> Graph:
    """Parse GraphDef's JSON form. Raises ModelError when it is not one."""
    body = {key: value for key, value in topology.items() if key != "library"}
    if topology.get("library"):
        raise ModelError("the graph carries a function library, which is not supported")
    try:
        return cast(Graph, json_format.ParseDict(body, _GRAPH()))
    except json_format.ParseError as error:
        raise ModelError(f"this is not a TensorFlow graph in JSON: {error}") from error


def from_bytes(data: bytes) -> Graph:
    """Parse the bytes of a frozen graph file. Raises ModelError when they are none."""
    try:
        return cast(Graph, _GRAPH.FromString(data))
    except DecodeError as error:
        raise ModelError(f"this is not a frozen TensorFlow graph: {error}") from error


def empty() -> Graph:
    """Make a graph without nodes."""
    return cast(Graph, _GRAPH())


def copy_nodes(target: Graph, nodes: Iterable[Node]) -> None:
    """Append copies of ``nodes``."""
    target.node.extend(nodes)


def node(name: str, op: str, inputs: Iterable[str], dtype: Attr) -> Node:
    """Make a node of one element type ``T``."""
    made = empty().node.add(name=name, op=op, input=inputs)  # type: ignore[attr-defined]
    made.attr["T"].CopyFrom(dtype)
    return cast(Node, made)


def constant(name: str, value: NDArray[np.generic]) -> Node:
    """Make a constant (float32, int32 or bool)."""
    made = cast(Node, empty().node.add(name=name, op="Const"))  # type: ignore[attr-defined]
    set_constant(made.attr["value"].tensor, value)
    made.attr["dtype"].type = made.attr["value"].tensor.dtype
    return made


def set_constant(tensor: Tensor, value: NDArray[np.generic]) -> None:
    """Write ``value`` (float32, int32 or bool) and its shape into a constant."""
    cast(Message, tensor).Clear()
    dtype = value.dtype.name
    tensor.dtype = _NUMPY[dtype]
    cast(Message, tensor.tensor_shape).SetInParent()
    for size in value.shape:
        tensor.tensor_shape.dim.add(size=size)  # type: ignore[attr-defined]
    if value.ndim == 0:
        # OpenVINO reads a scalar in tensor_content as 0 where the shape is not written out, and an empty shape is
        # easily lost on the way; a typed value is read by everybody.
        getattr(tensor, _SCALARS[dtype]).append(value.item())
    else:
        tensor.tensor_content = value.tobytes()
