"""Hypothesis strategies for the messages of the wire, made from their own annotations."""

import math
import types
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, JsonValue
from pydantic.fields import FieldInfo

from agent.wire.zones import Zone

NAMES = st.text("abz09-_", min_size=1, max_size=8).map("z".__add__)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
# The wire has milliseconds; years of three digits are nobody's clock.
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    int: st.integers(0, 2**53),
    float: FINITE,
    bool: st.booleans(),
    datetime: MOMENTS,
    AwareDatetime: MOMENTS,
    type(None): st.none(),
    JsonValue: st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FINITE | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
}


@st.composite
def zones(draw: st.DrawFn) -> Zone:
    """Make a zone whose corners lie in their order on a circle."""
    turns = draw(st.lists(st.integers(0, 11), min_size=3, max_size=12, unique=True))
    angles = [math.radians(30 * turn) for turn in sorted(turns)]
    middle, radius = draw(st.floats(0.3, 0.7)), draw(st.floats(0.15, 0.3))
    corners = tuple((middle + radius * math.cos(angle), middle + radius * math.sin(angle)) for angle in angles)
    return Zone(polygon=corners, mask=draw(st.booleans()), dwell_s=draw(st.floats(0, 600)))


def messages(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Make any message of a kind."""
    fields = {name: _values(field.annotation, field) for name, field in kind.model_fields.items() if name != "schema_"}
    return st.builds(kind, **fields)


def _values(annotation: Any, field: FieldInfo | None = None) -> st.SearchStrategy[Any]:
    arguments = get_args(annotation)
    if annotation in PLAIN:
        # The one number with bounds is the progress of a job.
        return st.floats(0, 1) if annotation is float and field and field.metadata else PLAIN[annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        tuples = [_values(argument, field) for argument in arguments if get_origin(argument) is tuple]
        return st.one_of([*tuples, *(_values(argument) for argument in arguments if get_origin(argument) is not tuple)])
    if get_origin(annotation) is Literal:
        return st.sampled_from(arguments)
    if get_origin(annotation) is dict:
        # The one kind of key with a rule is the name of a zone.
        keys = NAMES if arguments[1] is Zone else _values(arguments[0])
        return st.dictionaries(keys, _values(arguments[1]), max_size=3)
    if get_origin(annotation) is tuple:
        return _tuples(arguments, field)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return st.sampled_from(list(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return zones() if annotation is Zone else messages(annotation)
    return _values(arguments[0])  # Annotated


def _tuples(arguments: tuple[Any, ...], field: FieldInfo | None) -> st.SearchStrategy[Any]:
    if arguments[-1] is not Ellipsis:
        return st.tuples(*(_values(argument) for argument in arguments))
    exact = (
        next((limit.min_length for limit in field.metadata if hasattr(limit, "min_length")), None) if field else None
    )
    values = _values(arguments[0])
    return st.lists(values, min_size=exact or 0, max_size=exact or 3).map(tuple)
