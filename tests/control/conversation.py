"""Conversations with the state machine as text, so that a test reads as what happened and what was done about it.

A line with ``>`` is an event; indented below it stand the effects in their order, and last the phase where it changed::

    > set-device a SIMCPU
        save v0 CPU attempt=a
        begin 1 SIMCPU
        note switch.started
        switching

:func:`replay` plays the events alone and returns the text as it should have been.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from agent.control import events, journal
from agent.control.asking import Box
from agent.control.events import Effect, Event
from agent.control.fits import Fit, Place
from agent.control.journal import Record
from agent.control.machine import step
from agent.control.settings import Settings
from agent.control.state import State
from agent.wire.commands import ARGS, Address, Command, CommandError, ErrorCode, Reply, ReplyStatus
from agent.wire.messages import Fitted

NOW: Final = datetime(2026, 1, 31, 6, 30, tzinfo=UTC)
BASE: Final = Settings(model="movenet-multipose", device="CPU", precision="FP32")
BOX: Final = Box("hall", ("CPU", "SIMCPU"), {"movenet-multipose": ("FP32", "FP16"), "other": ("FP32",)})
HERE: Final = Address("edgepose/hall/reply/test")
PLACE: Final = Place(
    model=BASE.model, device="CPU", precision="FP32", hint="latency", width=768, height=576, age_ms_max=150.0
)
FIGURES: Final = Fitted(device="CPU", precision="FP32", age_ms_max=150.0, camera_fps=10.0, fps=25.0, age_ms_p95=80.0)
FIT: Final = Fit(place=PLACE, long_side=512, camera_fps=10.0, measured=FIGURES)
NO_FIT: Final = Fit(place=PLACE, long_side=None, camera_fps=10.0)
VALUE_OF: Final = {
    "set-device": "device",
    "set-precision": "precision",
    "set-model": "model",
    "set-hint": "hint",
    "set-affinity": "preset",
    "plan-affinity": "preset",
    "cancel": "id",
}
"""The argument a line gives."""
ERROR: Final = CommandError(ErrorCode.TRIAL_FAILED, "it does not work", "try another")


def first_state(**record: Any) -> State:
    """An agent that starts."""
    first = Record(version=0, base=BASE, settings=BASE).model_copy(update=record)
    return State(first, journal.running(first), replies=MappingProxyType({}))


def command(name: str, command_id: str, value: str | None = None, **fields: Any) -> Command:
    """A command with its one argument."""
    args = ARGS[name].model_validate({VALUE_OF[name]: value} if value is not None else {})
    return Command(name, command_id, args, HERE, **fields)


def replay(conversation: str, state: State | None = None, box: Box = BOX) -> tuple[str, State]:
    """Play the events of a conversation; returns it with what was done in truth, and the last state."""
    state, now, told = state or first_state(), NOW, []
    for line in conversation.splitlines():
        if not line.startswith(">"):
            continue
        words = line[1:].split()
        if words[0] == "later":
            now += timedelta(hours=float(words[1]))
            told.append(line)
            continue
        after, effects = step(state, _event(state, words, now), box, now)
        phase = [after.phase.value] if after.phase is not state.phase else []
        told += [line, *(f"    {text}" for text in [*map(_told, effects), *phase])]
        state = after
    return "\n".join(told) + "\n", state


def _event(state: State, words: list[str], now: datetime) -> Event:
    name, *rest = words
    if name in ARGS:
        return events.Asked(_asked(name, rest, now))
    current = state.work.number if state.work else 0
    number = int(rest[0]) if rest and rest[0].isdigit() else current
    fallen = journal.fall_back(state.record) if name == "started" and rest else None
    made: dict[str, Callable[[], Event]] = {
        "started": lambda: events.Started(fallen or state.record, " ".join(rest) or None),
        "informed": lambda: events.Informed(_asked("describe", rest, now), {}),
        "built": lambda: events.Built(number),
        "done": lambda: events.Done(number, {"fps": 30}),
        "failed": lambda: events.Failed(number, ReplyStatus.FAILED, ERROR),
        "overdue": lambda: events.Overdue(number, CommandError(ErrorCode.COMPILE_FAILED, "it takes too long")),
        "stray-ended": lambda: events.StrayEnded(number),
        "size-found": lambda: events.SizeFound(BASE, FIT, 256, switch=True),
        "size-stays": lambda: events.SizeFound(BASE, FIT, 512, switch=False),
        "no-size": lambda: events.SizeFound(BASE, NO_FIT, 256, switch=False),
        "reshaped": lambda: events.Reshaped((768, 576), (256, 192), (256, 256)),
        "broken": lambda: events.Broken("the device is gone"),
        "settled": events.Settled,
        "tidied": events.Tidied,
        "stop": events.Stopped,
    }
    return made[name]()


def _asked(name: str, rest: list[str], now: datetime) -> Command:
    given = dict(word.split("=") for word in rest[1:] if "=" in word)
    values = [word for word in rest[1:] if "=" not in word]
    asked = command(name, rest[0], *values)
    if "if" in given:
        asked = replace(asked, if_version=int(given["if"]))
    if "expires" in given:
        asked = replace(asked, expires_at=now + timedelta(hours=float(given["expires"])))
    return asked


def _told(effect: Effect) -> str:  # noqa: C901, PLR0911, PLR0912 - a line for each effect
    match effect:
        case events.Save(record):
            return f"save v{record.version} {_record(record)}"
        case events.Send(address, payload):
            assert address == HERE
            reply = Reply.decode(payload)
            why = f" {reply.error.code.value}" if reply.error else ""
            return f"reply {reply.id} {reply.status.value}{why} v{reply.state_version}"
        case events.Inform(asked):
            return f"inform {asked.id}"
        case events.Begin(work):
            return f"begin {work.number} {work.job.rpartition('-')[0] if work.job else settings(work.settings)}"
        case events.Swap(work):
            return f"swap {work.number}"
        case events.SwapBack(work):
            return f"swap back {work.number}"
        case events.Abandon(number):
            return f"abandon {number}"
        case events.Look(zones):
            return f"zones {', '.join(zones) or None}"
        case events.Configure(values):
            return f"configure {', '.join(values)}"
        case events.Restart():
            return "restart"
        case events.Remember(fit):
            return f"remember {fit.long_side}"
        case events.Flow(paused):
            return f"flow {'off' if paused else 'on'}"
        case events.Note(code):
            return f"note {code}"
        case events.Publish(job):
            return f"publish {job.status.value} {job.progress:g}"
        case events.Clear(_job):
            return "clear job"
        case events.End(reason):
            return f"end: {reason}"


def _record(record: Record) -> str:
    parts = [
        settings(record.settings),
        f"attempt={record.attempt.id}" if record.attempt else "",
        f"replies={','.join(reply.id for reply in record.replies)}" if record.replies else "",
        f"good={settings(record.good)}" if record.good else "",
        "fallback" if record.fallback else "",
        "cancelling" if record.cancelling else "",
        "" if record.alive else "ended",
    ]
    return " ".join(part for part in parts if part)


def settings(value: Settings) -> str:
    """The device, and what else differs from the configuration."""
    preset = value.affinity.preset if value.affinity else None
    others = [value.precision, value.model, value.hint, preset, "paused" if value.paused else None]
    usual = [BASE.precision, BASE.model, BASE.hint, None, None]
    return "+".join(
        [value.device, *(other for other, was in zip(others, usual, strict=True) if other and other != was)]
    )
