"""Faults of a configuration in words for a person: where, which key, what was given, what was expected.

Everything is derived from the JSON schema of :class:`agent.config.tree.Config`, so words and bounds cannot drift apart.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent.config.tree import Config
from agent.redact import HIDDEN, redact
from agent.wire.wording import words_of

KeyPath = tuple[str, ...]
Schema = Mapping[str, Any]

TYPE_WORDS: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
}
BOUND_WORDS: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
SHOWN_CHARACTERS: Final = 80
PATH_CHARACTERS: Final = 4096
"""As long as Linux takes one."""
PATHS: Final = frozenset({"path", "file-path", "directory-path"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong, on one line."""

    origin: str
    """File, variable, or "command line"."""
    key: str
    text: str

    def __str__(self) -> str:
        return redact(": ".join(part for part in (self.origin, self.key, self.text) if part))


def dotted(steps: Sequence[str]) -> str:
    """Join steps as the file's reader knows them: ``mqtt.tls.ca_file``."""
    return ".".join(steps)


@cache
def _root() -> Schema:
    return Config.model_json_schema()


def _resolved(schema: Schema) -> Schema:
    """Follow a reference; "this or null" becomes "this", marked nullable."""
    if "anyOf" in schema:
        (one,) = (option for option in schema["anyOf"] if option.get("type") != "null")
        return {**_resolved(one), "nullable": True}
    if "$ref" in schema:
        table: Schema = _root()["$defs"][schema["$ref"].rpartition("/")[2]]
        return table
    return schema


def schema_at(steps: Sequence[str]) -> Schema:
    """JSON schema of a key; empty for a key that does not exist."""
    schema = _resolved(_root())
    for step in steps:
        inner = schema.get("properties", {}).get(step) or schema.get("additionalProperties") or schema.get("items")
        if not inner:
            return {}
        schema = _resolved(inner)
    return schema


def all_keys(steps: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key that holds a value, depth first in the order of the schema."""
    properties = schema_at(steps).get("properties")
    if properties is None:
        yield steps
    for step in properties or ():
        yield from all_keys((*steps, step))


def steps_of(parts: Sequence[str]) -> KeyPath | None:
    """Key path of a variable's name, or None where there is no such key. Names under a free table keep their case."""
    steps: KeyPath = ()
    for part in parts:
        known = "properties" in schema_at(steps)
        steps = (*steps, part.lower() if known else part)
    schema = schema_at(steps)
    return None if not all(parts) or not schema or "properties" in schema else steps


def unknown_variable(name: str, prefix: str) -> Fault:
    """Fault of a variable that names no key, with the nearest variable that does."""
    names = ["__".join(steps).upper() for steps in all_keys()]
    wanted = name.removeprefix(prefix)
    inside = [known for known in names if known.startswith(f"{wanted}__")]
    if near := inside or difflib.get_close_matches(wanted, names, n=1):
        return Fault(name, "", f"unknown variable; did you mean {prefix}{near[0]}?")
    return Fault(name, "", "unknown variable; two underscores step into a table, as in EDGEPOSE_MQTT__PORT")


def faults_of(error: ValidationError, origins: Mapping[KeyPath, str], *, below: KeyPath = ()) -> list[Fault]:
    """Turn pydantic's findings into faults; ``origins`` says who gave which key, ``()`` being the file.

    ``below`` is where the table stands that was judged; nothing is the whole configuration.
    """
    details = error.errors(include_url=False)
    # Of a list, what is wrong is not counted either: where an entry is told, "too few" would mislead.
    inside = {each["loc"][:steps] for each in details for steps in range(len(each["loc"]))}
    told = [each for each in details if not (each["type"] == "too_short" and each["loc"] in inside)]
    return [_fault(detail, origins, below) for detail in told]


def _fault(detail: ErrorDetails, origins: Mapping[KeyPath, str], below: KeyPath) -> Fault:
    steps = (*below, *(str(step) for step in detail["loc"]))
    origin = ", ".join(_origins_of(steps, origins))
    # The value of an unknown key is never shown: "pasword" holds a password too.
    if detail["type"] == "extra_forbidden":
        return Fault(origin, dotted(steps), _unknown_key(steps))
    if steps[-1:] == ("[key]",):  # the name of a table that may have any: where it is none
        return Fault(origin, dotted(steps[:-2]), words_of(detail))
    schema = schema_at(steps)
    said = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else ""
    if "properties" in schema and said:
        return Fault(origin, dotted(steps), said)
    given = _shown(detail["input"], schema.get("format"))
    return Fault(
        origin,
        dotted(steps),
        f"got {given}, " + (said or (f"expected {expected(schema)}" if schema else words_of(detail))),
    )


def _origins_of(steps: KeyPath, origins: Mapping[KeyPath, str]) -> Sequence[str]:
    """Who gave this key; for a table, everybody who gave something in it."""
    exact = next((origins[steps[:n]] for n in range(len(steps), 0, -1) if steps[:n] in origins), None)
    if exact is not None:
        return [exact]
    file = [origins[()]] if () in origins else []
    inside = sorted({origin for key, origin in origins.items() if steps and key[: len(steps)] == steps})
    return [*file, *inside]


def _unknown_key(steps: KeyPath) -> str:
    siblings = list(schema_at(steps[:-1]).get("properties", {}))
    if near := difflib.get_close_matches(steps[-1], siblings, n=1):
        return f"unknown key; did you mean {dotted((*steps[:-1], near[0]))}?"
    if elsewhere := [key for key in all_keys() if key[-1] == steps[-1]]:
        return f"unknown key here; did you mean {dotted(elsewhere[0])}?"
    return f"unknown key; known here: {', '.join(siblings)}"


def _shown(given: object, kind: str | None) -> str:
    if kind == "password":
        return HIDDEN
    if isinstance(given, dict | list):  # what is inside may hold a password under any key
        return "a table" if isinstance(given, dict) else "a list"
    text = redact(json.dumps(given, ensure_ascii=False, default=str))  # before it is cut: the @ must still be there
    before, at, after = text.rpartition("@")
    if at and not before.endswith(HIDDEN):  # an account before what is no address, such as a broker's host
        text = f'"{HIDDEN}@{after}'
    # Of a path the end tells most, and somebody will want to copy it.
    shown = PATH_CHARACTERS if kind in PATHS else SHOWN_CHARACTERS
    return text if len(text) <= shown else f"{text[:shown]}..."


def expected(schema: Schema) -> str:
    """Say in words what a key takes: ``a whole number, at least 1 and at most 65535``."""
    match schema:
        case {"properties": keys}:
            words = f"a table with {', '.join(keys)}"
        case {"description": words}:
            pass
        case {"enum": values}:
            words = "one of " + ", ".join(json.dumps(value) for value in values)
        case {"format": "path" | "file-path"}:
            words = "a path"
        case {"items": inner}:
            words = f"a list in brackets, each item {expected(_resolved(inner))}"
        case {"additionalProperties": dict(inner)}:
            words = f"a table, each value {expected(inner)}"
        case {"type": "string", "minLength": 1}:
            words = "a text that is not empty"
        case _:
            words = _number_or_type(schema)
    return str(words)


def _number_or_type(schema: Schema) -> str:
    kind = TYPE_WORDS[schema["type"]]
    bounds = " and ".join(f"{words} {schema[bound]:g}" for bound, words in BOUND_WORDS.items() if bound in schema)
    unset = " (or 0: unset)" if schema.get("nullable") and schema["type"] in {"integer", "number"} else ""
    return f"{kind}, {bounds}{unset}" if bounds else kind + unset
