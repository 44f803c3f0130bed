"""What the arguments of commands can name: no file, no folder, no address."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.benchmark.rows import recipes
from agent.control import events
from agent.control.events import Begin, Effect, Save, Send
from agent.control.machine import step
from agent.control.settings import Settings
from agent.control.state import Phase
from agent.wire.codec import Refused, decode
from agent.wire.commands import (
    ARGS,
    Address,
    Command,
    ErrorCode,
    Fetch,
    Incoming,
    Measuring,
    Quantize,
    Reply,
    Sweep,
    Tune,
)
from agent.wire.devices import DeviceString
from agent.wire.topics import Topics
from agent.wire.trust import Terms, matches
from models.shelf import catalogue
from tests.control.conversation import BOX, NOW, first_state

NAMES = {
    "/etc/passwd",
    "../secret",
    "models/other",
    "file:///etc/passwd",
    "http://thief.example/x",
    "//thief.example/x",
    "C:\\x",
    "~/x",
    "\\\\thief\\x",
}
"""Files and addresses, as far as the name of a thing may not look."""

FREE = {
    "set-device.device": "a device string: its grammar knows no / and no colon but that of a mode",
    "set-device.detector": "the same",
    "benchmark.device": "the same",
    "sweep.devices[]": "the same",
    "sweep.detectors[]": "the same",
    "tune.devices[]": "the same",
    "set-affinity.default": "the name of a device, compared with those of the box",
    "set-affinity.rules[].device": "the same",
    "set-affinity.rules[].match.type": "compared with the types of the network's operations",
    "set-affinity.rules[].match.name": "a glob over the names of the network's operations",
    "plan-affinity.default": "as set-affinity",
    "plan-affinity.rules[].device": "as set-affinity",
    "plan-affinity.rules[].match.type": "as set-affinity",
    "plan-affinity.rules[].match.name": "as set-affinity",
    "cancel.id": "compared with the ids of jobs and commands",
}
"""Every text of every command that is not one of a fixed choice and has no pattern, and why it names no file."""
CHANGES = {
    "set-device": {"device": "CPU", "detector": "{}"},
    "set-model": {"model": "{}"},
    "quantize": {"model": "{}"},
    "fetch": {"name": "{}"},
    "benchmark": {"device": "{}"},
    "sweep": {"devices": ["{}"]},
    "tune": {"devices": ["{}"], "models": ["{}"]},
    "set-affinity": {"rules": [{"match": {"type": "Convolution"}, "device": "{}"}], "default": "CPU"},
    "plan-affinity": {"rules": [{"match": {"type": "Convolution"}, "device": "{}"}], "default": "CPU"},
    "cancel": {"id": "{}"},
}


def texts(schema: dict[str, Any], root: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every text below a schema, with its place."""
    if "$ref" in schema:
        yield from texts(root["$defs"][schema["$ref"].rpartition("/")[2]], root, place)
    for option in schema.get("anyOf", ()):
        yield from texts(option, root, place)
    for name, inner in schema.get("properties", {}).items():
        yield from texts(inner, root, f"{place}.{name}")
    if "items" in schema:
        yield from texts(schema["items"], root, f"{place}[]")
    additional = schema.get("additionalProperties")
    assert additional in {None, False} or not schema.get("properties"), f"{place} takes unknown keys"
    if schema.get("type") == "string":
        yield place, schema


@pytest.mark.parametrize("name", ARGS)
def test_a_text_is_a_choice_or_bounded_or_known(name: str) -> None:
    """Each text of a command is a fixed choice, or has a pattern no file or address fits, or is on the list above."""
    schema = ARGS[name].model_json_schema()
    for place, text in texts(schema, schema, name):
        assert text.get("format") is None, f"{place} is a path or an address"
        if "enum" in text or "const" in text or place in FREE:
            continue
        assert "pattern" in text, f"{place} takes any text: say in FREE why it names no file"
        assert not [given for given in NAMES if re.search(text["pattern"], given)], place


def test_the_list_is_not_longer_than_it_must_be() -> None:
    """No place on the list is gone or bounded by now."""
    found = {
        place
        for name, kind in ARGS.items()
        for place, text in texts(kind.model_json_schema(), kind.model_json_schema(), name)
        if not {"enum", "const", "pattern"} & set(text)
    }
    assert found == set(FREE)


def filled(value: Any, text: str) -> Any:
    """Put a text where the braces are."""
    match value:
        case dict():
            return {key: filled(inner, text) for key, inner in value.items()}
        case list():
            return [filled(inner, text) for inner in value]
    return text if value == "{}" else value


@pytest.mark.parametrize("given", sorted(NAMES))
@pytest.mark.parametrize("name", CHANGES)
def test_files_and_addresses_are_refused(name: str, given: str) -> None:
    """A file or an address where a command takes a name is refused, by its form or because nothing is called so."""
    try:
        args = ARGS[name].model_validate_json(json.dumps(filled(CHANGES[name], given)), strict=True)
    except ValueError:
        return
    ready = replace(first_state(), phase=Phase.READY)
    command = Command(name, "order-9", args, Address("edgepose/hall/reply/me"))
    _state, effects = step(ready, events.Asked(command), BOX, NOW)
    (sent,) = effects
    assert isinstance(sent, Send)
    error = Reply.decode(sent.payload).error
    assert error is not None
    assert error.code in {ErrorCode.UNKNOWN_DEVICE, ErrorCode.INVALID_AFFINITY, ErrorCode.NOT_FOUND}
    assert not any(isinstance(effect, Save) for effect in effects)


TOPICS = Topics(BOX.device_id)
LISTED = "home/+/replies"
READY = replace(first_state(), phase=Phase.READY)
MATCHES = ({"type": "{}"}, {"name": "{}"})
PLACES = [
    *CHANGES.items(),
    ("benchmark", {"clip": "{}"}),
    ("sweep", {"clip": "{}", "devices": ["CPU", "{}"]}),
    ("tune", {"clip": "{}", "devices": ["CPU", "{}"], "models": ["{}"], "reference": "{}"}),
    *(
        (name, {"rules": [{"match": match, "device": "CPU"}, {"match": match, "device": "SIMCPU"}], "default": "{}"})
        for name in ("set-affinity", "plan-affinity")
        for match in MATCHES
    ),
]
"""Every place of every command where a text of somebody's own can stand, some of them together."""
PIECES = ["/", "\\", "..", ".", ":", "//", "~", "file:", "http://", "%2e", "\uff0f", "\0", "\n", " ", ",", "(", "*"]
GOOD = ["vtest", "movenet-multipose", "CPU", "GPU.1", "HETERO:SIMCPU,CPU", "edgepose", "home", "hall", "reply"]
TEXTS = st.one_of(
    st.sampled_from(sorted(NAMES)),
    st.lists(st.sampled_from(PIECES + GOOD), min_size=1, max_size=7).map("".join),
    st.text(max_size=20),
)


@settings(max_examples=1000, deadline=None)
@given(place=st.sampled_from(PLACES), text=TEXTS, topic=st.none() | TEXTS)
def test_what_is_begun_names_what_the_box_has(place: tuple[str, Any], text: str, topic: str | None) -> None:
    """Whatever stands in a command: networks and devices are those of the box, a clip is a name, replies stay home."""
    name, template = place
    payload = json.dumps({"id": "order-9", "args": filled(template, text)}).encode()
    incoming = Incoming(TOPICS.command(name), payload, retained=False, received_at=NOW, response_topic=topic)
    came: Command | Refused
    try:
        came = decode(incoming, TOPICS, (), Terms(reply_topics=(LISTED,)))
    except Refused as refused:
        came = refused
    if isinstance(came, Refused):
        assert came.address is None or at_home(came.address)
        return
    assert at_home(came.reply_to)
    for effect in step(READY, events.Asked(came), BOX, NOW)[1]:
        check(effect)


def at_home(address: Address) -> bool:
    """Whether a reply goes to a reply topic of the box, or to one that its list has."""
    ours = address.topic == TOPICS.prefix or address.topic.startswith(f"{TOPICS.prefix}/")
    return TOPICS.client_of(address.topic) is not None if ours else matches(LISTED, address.topic)


def check(effect: Effect) -> None:
    match effect:
        case Save(record):
            known(record.settings)
        case Send(address):
            assert at_home(address)
        case Begin(work):
            known(work.settings)
            args = work.command.args if work.command else None
            if isinstance(args, Fetch):
                assert args.name in catalogue.cards()
            if isinstance(args, Measuring):
                assert re.fullmatch("[a-z0-9-]*", args.clip or "")
            if isinstance(args, Sweep):  # it tells of devices that the box has not, but they are devices
                devices = [DeviceString.parse(recipe.device) for recipe in recipes(args, work.settings.model)]
                assert all(re.fullmatch(r"[A-Z0-9_.]+", member) for device in devices for member in device.members)
            if isinstance(args, Tune):
                assert re.fullmatch("[a-z0-9-]*", args.clip or "")
                assert set(args.models or ()) | ({args.reference} if args.reference else set()) <= set(BOX.models)
                members = [DeviceString.parse(device).members for device in args.devices or ()]
                assert {name for each in members for name in each} <= set(BOX.devices)
            if isinstance(args, Quantize):
                assert args.model is None or args.model in BOX.models


def known(asked: Settings) -> None:
    assert asked.model in BOX.models
    assert set(DeviceString.parse(asked.device).members) <= set(BOX.devices)
    assert asked.affinity is None or set(asked.affinity.devices()) <= set(BOX.devices)
