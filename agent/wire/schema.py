"""The contract for machines: JSON Schemas of everything on the wire, and an AsyncAPI 3 document of its topics.

All of it is made from the models, so it cannot say anything else than they do.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from agent.wire.commands import ARGS, Job, Reply
from agent.wire.messages import CONTRACT_VERSION, Event, Info, Keypoints, Message, Metrics, State, ZoneMessage
from agent.wire.part import Part
from agent.wire.topics import DEFAULT_PREFIX

UNITS: Final = (
    (r"_ms(_|$)|^latency$", "ms"),
    (r"_(persons|people)|^persons_(mean|max)$", "people"),
    (r"(_|^)seconds$|_s$", "s"),
    (r"(^|_)fps(_|$)", "1/s"),
    (r"_mb$", "MiB"),
    (r"_percent$", "%"),
    (r"_c$", "°C"),
    (r"^bytes$|_bytes$|^bytes_", "byte"),
    (r"^frames_", "frames"),
)
"""Of a field by its name."""
DESCRIPTION: Final = (
    "What an edgepose agent says over MQTT, and what it obeys. A reader ignores keys it does not know: "
    "a later agent may add some. The prefix `edgepose` is configurable."
)
SENT: Final[dict[str, tuple[type[Message], str, int, bool]]] = {
    "info": (Info, "Who the agent is and what it can do", 1, True),
    "state": (State, "What runs now", 1, True),
    "metrics": (Metrics, "Summary of a window", 1, True),
    "keypoints": (Keypoints, "Everybody seen in one frame", 0, False),
    "event": (Event, "Something happened", 1, False),
    "zone/{zone}": (ZoneMessage, "Who is in a zone", 1, True),
    "job/{job}": (Job, "Progress and result of something long", 1, True),
}
"""What an agent says: leaf of the topic to message, meaning, QoS and whether it is retained."""
PARAMETERS: Final = {
    "device_id": "The box, 1 to 63 lower-case letters, digits and dashes",
    "zone": "Name of a zone, as `state` has it",
    "job": "Id of a job, which is that of the command that started it",
    "client": "Whoever commands, by a name of his own",
    "group": "A group that the box's configuration names",
}


def schemas() -> dict[str, Any]:
    """JSON Schema of every message by its name, and of every command's arguments as ``command/NAME``."""
    found = {_name(kind): _of(kind) for kind in sorted(Message.__subclasses__(), key=_name)}
    return found | {f"command/{name}": _of(args, closed=True) for name, args in sorted(ARGS.items())}


def asyncapi(agent_version: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document: every topic, what goes over it, with which QoS and retained or not."""
    parts: dict[str, Any] = {}
    channels, operations, told = {}, {}, {}
    for leaf, (kind, meaning, qos, retained) in SENT.items():
        name = leaf.partition("/")[0]
        told[name] = _message(kind, name, meaning, parts)
        channels[name] = _channel(f"{{device_id}}/{leaf}", name, meaning)
        operations[f"send_{name}"] = _operation("send", name, meaning, qos=qos, retain=retained)
    told["availability"] = {
        "name": "availability",
        "title": "Whether the agent is there",
        "contentType": "text/plain",
        "payload": {"type": "string", "enum": ["online", "offline"]},
    }
    meaning = "`online`, and `offline` as its last word and its last will"
    channels["availability"] = _channel("{device_id}/availability", "availability", meaning)
    operations["send_availability"] = _operation("send", "availability", meaning, qos=1, retain=True)
    told["reply"] = _message(Reply, "reply", "The answer to a command", parts)
    channels["reply"] = _channel(
        "{device_id}/reply/{client}", "reply", "Where answers go unless a command says otherwise"
    )
    # Where a command names a topic of its own, that is the address.
    channels["answer"] = channels["reply"] | {"address": None}
    channels["answer"].pop("parameters")
    for name, args in sorted(ARGS.items()):
        key = f"command_{name}"
        told[key] = _command(name, args, parts)
        channels[key] = _channel(f"{{device_id}}/command/{name}", key, f"The command {name}, to one box")
        group = f"group_{name}"
        channels[group] = _channel(f"_group/{{group}}/command/{name}", key, f"The command {name}, to a group")
        for channel in (key, group):
            received = _operation("receive", channel, f"Carry out {name}", qos=1, retain=False, message=key)
            reply = {"channel": {"$ref": "#/channels/answer"}, "address": {"location": "$message.payload#/reply_to"}}
            operations[f"receive_{channel}"] = received | {"reply": reply}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edgepose",
            "version": f"{CONTRACT_VERSION} ({agent_version})",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": told, "schemas": dict(sorted(parts.items()))},
    }


def _name(kind: type[Message]) -> str:
    """What the message calls itself, `state` of `edgepose.state/1`."""
    return str(kind.model_fields["schema_"].default).removeprefix("edgepose.").partition("/")[0]


def _of(kind: type[BaseModel], *, closed: bool = False) -> Any:  # noqa: ANN401 - JSON
    made = _explained(kind.model_json_schema())
    return made if closed else _open(made)


def _message(kind: type[Message], name: str, meaning: str, parts: dict[str, Any]) -> dict[str, Any]:
    made = _shared(kind, parts, closed=False)
    return {"name": name, "title": meaning, "contentType": "application/json", "payload": made}


def _command(name: str, args: type[BaseModel], parts: dict[str, Any]) -> dict[str, Any]:
    body = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "description": "A repeated one is answered with the stored reply"},
            "reply_to": {"type": "string", "description": "Where the answer goes"},
            "expires_at": {"type": "string", "format": "date-time", "description": "Afterwards it is refused"},
            "if_version": {"type": "integer", "description": "Refused unless the state has this version"},
            "args": _shared(args, parts, closed=True),
        },
    }
    title = (inspect.getdoc(args) or name).partition("\n\n")[0]
    return {"name": name, "title": title, "contentType": "application/json", "payload": body}


def _shared(kind: type[BaseModel], parts: dict[str, Any], *, closed: bool) -> dict[str, Any]:
    """The schema whose parts stand among those all share; a command takes no other keys, in its parts neither."""
    tail = "Taken" if closed else ""
    made = _explained(kind.model_json_schema(ref_template=f"#/components/schemas/{{model}}{tail}"))
    made = made if closed else _open(made)
    for name, part in made.pop("$defs", {}).items():
        parts[f"{name}{tail}"] = part
    parts[f"{kind.__name__}{tail}"] = made
    return {"$ref": f"#/components/schemas/{kind.__name__}{tail}"}


def _channel(leaf: str, message: str, meaning: str) -> dict[str, Any]:
    found = {
        "address": f"{DEFAULT_PREFIX}/{leaf}",
        "title": meaning,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }
    names = re.findall(r"\{(\w+)\}", leaf)
    return found | {"parameters": {name: {"description": PARAMETERS[name]} for name in names}}


def _operation(
    action: str, channel: str, meaning: str, *, qos: int, retain: bool, message: str | None = None
) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "title": meaning,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message or channel}"}],
        "bindings": {"mqtt": {"qos": qos, "retain": retain, "bindingVersion": "0.2.0"}},
    }


def _open(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Return it without "no other keys", which the agent holds itself to and readers must not hold it to."""
    match schema:
        case dict():
            return {
                key: _open(value) for key, value in schema.items() if (key, value) != ("additionalProperties", False)
            }
        case list():
            return [_open(each) for each in schema]
        case _:
            return schema


def _explained(schema: dict[str, Any]) -> dict[str, Any]:
    """Add to each field what stands below it in the source, and its unit."""
    for part in (schema, *schema.get("$defs", {}).values()):
        told = _docstrings().get(part.get("title", ""), {})
        for name, field in part.get("properties", {}).items():
            if name in told:
                field.setdefault("description", told[name])
            if unit := next((unit for pattern, unit in UNITS if re.search(pattern, name)), None):
                field["x-unit"] = unit
    return schema


@cache
def _docstrings() -> dict[str, dict[str, str]]:
    """Of every model of the wire, what is written below its fields."""
    found: dict[str, dict[str, str]] = {}
    for module in sorted({kind.__module__ for kind in _parts(Part)}):
        for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
            if isinstance(node, ast.ClassDef):
                found[node.name] = dict(_below(node))
    return found


def _parts(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in kind.__subclasses__():
        yield each
        yield from _parts(each)


def _below(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, after in zip(node.body, node.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
