"""How texts of strangers, and what pydantic finds wrong with them, are put into messages for people."""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, ErrorDetails, core_schema

SHOWN_MAX: Final = 60
ALIKE: Final = 0.5
"""Share of their letters and pairs of letters that two words must have in common, one to have been meant."""

_A_TEXT: Final = "should be a text"
_A_LIST: Final = "should be a list"
_A_TABLE: Final = "should be an object"
_A_WHOLE_NUMBER: Final = "should be a whole number"
_A_NUMBER: Final = "should be a number"
_A_SWITCH: Final = "should be true or false"
WORDS: Final[Mapping[str, str]] = {
    "bool_parsing": _A_SWITCH,
    "bool_type": _A_SWITCH,
    "dict_type": _A_TABLE,
    "extra_forbidden": "is unknown here",
    "finite_number": "should be a finite number",
    "float_parsing": _A_NUMBER,
    "float_type": _A_NUMBER,
    "greater_than": "should be above {gt:g}",
    "greater_than_equal": "should be at least {ge:g}",
    "int_from_float": _A_WHOLE_NUMBER,
    "int_parsing": _A_WHOLE_NUMBER,
    "int_parsing_size": _A_WHOLE_NUMBER,
    "int_type": _A_WHOLE_NUMBER,
    "json_invalid": "not JSON: {error}",
    "less_than": "should be below {lt:g}",
    "less_than_equal": "should be at most {le:g}",
    "list_type": _A_LIST,
    "literal_error": "should be {expected}",
    "missing": "missing",
    "model_attributes_type": _A_TABLE,
    "model_type": _A_TABLE,
    "string_pattern_mismatch": "has another form than is expected here",
    "string_too_long": "should have at most {max_length} characters",
    "string_too_short": "should have at least {min_length} characters",
    "string_type": _A_TEXT,
    "too_long": "should have at most {max_length} entries",
    "too_short": "should have at least {min_length} entries",
    "tuple_type": _A_LIST,
    "value_error": "{error}",
}
"""What is said of each kind of fault that pydantic finds, with the bounds it tells."""


@dataclass(frozen=True, slots=True)
class Worded:
    """Beside a type: whoever gives what it is not is told ``should be`` and these words, whatever is wrong.

    For texts held to a regular expression, which tells a person nothing, and for what may be one of several.
    """

    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.custom_error_schema(
            handler(source), custom_error_type="worded", custom_error_message=f"should be {self.words}"
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "description": self.words}


def in_words(error: ValidationError, whole: str = "") -> str:
    """What is wrong, in one line: the place, and what is expected there; ``whole`` is what no place is said of."""
    fault = first_fault(error)
    place = place_of(fault) or whole
    return f"{place}: {words_of(fault)}" if place else words_of(fault)


def cause_of(error: Exception, whole: str) -> str:
    """Why a file cannot be read or is not what it should be: :func:`in_words`, or what another error says itself."""
    return in_words(error, whole) if isinstance(error, ValidationError) else str(error)


def first_fault(error: ValidationError) -> ErrorDetails:
    """The fault that says most: a misspelt field is two, it is unknown and another is missing."""
    faults = error.errors(include_url=False, include_input=False)
    return next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])


def place_of(fault: ErrorDetails) -> str:
    """Where it is: keys and numbers from the outermost on, joined by dots; of a name that is wrong, the table."""
    steps = fault["loc"]
    *tables, last = steps or ("",)
    return ".".join(map(str, tables[:-1] if last == "[key]" else steps))


def words_of(fault: ErrorDetails) -> str:
    """What is expected, without the place."""
    words, bounds = WORDS.get(fault["type"]), fault.get("ctx", {})
    said = fault["msg"] if words is None else words.format_map(bounds)
    if bounds.get("min_length") == 1:
        said = "should not be empty"
    if fault["loc"][-1:] == ("[key]",):
        return f"the name {shown(str(fault['loc'][-2]))} {said}"
    return said


def shown(text: str) -> str:
    """The text in quotes on one line, cut where it is long; whatever is not printable is escaped."""
    return repr(text) if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]!r}..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """What was probably meant by a word that is none of the known ones.

    Sørensen's and Dice's coefficient of their letters and pairs of letters: it finds what difflib finds for a third of
    the time, which whoever floods a box with wrong words would have it pay for each.
    """
    sizes, holders = _index(tuple(known))
    parts = _parts(word[:SHOWN_MAX])
    common: dict[str, int] = {}
    for part in parts:
        for name in holders.get(part, ()):
            common[name] = common.get(name, 0) + 1
    likeness = {name: 2 * shared / (len(parts) + sizes[name]) for name, shared in common.items()}
    best = max(sorted(likeness), key=likeness.__getitem__, default=None)
    return best if best is not None and likeness[best] >= ALIKE else None


@functools.lru_cache(maxsize=256)
def _index(known: tuple[str, ...]) -> tuple[dict[str, int], dict[str, list[str]]]:
    """How many parts each name has, and which names have a part."""
    sizes: dict[str, int] = {}
    holders: defaultdict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(known):
        parts = _parts(name)
        sizes[name] = len(parts)
        for part in parts:
            holders[part].append(name)
    return sizes, dict(holders)


def _parts(word: str) -> frozenset[str]:
    """Each letter, each with the next, and the ends: who begins or ends alike is more alike."""
    padded = f" {word} "
    return frozenset(word) | {padded[place : place + 2] for place in range(len(padded) - 1)}


def many(count: int, one: str, more: str | None = None) -> str:
    """``1 frame``, ``2 frames``; ``more`` is the word for several where an s does not make it."""
    return f"{count} {one}" if count == 1 else f"{count} {more or one + 's'}"
