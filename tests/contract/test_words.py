"""What is wrong is told in words: nobody is shown a regular expression, or how pydantic puts it."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from agent.config.faults import all_keys, dotted, faults_of
from agent.config.tree import Config
from agent.errors import ModelError
from agent.wire.codec import EXAMPLES, Refused, decode
from agent.wire.commands import ARGS, Incoming
from agent.wire.topics import Topics
from agent.wire.trust import _Envelope
from agent.wire.wording import in_words, many
from agent.wire.zones import Zones
from controller.client.request import Order
from controller.errors import UsageError
from models.shelf import catalogue
from models.shelf.catalogue import ClipCard, NetworkCard

RAW = re.compile(
    r"match pattern|\^\[|\]\{|Input should|Value error|String should|List should|Tuple should|Dictionary should"
    r"|should be a valid|type=|pydantic|has another form"
)
WRONG: tuple[Any, ...] = (
    "http://example.org/?a=b c~",
    "",
    "x" * 5000,
    -1e18,
    1e18,
    0.123456,
    True,
    None,
    [],
    ["http://example.org/?~ "],
    [[1]],
    {},
    {"http://example.org/?~ ": 1},
    {"hall": {"polygon": [[5, 5]]}},
    {"camera.fps_max": "/dev/video0 x"},
)


def wrong_at(value: Any) -> Iterator[Any]:
    """The value with something wrong in one of its places after the other."""
    yield from WRONG
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: wrong} for wrong in wrong_at(inner))
    if isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ([*value[:place], wrong, *value[place + 1 :]] for wrong in wrong_at(inner))


def args_of(name: str) -> Iterator[dict[str, Any]]:
    """Arguments with one wrong thing, in every field of a command and in every place of its example."""
    example = json.loads(EXAMPLES[name])["args"]
    for key in ARGS[name].model_fields:
        for wrong in WRONG:
            yield {**example, key: wrong}
    yield from (each for each in wrong_at(example) if isinstance(each, dict))


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_refused_command_is_told_in_words(name: str) -> None:
    """Whatever is wrong with whichever argument, box and controller say in words what is expected."""
    told, now = [], datetime.now(UTC)
    for args in args_of(name):
        topics = Topics("edgepose", "hall")
        payload = json.dumps({"args": args}).encode()
        try:
            decode(Incoming(topics.command(name), payload, retained=False, received_at=now), topics)
        except Refused as refused:
            told.append(refused.error.message)
        try:
            Order(name, args, 1.0)
        except UsageError as error:
            told.append(str(error))
    assert len(told) > len(WRONG) / 2
    assert not list(filter(RAW.search, told))


@pytest.mark.parametrize("kind", [*dict.fromkeys(ARGS.values()), _Envelope, NetworkCard, ClipCard])
def test_a_regular_expression_has_its_words(kind: type[BaseModel]) -> None:
    """Every text that is held to a regular expression tells in words what is expected in its place."""
    root = kind.model_json_schema()

    def unworded(schema: Any, place: str, *, worded: bool) -> Iterator[str]:
        if isinstance(schema, list):
            for number, inner in enumerate(schema):
                yield from unworded(inner, f"{place}.{number}", worded=worded)
        elif isinstance(schema, dict):
            worded = worded or " " in schema.get("description", "")
            if "pattern" in schema and isinstance(schema["pattern"], str) and not worded:
                yield place
            for key, inner in schema.items():
                below = inner if isinstance(inner, dict | list) else None
                yield from unworded(below, f"{place}.{key}", worded=worded and key not in {"properties", "$defs"})

    assert not list(unworded(root, kind.__name__, worded=False))


@pytest.mark.parametrize("key", sorted(all_keys()), ids=dotted)
def test_a_wrong_value_of_the_configuration_is_told_in_words(key: tuple[str, ...]) -> None:
    """Whatever stands at a key of the configuration that does not belong there, its fault is told in words."""
    for wrong in WRONG:
        tables: Any = wrong
        for step in reversed(key):
            tables = {step: tables}
        try:
            Config.model_validate(tables)
        except ValidationError as error:
            for fault in faults_of(error, {}):
                assert not RAW.search(fault.text), fault


def test_a_wrong_card_is_told_in_words() -> None:
    """A card of a network of one's own that says what cannot be is refused in words, at every key."""
    told = []
    for card in (catalogue.card("movenet-multipose"), catalogue.card("vtest")):
        for wrong in wrong_at(card.model_dump(mode="json", exclude_none=True)):
            try:
                type(card).model_validate(wrong)
            except ValidationError as error:
                told.append(in_words(error))
    assert len(told) > 100
    assert not list(filter(RAW.search, told))
    with pytest.raises(ModelError, match=r"own\.toml: network\.name: should be a name of 1 to 63 lower-case letters"):
        catalogue.parse('kind = "network"\nname = "No Name"', "own.toml")


def test_what_is_expected_stands_beside_its_place() -> None:
    """A name that is wrong is told with the table it stands in; what is empty, or below its bound, in plain words."""
    told = []
    wrong: tuple[dict[str, Any], ...] = ({"H a": {}}, {"hall": {"polygon": []}})
    for zones in (*wrong, {"hall": {"polygon": [[0, 0], [0, 2], [1, 1]]}}):
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(Zones).validate_python(zones)
        told.append(in_words(caught.value, "zones"))
    assert told == [
        "zones: the name 'H a' should be 1 to 31 lower-case letters, digits, dashes and underscores, starting with a "
        "letter or digit",
        "hall.polygon: should have at least 3 entries",
        "hall.polygon.1.1: should be at most 1",
    ]


def test_a_wrong_zone_of_the_configuration_is_told_once() -> None:
    """A zone's wrong name, a corner outside of the picture, a path no disk takes: each is one fault, no traceback."""
    good = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.7]]
    zones = {"Big Hall": {"polygon": good}, "x": {"polygon": [*good[:2], [0.5, 1.7]]}}
    told = {"device_id": "hall", "zones": zones, "output": {"video_file": f"{'x' * 5000}.mp4"}}
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(told)
    faults = [(fault.key, fault.text) for fault in faults_of(caught.value, {})]
    (video,) = (text for key, text in faults if key == "output.video_file")
    assert video.endswith("File name too long")
    assert [each for each in faults if each[0].startswith("zones")] == [
        (
            "zones",
            "the name 'Big Hall' should be 1 to 31 lower-case letters, digits, dashes and underscores, starting with a "
            "letter or digit",
        ),
        ("zones.x.polygon.2.1", "got 1.7, should be at most 1"),
    ]


@pytest.mark.parametrize(
    ("count", "words", "said"),
    [
        (0, ("frame",), "0 frames"),
        (1, ("frame",), "1 frame"),
        (2, ("frame",), "2 frames"),
        (1, ("box", "boxes"), "1 box"),
        (21, ("box", "boxes"), "21 boxes"),
    ],
)
def test_one_is_not_many(count: int, words: tuple[str, ...], said: str) -> None:
    """One box, two boxes; none are many."""
    assert many(count, *words) == said
