"""`controller rollout`: a change of many boxes, some at a time."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final
from uuid import uuid4

import click
from pydantic import JsonValue

from agent.durable import replace_file
from agent.wire.messages import rfc3339
from agent.wire.topics import every_device
from agent.wire.tuning import Tuning
from controller.client.fleet import Agent
from controller.client.request import Order
from controller.client.rollout import (
    APPLY,
    COMMANDS,
    Box,
    Rollout,
    Runner,
    batches_of,
    kind_of,
    lines,
    read,
    ready_for,
    results,
)
from controller.client.session import Session
from controller.client.target import Target
from controller.commands.access import open_session
from controller.commands.execute import target_of
from controller.commands.options import FILE, Given
from controller.commands.settings import pair
from controller.commands.targets import DeviceType, FleetCommand, addressed
from controller.errors import ControllerError, NoAnswerError, UsageError
from controller.interrupt import INTERRUPTED, UntilEnded
from controller.report import files as report_files
from controller.terminal.rollout import show, step
from controller.terminal.surroundings import print_json, tell

ANSWER_S: Final = 150.0
EVENT: Final = "edgepose.rollout-event/1"
ROLLOUT_HELP: Final = """Change many boxes, some at a time, and take it back where too many do not bear it.

The plan is shown first. Canaries come first, then batch after batch; each box is judged by its answer, and for a while
by its state and its frames a second. A box that does not bear it is taken back by itself; with more of them than may
be, or a canary among them, all are. What was done stands in a file: after Ctrl-C or worse, --resume goes on.

CHANGE is set-precision, set-model, set-device, set-hint, set-input or set, with what it takes. --from takes the winner
of a measurement in its place: each box is sent what it lacks of network, precision, device, input size and hint.

\b
Examples:
  controller rollout 'gym-*' set-precision INT8 --canary 2 --batch 20
  controller rollout --group halls set camera.fps_max=15 --soak 120 --yes
  controller rollout --kind-of gym-01 --from tune.json
  controller rollout --resume rollout-7c0e.json
"""
KEYS: Final = {
    "set-precision": "precision",
    "set-model": "model",
    "set-device": "device",
    "set-hint": "hint",
    "set-input": "long_side",
}


def change_of(words: tuple[str, ...]) -> tuple[str, dict[str, JsonValue]]:
    """Read a change. Raises :class:`UsageError`."""
    if not words:
        raise UsageError("what is to change is missing", hint="for example set-precision INT8")
    name, *values = words
    if name not in COMMANDS:
        raise UsageError(f"{name!r} cannot be rolled out", hint=f"one of {', '.join(COMMANDS)}")
    args: dict[str, JsonValue]
    if name == "set":
        args = {"settings": dict(pair(word) for word in values)}
    elif len(values) != 1:
        raise UsageError(f"{name} takes one value", hint="for example set-precision INT8")
    else:
        (value,) = values
        args = {KEYS[name]: int(value) if name == "set-input" and value.isdigit() else value}
    Order(name, args, 1.0)
    return name, args


def winner_of(file: Path) -> dict[str, JsonValue]:
    """The configuration that a measurement found best, of a sweep the fastest. Raises :class:`ControllerError`."""
    found = report_files.measured(file)
    if isinstance(found, Tuning):
        best = found.trials[found.winner].recipe if found.winner is not None else None
    else:
        best = found.rows[found.best_throughput].recipe if found.best_throughput is not None else None
    if best is None:
        raise ControllerError(f"{file} names no winner", hint="`controller report` and `tune` say why")
    told: dict[str, JsonValue] = best.model_dump(mode="json", exclude={"engine"})
    return {"long_side": None, "detector": None, **told}


def alike(agents: list[Agent], one: Agent, *, any_network: bool) -> list[Agent]:
    """Those of the kind of a box."""
    parts = slice(2 if any_network else 3)
    return [each for each in agents if kind_of(each)[parts] == kind_of(one)[parts]]


class RolloutCommand(FleetCommand):
    """One whose boxes may stand in a file."""

    instead: ClassVar[tuple[str, ...]] = ("--group", "--resume", "--kind-of")


@click.command(cls=RolloutCommand, help=ROLLOUT_HELP)
@click.argument("words", metavar="CHANGE...", nargs=-1)
@click.option("--canary", type=click.IntRange(0), default=1, metavar="N", help="Boxes that go first. Default: 1.")
@click.option("--batch", type=click.IntRange(1), default=10, metavar="N", help="Boxes at a time. Default: 10.")
@click.option("--max-failures", type=click.IntRange(0), default=0, metavar="N", help="More end it. Default: 0.")
@click.option(
    "--min-fps-ratio",
    type=click.FloatRange(0, 1),
    default=0.9,
    metavar="R",
    help="Of the frames a second before; 0 does not look at them. Default: 0.9.",
)
@click.option("--soak", type=click.FloatRange(0), default=60.0, metavar="S", help="Seconds of watching. Default: 60.")
@click.option(
    "--state", type=click.Path(dir_okay=False, path_type=Path), help="Where to keep it. Default: a new file here."
)
@click.option(
    "--kind-of",
    "like",
    type=DeviceType(),
    metavar="BOX",
    help="Every box of its kind, instead of DEVICE: same processor, devices and network; with --from any network.",
)
@click.option(
    "--from", "origin", type=FILE, help="What `controller tune` or `sweep` has found: its winner is the change."
)
@click.option("--resume", type=FILE, help="Go on with the roll-out of this file; nothing else is given then.")
@click.option("--dry-run", is_flag=True, help="Show the plan alone.")
@click.option("--yes", is_flag=True, help="Do not ask; nor is asked with --json.")
@addressed(changes=False, answer_s=ANSWER_S)
@click.pass_obj
def rollout(  # noqa: PLR0913 - each of the options
    given: Given,
    words: tuple[str, ...],
    *,
    canary: int,
    batch: int,
    max_failures: int,
    min_fps_ratio: float,
    soak: float,
    like: str | None,
    origin: Path | None,
    state: Path | None,
    resume: Path | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Plan it, and carry it out."""
    if resume is not None:
        _go_on(given, resume)
        return
    if origin is not None and words:
        raise UsageError("--from stands in place of a change", hint="give one of them")
    command, args = change_of(words) if origin is None else (APPLY, winner_of(origin))
    with open_session(given) as session:
        target = target_of(given) if like is None else Target("*", None)
        target.find(session)
        known = session.snapshot([every_device(leaf, given.prefix) for leaf in ("info", "state", "metrics")]).agents
        agents = [known[device] for device in target.find(session)]
        if like is not None:
            agents = alike(agents, session.fleet.require(like), any_network=origin is not None)
        if lacking := [each.device_id for each in agents if origin is not None and not ready_for(each, args)]:
            tell(f"Left out, without {args['model']} at {args['precision']}: {', '.join(lacking)}")
            agents = [each for each in agents if each.device_id not in lacking]
        there = [agent for agent in agents if agent.availability == "online" and agent.state is not None]
        if left_out := [agent.device_id for agent in agents if agent not in there]:
            tell(f"Left out, offline: {', '.join(left_out)}")
        if not there:
            raise NoAnswerError("none of them is online and ready for it")
        id_ = f"rollout-{uuid4().hex[:8]}"
        plan = Rollout(
            id=id_,
            prefix=given.prefix,
            command=command,
            args=args,
            batches=batches_of(there, canary, batch),
            canaries=canary,
            max_failures=max_failures,
            min_fps_ratio=min_fps_ratio,
            soak_s=soak,
            answer_s=float(given.values.get("timeout", ANSWER_S)),
            boxes={agent.device_id: Box(device_id=agent.device_id) for agent in there},
        )
        _show_plan(given, plan)
        if dry_run:
            return
        if not yes and not given.json:
            click.confirm("Begin?", abort=True, err=True)
        _carry_out(given, session, plan, state or Path(f"{id_}.json"))


def _go_on(given: Given, file: Path) -> None:
    found = read(file)
    if given.prefix != found.prefix:
        raise UsageError(f"{file} is of boxes below {found.prefix!r}", hint=f"--prefix {found.prefix}")
    with open_session(given) as session:
        _show_plan(given, found)
        _carry_out(given, session, found, file)


def _show_plan(given: Given, plan: Rollout) -> None:
    if given.json:
        _print(plan.phase if plan.over else "planned", plan.model_dump(mode="json", exclude={"boxes"}))
    else:
        for line in lines(plan):
            tell(line)


def _print(event: str, facts: Mapping[str, JsonValue]) -> None:
    print_json({"schema": EVENT, "at": rfc3339(datetime.now(UTC)), "event": event, **facts}, indent=None)


def _carry_out(given: Given, session: Session, plan: Rollout, file: Path) -> None:
    def hear(event: str, facts: Mapping[str, JsonValue]) -> None:
        if given.json:
            _print(event, facts)
        elif (line := step(event, facts)) is not None:
            tell(line)

    def save() -> None:
        try:
            replace_file(file, plan.model_dump_json(indent=1).encode())
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}", hint="name another with --state") from error

    save()
    with UntilEnded() as ended:
        Runner(session, plan, save, hear).run()
    if ended.asked:
        tell(f"Ended amid it. What was done stands in {file}")
        tell(f"Hint: `controller rollout --resume {file}` goes on")
        click.get_current_context().exit(INTERRUPTED)
    if given.json:
        print_json({"schema": "edgepose.rollout/1", "id": plan.id, "phase": plan.phase, "boxes": results(plan)}, None)
    else:
        show(plan)
    click.get_current_context().exit(1 if plan.phase == "stopped" else 0)
