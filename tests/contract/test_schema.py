"""The contract for machines: shipped as files, complete, and of the wire's own topics."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import __version__
from agent.commands.schema import files
from agent.wire.commands import ARGS, Job, Reply
from agent.wire.messages import Keypoints, Metrics
from agent.wire.schema import asyncapi, schemas
from agent.wire.topics import Topics, group_command

SHIPPED = Path(__file__).parents[2] / "configs" / "contract"
DOCUMENT = asyncapi(__version__)


def references(node: Any) -> Iterator[str]:
    match node:
        case {"$ref": str(target)}:
            yield target
        case dict():
            for value in node.values():
                yield from references(value)
        case list():
            for value in node:
                yield from references(value)


def resolved(document: Any, reference: str) -> Any:
    found = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_the_shipped_files_are_those_of_the_models() -> None:
    """`agent schema --out configs/contract` would change nothing: what is shipped is what the agent speaks."""
    there = {str(path.relative_to(SHIPPED)): path.read_text(encoding="utf-8") for path in SHIPPED.rglob("*.json")}
    made = files()
    assert there.keys() == made.keys(), "agent schema --out configs/contract"
    old = [name for name in made if made[name] != there[name]]
    assert old == [], "agent schema --out configs/contract"


def test_every_topic_is_a_channel() -> None:
    """What an agent publishes, and every command to a box and to a group; nothing else."""
    parameters = ("{device_id}", "{zone}", "{job}", "{client}", "{group}")
    given = {channel["address"] for channel in DOCUMENT["channels"].values() if channel["address"] is not None}
    here = Topics("device")
    named = {getattr(here, name) for name, value in vars(Topics).items() if isinstance(value, property)}
    named |= {here.zone("{zone}"), here.job("{job}"), here.reply("{client}"), *(here.command(name) for name in ARGS)}
    named = {topic.replace("/device/", "/{device_id}/") for topic in named}
    named |= {group_command("group", name).replace("/group/", "/{group}/") for name in ARGS}
    assert given == named
    assert set(DOCUMENT["channels"]["zone"]["parameters"]) <= {name.strip("{}") for name in parameters}


def test_every_reference_leads_somewhere() -> None:
    """In the document of topics and in each schema alone."""
    for reference in references(DOCUMENT):
        resolved(DOCUMENT, reference)
    for schema in schemas().values():
        for reference in references(schema):
            resolved(schema, reference)


def test_figures_have_units_and_fields_their_meaning() -> None:
    """Times, rates, memory and temperature of a summary name their unit; what the source explains, the schema does."""
    fields = schemas()["metrics"]["properties"]
    assert fields["latency_ms_p95"]["x-unit"] == "ms"
    assert fields["fps_mean"]["x-unit"] == "1/s"
    assert (fields["rss_mb"]["x-unit"], fields["temperature_c"]["x-unit"]) == ("MiB", "°C")
    numbers = {name for name in Metrics.model_fields if name.partition("_")[0] in {"fps", "latency", "age", "stage"}}
    assert {name for name in numbers if "x-unit" not in fields[name]} == set()
    assert "drawing joins" in schemas()["info"]["properties"]["bones"]["description"]
    assert "x-unit" not in fields["device"]


@pytest.mark.parametrize(("name", "kind"), [("keypoints", Keypoints), ("job", Job), ("reply", Reply)])
def test_a_reader_may_meet_more_and_a_command_may_not_carry_more(name: str, kind: Any) -> None:
    """Messages are open to keys of later agents; commands, in the document too, are closed."""
    assert "additionalProperties" not in DOCUMENT["components"]["schemas"][kind.__name__], name
    assert DOCUMENT["components"]["schemas"]["SetZonesTaken"]["additionalProperties"] is False
    assert DOCUMENT["components"]["messages"]["command_pause"]["payload"]["additionalProperties"] is False


def test_what_goes_how_is_told() -> None:
    """Retained and QoS as the link publishes: keypoints once and not kept, state kept."""
    told = {name: each["bindings"]["mqtt"] for name, each in DOCUMENT["operations"].items()}
    assert (told["send_keypoints"]["qos"], told["send_keypoints"]["retain"]) == (0, False)
    assert (told["send_state"]["qos"], told["send_state"]["retain"]) == (1, True)
    assert not any(each["retain"] for name, each in told.items() if name.startswith("receive"))
