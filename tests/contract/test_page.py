"""The page of the wire is true of commands and replies."""

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.wire.codec import decode
from agent.wire.commands import ARGS, ErrorCode, Incoming, Reply, ReplyStatus, SwitchResult
from agent.wire.messages import Info
from agent.wire.topics import Topics
from agent.wire.trust import _Envelope

PAGE = (Path(__file__).parents[2] / "docs/wire.md").read_text(encoding="utf-8")
COMMANDS = [
    dict(zip(words[::2], words[1::2], strict=True))
    for line in re.findall(r"^\$ mosquitto_(?:pub|rr) (.*?)(?: -n)?$", PAGE, re.MULTILINE)
    for words in [shlex.split(line)]
]
EXAMPLES = {
    example["schema"]: example for example in map(json.loads, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
}


def names(heading: str) -> set[str]:
    """What stands in backticks in the first column of a table."""
    table = PAGE[PAGE.index(heading) :].partition("\n\n")[0]
    cells = re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([a-z_-]+)`", cell)}


@pytest.mark.parametrize("options", COMMANDS, ids=lambda options: str(options["-t"]))
def test_every_line_is_a_command(options: dict[str, str]) -> None:
    """What the page has mosquitto's tools send is a command to the box, and answered where they listen."""
    incoming = Incoming(options["-t"], options.get("-m", "").encode(), False, datetime.now(UTC), options.get("-e"))
    command = decode(incoming, Topics("hall"), ["gym"])
    assert command.reply_to.topic.replace("hall/reply/anonymous", "+/reply/anonymous") in PAGE


def test_the_tables_are_complete() -> None:
    """Every command, every status of a reply and every error code is explained, and no other."""
    assert len(COMMANDS) == 5
    assert names("| command | `args` |") == set(ARGS)
    assert names("| code | |") == set(ErrorCode)
    assert names("| key | what |") == set(_Envelope.model_fields)
    assert names("| key | MQTT 5") == {"id", "reply_to", "expires_at", "if_version", "args"}
    assert set(ReplyStatus) <= set(re.findall(r"`([a-z_]+)`", PAGE[PAGE.index("`status` is\n") :]))


def test_the_example_of_a_switch_is_one() -> None:
    """The reply shown is that of a switch, with every figure and no other; the birth message names every command."""
    shown = EXAMPLES["edgepose.reply/1"]
    assert Reply.decode(json.dumps(shown).encode()).status == ReplyStatus.SUCCEEDED
    result = SwitchResult.model_validate_json(json.dumps(shown["result"]))
    assert json.loads(result.model_dump_json()) == shown["result"]
    assert set(Info.decode(json.dumps(EXAMPLES["edgepose.info/1"]).encode()).commands) == set(ARGS)
