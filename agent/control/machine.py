"""What a command does: one table, and effects as data.

``step(state, event, box, now) -> (state, effects)`` touches no clock, no thread and no socket. Effects are carried out
in their order: what must survive is saved before the reply that promises it goes out. An event the table does not
foresee raises :class:`IllegalEvent` and changes nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from agent.control import actions, jobs
from agent.control.asking import Box
from agent.control.classify import classify
from agent.control.events import Asked, Effect, Event
from agent.control.state import Kind, Phase, State
from agent.control.turn import Turn

Row = dict[Kind, tuple[Phase, Callable[[Turn], None]]]


class IllegalEvent(Exception):  # noqa: N818 - named as h11 names it: the program is wrong, not the world
    """The event cannot happen in this phase."""


def _always(phase: Phase) -> Row:
    """What is the same in every phase, and leaves it."""
    return {
        Kind.REPEAT: (phase, actions.answer_again),
        Kind.IN_HAND: (phase, actions.ignore),
        Kind.REFUSE: (phase, actions.refuse),
        Kind.ASK: (phase, actions.inform),
        Kind.INFORMED: (phase, actions.tell),
        Kind.CANCEL_WAITING: (phase, actions.cancel_waiting),
        Kind.LATE_NEWS: (phase, actions.ignore),
        Kind.STRAY_ENDED: (phase, actions.forget_stray),
        Kind.SETTLED: (phase, actions.settle),
        Kind.TIDIED: (phase, actions.tidy),
        Kind.STOP: (Phase.STOPPING, actions.stop),
    }


def _waits(phase: Phase) -> Row:
    """Where the next command waits until this one is done."""
    return _always(phase) | dict.fromkeys((Kind.CHANGE, Kind.PLAN, Kind.JOB, Kind.TOGGLE), (phase, actions.wait))


TABLE: Final[dict[Phase, Row]] = {
    Phase.STARTING: _waits(Phase.STARTING)
    | {
        Kind.STARTED: (Phase.READY, actions.start),
        Kind.STARTED_AMID: (Phase.WORKING, actions.start_amid),
    },
    Phase.READY: _always(Phase.READY)
    | {
        Kind.CHANGE: (Phase.SWITCHING, actions.begin),
        Kind.PLAN: (Phase.PLANNING, actions.begin),
        Kind.JOB: (Phase.WORKING, jobs.begin_job),
        Kind.TOGGLE: (Phase.READY, actions.toggle),
        Kind.BROKEN: (Phase.SWITCHING, actions.fall_back),
        Kind.SIZE_FOUND: (Phase.SWITCHING, actions.begin_fit),
        Kind.SIZE_STAYS: (Phase.READY, actions.keep_size),
        Kind.RESHAPED: (Phase.SWITCHING, actions.begin_reshaping),
    },
    Phase.SWITCHING: _waits(Phase.SWITCHING)
    | {
        Kind.BUILT: (Phase.MEASURING, actions.swap),
        Kind.FAILED: (Phase.READY, actions.give_up),
        Kind.OVERDUE: (Phase.READY, actions.give_up_overdue),
        Kind.CANCEL_WORK: (Phase.READY, actions.cancel_work),
        Kind.BROKEN: (Phase.SWITCHING, actions.ignore),  # told again if it goes on once this is over
    },
    Phase.MEASURING: _waits(Phase.MEASURING)
    | {
        Kind.DONE: (Phase.READY, actions.commit),
        Kind.FAILED: (Phase.READY, actions.swap_back),
        Kind.BROKEN: (Phase.READY, actions.swap_back),
    },
    Phase.PLANNING: _waits(Phase.PLANNING)
    | {
        Kind.DONE: (Phase.READY, actions.report),
        Kind.FAILED: (Phase.READY, actions.give_up),
        Kind.OVERDUE: (Phase.READY, actions.give_up_overdue),
        Kind.CANCEL_WORK: (Phase.READY, actions.cancel_work),
        Kind.BROKEN: (Phase.PLANNING, actions.ignore),
    },
    Phase.WORKING: _always(Phase.WORKING)
    | {
        Kind.DONE: (Phase.READY, jobs.end_job),
        Kind.DONE_APPLY: (Phase.SWITCHING, jobs.end_job_and_apply),
        Kind.FAILED: (Phase.READY, jobs.end_job),
        Kind.CANCEL_WORK: (Phase.WORKING, jobs.cancel_job),
        Kind.BROKEN: (Phase.WORKING, actions.ignore),
    },
    Phase.STOPPING: _always(Phase.STOPPING)
    | {
        Kind.STARTED: (Phase.STOPPING, actions.ignore),
        Kind.STARTED_AMID: (Phase.STOPPING, actions.ignore),
        Kind.BROKEN: (Phase.STOPPING, actions.ignore),
        Kind.SETTLED: (Phase.STOPPING, actions.ignore),
        Kind.STOP: (Phase.STOPPING, actions.ignore),
    },
}


def step(state: State, event: Event, box: Box, now: datetime) -> tuple[State, tuple[Effect, ...]]:
    """What an event makes of the state, and what is to be done; then the next of those that wait, while there is time.

    Raises :class:`IllegalEvent`.
    """
    kind, refusal = classify(state, event, box, now)
    if kind not in TABLE[state.phase]:
        raise IllegalEvent(f"{kind.value} while {state.phase.value}")
    phase, action = TABLE[state.phase][kind]
    turn = Turn(state, event, box, now, refusal)
    turn.hear()
    action(turn)
    after, effects = replace(turn.state, phase=phase), tuple(turn.effects)
    if after.phase is Phase.READY and after.waiting:
        first, *others = after.waiting
        after, more = step(replace(after, waiting=tuple(others)), Asked(first), box, now)
        effects += more
    return after, effects


def diagram() -> str:
    """Draw the table as a Mermaid state diagram: what leads from one phase to another."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.STARTING.value}"]
    for phase, row in TABLE.items():
        reached: dict[Phase, list[str]] = {}
        for kind, (target, _action) in row.items():
            if target is not phase:
                reached.setdefault(target, []).append(kind.value)
        lines += [f"    {phase.value} --> {target.value}: {', '.join(kinds)}" for target, kinds in reached.items()]
    return "\n".join([*lines, f"    {Phase.STOPPING.value} --> [*]"]) + "\n"
