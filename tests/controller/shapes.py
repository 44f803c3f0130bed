"""What `controller --json` prints of its own, as models: docs/controller.schema.json is made of them.

`python -m tests.controller.test_report` writes it anew. Messages of the wire have schemas of their own: `agent schema`.
"""

import json
from typing import Any, Final, Literal

from pydantic import Field, TypeAdapter

from agent.wire.commands import Job, Reply
from agent.wire.messages import Info, Metrics, State
from agent.wire.part import Part
from agent.wire.study import Study
from tests.system.process import ROOT

FILE: Final = ROOT / "docs" / "controller.schema.json"


class Fault(Part):
    """What was wrong."""

    exit_code: int
    """What the program ends with."""
    message: str
    hint: str
    """The cure; empty where there is none."""


class Error(Part):
    """On standard error, where nothing could be done."""

    schema_: Literal["edgepose.error/1"] = Field(alias="schema")
    error: Fault


class Availability(Part):
    """A line of `watch`: whether a box is there."""

    schema_: Literal["edgepose.availability/1"] = Field(alias="schema")
    device_id: str
    availability: str


class Status(Part):
    """Of `status`: what a box runs and how fast; a message it has not sent is null."""

    schema_: Literal["edgepose.status/1"] = Field(alias="schema")
    device_id: str
    availability: str | None
    state: State | None
    metrics: Metrics | None


class Description(Part):
    """Of `describe`: what a box is and can do."""

    schema_: Literal["edgepose.status/1"] = Field(alias="schema")
    device_id: str
    availability: str | None
    info: Info | None


class Recorded(Part):
    """Of `record`: what was written."""

    schema_: Literal["edgepose.recording/1"] = Field(alias="schema")
    device_id: str
    frames: int
    persons: int
    missing: int
    """Frames that the box dropped, or the network."""
    gaps: int
    restarts: int
    """How often the numbers of the frames started over."""


class Forgotten(Part):
    """Of `forget`: what was cleared."""

    schema_: Literal["edgepose.forgotten/1"] = Field(alias="schema")
    device_id: str
    cleared: tuple[str, ...]
    """Topics."""


class Silence(Part):
    """Why there is no reply."""

    code: Literal["no_answer", "offline"]
    message: str
    hint: str


class NoReply(Part):
    """In the keys of a reply: a command whose reply is not waited for, or does not come."""

    schema_: Literal["edgepose.reply/1"] = Field(alias="schema")
    device_id: str
    id: str
    command: str
    status: Literal["sent", "no_answer", "offline"]
    error: Silence | None
    result: None
    state_version: None


class Started(Reply):
    """Of `quantize`, and of `benchmark` and `sweep` without a study: the reply, and the job as far as it was seen."""

    job: Job | None


class NotStarted(NoReply):
    """The same where there is no reply."""

    job: None


class Listed(Part):
    """A box in `list`; of one that is not online, what it last did is not told."""

    device_id: str
    availability: str | None
    status: str | None
    model: str | None
    device: str | None
    precision: str | None
    fps: float | None
    latency_ms_p50: float | None
    persons: float | None
    last_seen: str | None
    agent_version: str | None


class RolledOut(Part):
    """A box at the end of a roll-out."""

    device_id: str
    verdict: Literal["waiting", "asked", "soaking", "good", "failed", "slow", "broken", "vanished"]
    undo: Literal["", "done", "failed"]
    """Whether the change was taken back; empty where that was not tried."""
    reason: str
    status_before: str | None
    fps_before: float | None
    fps_after: float | None
    replied_at: str | None
    runs: Literal["new", "old", "unknown"]
    """What it is left with."""


class RolloutEnd(Part):
    """The last line of `rollout`: how it ended. The lines before it, `edgepose.rollout-event/1`, tell each step."""

    schema_: Literal["edgepose.rollout/1"] = Field(alias="schema")
    id: str
    phase: Literal["stopped", "done"]
    boxes: tuple[RolledOut, ...]


class Devices(Part):
    """What several boxes gave, each as one alone gives it."""

    schema_: Literal["edgepose.devices/1"] = Field(alias="schema")
    devices: tuple[
        Listed | Status | Description | Forgotten | Study | Started | NotStarted | Reply | NoReply,
        ...,
    ]


Shape = (
    Error
    | Devices
    | RolloutEnd
    | Status
    | Description
    | Availability
    | Recorded
    | Forgotten
    | Started
    | NotStarted
    | Reply
    | NoReply
)
SHAPE: Final[TypeAdapter[Shape]] = TypeAdapter(Shape)


def schema() -> dict[str, Any]:
    """Every shape, each below `$defs` under its name."""
    found = SHAPE.json_schema(by_alias=True)
    title = {"title": "What `controller --json` prints"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | title | found


def write() -> None:
    """Write the file anew."""
    FILE.write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
