"""Where the agent stands with its commands, and the kinds of what can happen to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from agent.control import journal
from agent.control.events import Work
from agent.control.journal import Record
from agent.control.settings import Settings
from agent.wire.commands import Command

WAITING_MAX = 8
"""Commands that wait for the one before them; the next is told `busy`."""
REPLIES_MAX = 256
"""Replies kept in memory, so that a repeated id does nothing twice."""
REPLIES_BYTES = 4 << 20
"""At most so much of them: a reply may hold a picture."""


class Phase(StrEnum):
    """What the one pair of hands is busy with."""

    STARTING = "starting"
    """The first engine is being built."""
    READY = "ready"
    SWITCHING = "switching"
    """A second engine is being built beside the one in use."""
    MEASURING = "measuring"
    """The new engine has the frames; how fast it is shows in a moment."""
    PLANNING = "planning"
    WORKING = "working"
    """A job runs."""
    STOPPING = "stopping"


class Kind(StrEnum):
    """What an event comes to, given the state it meets."""

    REPEAT = "repeated id"
    IN_HAND = "id in hand"
    REFUSE = "refused"
    ASK = "question"
    INFORMED = "informed"
    CHANGE = "change"
    PLAN = "plan"
    JOB = "job"
    TOGGLE = "pause, resume, set-zones, set, unset, restart"
    CANCEL_WORK = "cancel what runs"
    CANCEL_WAITING = "cancel what waits"
    STARTED = "started"
    STARTED_AMID = "started amid a job"
    BUILT = "built"
    DONE = "done"
    DONE_APPLY = "done, apply"
    FAILED = "failed"
    OVERDUE = "overdue"
    LATE_NEWS = "news of what was given up"
    STRAY_ENDED = "stray ended"
    BROKEN = "engine broken"
    SIZE_FOUND = "size found"
    SIZE_STAYS = "size stays"
    RESHAPED = "picture of another shape"
    SETTLED = "settled"
    TIDIED = "tidied"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Stray:
    """Work that was given up and still runs."""

    what: str
    """The command it was for, and the device it compiles for."""
    given_up_at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """Everything a decision depends on."""

    record: Record
    """What survives a restart."""
    running: Settings
    """What the engine in use was built from; paused or not is the record's to say."""
    phase: Phase = Phase.STARTING
    work: Work | None = None
    waiting: tuple[Command, ...] = ()
    strays: Mapping[int, Stray] = field(default_factory=lambda: MappingProxyType({}))
    """The compilations that were given up and still run, by number: a thread cannot be interrupted."""
    works: int = 0
    """Number of the last work."""
    replies: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """The last replies by the id of their command."""

    def answered(self, command_id: str) -> bytes | None:
        """The reply this command has had; of what changed something also where many others came since."""
        stored = journal.reply_to(self.record, command_id)
        return self.replies.get(command_id) or (stored.encode() if stored is not None else None)
