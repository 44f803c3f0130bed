"""A change of many boxes, some at a time: judged as it goes, stopped and taken back where too many do not bear it.

What has been done stands in a file that is replaced whole after every step, so that a roll-out that was ended, in
whichever way, goes on from it. A command carries the same id whenever it is sent: a box that has done it answers with
the reply it has kept, and does nothing twice.
"""

import codecs
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from agent.wire.commands import Reply, ReplyStatus
from agent.wire.messages import MessageError, Metrics, Status
from agent.wire.topics import Topics, every_device, parse
from agent.wire.trust import sign
from agent.wire.wording import in_words, many
from controller.client.fleet import Agent
from controller.client.request import SIGNED_FOR_MIN_S, Order, bounded
from controller.client.session import Session
from controller.errors import UsageError

WINDOWS_MIN: Final = 1
"""Summaries that lie wholly after the change, before a box is judged by them."""
GRACE_WINDOWS: Final = 3
"""So many windows beyond the soak a summary is waited for."""
COMMANDS: Final = ("set-precision", "set-model", "set-device", "set-hint", "set-input", "set")
"""What can be rolled out: what can be taken back."""
APPLY: Final = "apply"
"""A whole configuration, as a measurement found it best: each box is sent what it lacks of it."""
BAD: Final = frozenset({Status.DEGRADED, Status.FAILED, Status.CAMERA_LOST})

Verdict = Literal["waiting", "asked", "soaking", "good", "failed", "slow", "broken", "vanished"]
Undo = Literal["", "done", "failed"]
FAULTS: Final = frozenset({"failed", "slow", "broken", "vanished"})
Tell = Callable[[str, Mapping[str, JsonValue]], None]
"""Hears of each step: what it is, and its facts."""


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Box(_Kept):
    """One box of a roll-out."""

    device_id: str
    verdict: Verdict = "waiting"
    undo: Undo = ""
    """Whether the change was taken back; nothing where that was not tried."""
    reason: str = ""
    """Why it is no good one, or could not be taken back."""
    doing: list[tuple[str, dict[str, JsonValue]]] | None = None
    """Commands that make the change, one after the other; None before its turn."""
    undoing: list[list[tuple[str, dict[str, JsonValue]]]] = Field(default_factory=list)
    """Of each of those that were done, commands that lead back to what ran before; the last is gone back over first."""
    status_before: str | None = None
    """A box that was lost before is not broken by the change."""
    fps_before: float | None = None
    fps_after: float | None = None
    replied_at: datetime | None = None
    """By the box's own clock."""

    @property
    def runs(self) -> str:
        """What it is left with: ``new``, ``old``, or ``unknown``."""
        match self.verdict, self.undo:
            case "vanished", _:
                return "unknown"
            case _, "failed":
                return "unknown"
            case (("waiting" | "failed"), _):
                return "old"
            case (("asked" | "soaking"), ""):
                return "unknown"
        return "old" if self.undo == "done" else "new"


class Rollout(_Kept):
    """All of it: what is to be done, how far it is, and what came of it."""

    format: Literal["edgepose.rollout/1"] = "edgepose.rollout/1"
    id: str
    prefix: str
    command: str
    args: dict[str, JsonValue]
    batches: list[list[str]]
    """The canaries first."""
    canaries: int
    max_failures: int = Field(ge=0)
    min_fps_ratio: float = Field(ge=0)
    soak_s: float = Field(ge=0)
    answer_s: float = Field(gt=0)
    gone_s: float = Field(default=10.0, ge=0)
    """A box that is offline for so long does not answer any more."""
    phase: Literal["running", "undoing", "stopped", "done"] = "running"
    boxes: dict[str, Box]

    @property
    def failures(self) -> list[Box]:
        """Those that did not bear it."""
        return [box for box in self.boxes.values() if box.verdict in FAULTS]

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.phase in {"stopped", "done"}

    @property
    def beyond_its_bound(self) -> bool:
        """Whether more boxes failed than may, or any of the canaries."""
        canary = {device for batch in self.batches[:1] for device in batch} if self.canaries else set()
        return len(self.failures) > self.max_failures or any(box.device_id in canary for box in self.failures)

    def counts(self) -> dict[str, JsonValue]:
        """How many stand where."""
        verdicts = [box.verdict for box in self.boxes.values()]
        found: dict[str, JsonValue] = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
        runs = [box.runs for box in self.boxes.values()]
        return found | {f"runs_{which}": runs.count(which) for which in ("new", "old", "unknown")}


def kind_of(agent: Agent) -> tuple[str, str, str]:
    """Processor, devices and network: boxes of which all three are the same are of one kind."""
    info, state = agent.info, agent.state
    devices = ",".join(each.name for each in info.devices) if info else ""
    return (info.host.cpu if info else "", devices, state.requested.model if state else "")


def batches_of(agents: Iterable[Agent], canaries: int, batch: int) -> list[list[str]]:
    """The canaries, each of another kind of box as far as there are kinds, then the others by id."""
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for agent in sorted(agents, key=lambda each: each.device_id):
        kinds.setdefault(kind_of(agent), []).append(agent.device_id)
    first: list[str] = []
    queues = [list(each) for each in kinds.values()]
    while len(first) < canaries and any(queues):
        for queue in queues:
            if queue and len(first) < canaries:
                first.append(queue.pop(0))
    others = sorted(device for queue in queues for device in queue)
    rest = [others[place : place + batch] for place in range(0, len(others), batch)]
    return [first, *rest] if first else rest


def ready_for(agent: Agent, winner: Mapping[str, JsonValue]) -> bool:
    """Whether a box has the network of a winner, at its precision."""
    return winner["precision"] in _precisions(agent, winner["model"])


def _precisions(agent: Agent, model: JsonValue) -> tuple[str, ...]:
    found = agent.info.models if agent.info else ()
    return next((each.precisions for each in found if each.name == model), ())


def doing(agent: Agent, command: str, args: Mapping[str, JsonValue]) -> list[tuple[str, dict[str, JsonValue]]]:
    """The commands that make a change of a box; none where it is so already."""
    if command != APPLY:
        return [(command, dict(args))]
    assert agent.state is not None
    asked = agent.state.requested
    another, elsewhere = args["model"] != asked.model, args["device"] != asked.device
    placed = None if another or elsewhere else (asked.affinity or {}).get("preset")
    long_side = None if another else asked.long_side  # another network forgets the size
    front = None if another else asked.detector  # which another network forgets, too
    counted = asked.streams is not None or asked.requests is not None
    steps: list[tuple[str, str, bool]] = [
        ("set-model", "model", another),
        ("set-precision", "precision", args["precision"] != asked.precision),
        ("set-device", "device", elsewhere or args.get("detector") != front),
        ("set-affinity", "affinity", args["affinity"] != placed),
        ("set-input", "long_side", args["long_side"] != long_side),
        ("set-hint", "hint", args["hint"] != asked.hint or counted),
    ]
    if asked.precision not in _precisions(agent, args["model"]):  # the network is taken at the precision that runs
        steps[:2] = steps[1::-1]
    key = {"affinity": "preset"}
    # What a measurement left open is left as it is.
    found = [(name, {key.get(of, of): args[of]}) for name, of, differs in steps if differs and args[of] is not None]
    for name, wanted in found:
        if name == "set-device" and args.get("detector") is not None:
            wanted["detector"] = args["detector"]
    return found


def undoing(agent: Agent, command: str, args: Mapping[str, JsonValue]) -> list[tuple[str, dict[str, JsonValue]]]:
    """The commands that lead a box back to what is asked of it now."""
    assert agent.state is not None
    asked = agent.state.requested
    size: tuple[str, dict[str, JsonValue]] = ("set-input", {"long_side": asked.long_side})
    place: tuple[str, dict[str, JsonValue]] = ("set-device", {"device": asked.device})
    if asked.detector is not None:
        place[1]["detector"] = asked.detector
    match command:
        case "set-precision":
            return [(command, {"precision": asked.precision})]
        case "set-model":
            # It forgets the size, and where the first of two stages runs.
            forgotten = [*([size] if asked.long_side is not None else []), *([place] if asked.detector else [])]
            return [(command, {"model": asked.model}), *forgotten]
        case "set-device" | "set-affinity":
            placed: dict[str, JsonValue] = dict(asked.affinity or {})
            return [place, *([("set-affinity", placed)] if placed else [])]
        case "set-hint":
            hint: dict[str, JsonValue] = {"hint": asked.hint, "streams": asked.streams, "requests": asked.requests}
            return [(command, hint)] if asked.hint is not None else []
        case "set-input":
            return [size]
    settings = args["settings"]
    assert isinstance(settings, dict)
    made = agent.state.settings
    back: dict[str, JsonValue] = {key: 0 if made[key] is None else made[key] for key in settings if key in made}
    plain: list[JsonValue] = [key for key in settings if key not in made]
    found: list[tuple[str, dict[str, JsonValue]]] = []
    if plain:  # one start for both
        found.append(("unset", {"keys": plain, **({"restart": False} if back else {})}))
    if back:
        found.append(("set", {"settings": back}))
    return found


def read(path: Path) -> Rollout:
    """The roll-out of a file. Raises :class:`UsageError`."""
    try:
        return Rollout.model_validate_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise UsageError(f"{path} is no roll-out: {in_words(error)}") from None


class Runner:
    """Carries a roll-out out, from wherever it stands; :meth:`run` returns when it is over.

    ``save`` keeps it, ``tell`` hears of each step.
    """

    def __init__(self, session: Session, rollout: Rollout, save: Callable[[], None], tell: Tell) -> None:
        self._session = session
        self._rollout = rollout
        self._save = save
        self._tell = tell
        self._replies: dict[tuple[str, str], Reply] = {}
        self._summaries: dict[str, list[Metrics]] = {}
        self._gone_since: dict[str, float] = {}

    def run(self) -> None:
        """Go on to the end."""
        self._listen()
        rollout = self._rollout
        for number, batch in enumerate(rollout.batches):
            if rollout.phase != "running":
                break
            self._carry_out(number, [rollout.boxes[device] for device in batch])
            if rollout.beyond_its_bound:
                rollout.phase = "undoing"
                self._save()
                self._tell("stopping", {"failures": len(rollout.failures), "max_failures": rollout.max_failures})
        if rollout.phase == "undoing":
            self._take_back([box for box in rollout.boxes.values() if box.verdict in {"good", "slow", "broken"}])
            rollout.phase = "stopped"
        elif rollout.phase == "running":
            rollout.phase = "done"
        self._save()
        self._tell(rollout.phase, rollout.counts())

    def _listen(self) -> None:
        rollout, session = self._rollout, self._session
        leaves = (f"reply/{rollout.id}", "availability", "state", "metrics")
        session.client.subscribe([every_device(leaf, rollout.prefix) for leaf in leaves])
        for received in session.client.retained(session.timeout_s):
            session.fleet.take(received)

    def _carry_out(self, number: int, boxes: list[Box]) -> None:
        todo = [box for box in boxes if box.verdict in {"waiting", "asked"}]
        if todo:
            self._tell("batch", {"batch": number, "boxes": [box.device_id for box in todo]})
        for box in todo:
            self._prepare(box)
        if todo:
            self._save()
        self._ask({box.device_id: self._orders(box) for box in todo})
        for box in todo:
            self._hear(box)
        if todo:
            self._save()
        soaking = [box for box in boxes if box.verdict == "soaking"]
        if soaking:
            self._soak(soaking)
            self._save()
        self._take_back([box for box in boxes if box.verdict in {"slow", "broken"}])

    def _prepare(self, box: Box) -> None:
        """Keep what it does now, before anything is asked of it."""
        agent = self._session.fleet.agents.get(box.device_id)
        if box.verdict == "waiting" and agent is not None and agent.state is not None:
            box.doing = doing(agent, self._rollout.command, self._rollout.args)
            box.undoing = [undoing(agent, *each) for each in box.doing]
            box.status_before = agent.state.status.value
            box.fps_before = agent.metrics.fps_mean if agent.metrics else None
        box.verdict = "asked"

    def _orders(self, box: Box) -> list[tuple[str, str, Mapping[str, JsonValue]]]:
        return [(self._id(box, f"-{step}" if step else ""), *each) for step, each in enumerate(box.doing or ())]

    def _id(self, box: Box, step: str = "") -> str:
        return f"{self._rollout.id}-{box.device_id}{step}"

    def _ask(self, orders: dict[str, list[tuple[str, str, Mapping[str, JsonValue]]]]) -> None:
        """Send each box its commands, one after the other, and wait for the answers as long as they may take."""
        left = {device: list(each) for device, each in orders.items() if each}
        until = {device: self._send(device, *each[0]) for device, each in left.items()}
        while left:
            now = time.monotonic()
            for device, waiting in list(left.items()):
                reply = self._replies.get((device, waiting[0][0]))
                gone = now - self._gone_since.get(device, math.inf) > self._rollout.gone_s
                if reply is not None and reply.status is ReplyStatus.SUCCEEDED and len(waiting) > 1:
                    waiting.pop(0)
                    until[device] = self._send(device, *waiting[0])
                elif reply is not None or gone or now > until[device]:
                    del left[device]
            if left:
                self._take(min(now + 0.25, *(until[device] + 0.01 for device in left)))

    def _send(self, device: str, id_: str, command: str, args: Mapping[str, JsonValue]) -> float:
        """Publish a command; returns until when its answer is waited for, on the monotonic clock."""
        rollout, session = self._rollout, self._session
        topics = Topics(device, rollout.prefix)
        order, reply_to = Order(command, args, rollout.answer_s), topics.reply(rollout.id)
        topic = topics.command(command)
        payload = order.body(id_, reply_to)
        if session.key is not None:
            expires_at = datetime.now(UTC) + timedelta(seconds=max(SIGNED_FOR_MIN_S, rollout.answer_s))
            body = order.body(id_, reply_to, expires_at)
            payload = bounded(sign(session.key, topic, time.time_ns() // 1000, body))
        expiry_s = max(1, math.ceil(rollout.answer_s))
        session.client.request(topic, payload, reply_to=reply_to, correlation=id_.encode(), expiry_s=expiry_s)
        return time.monotonic() + rollout.answer_s

    def _take(self, until: float) -> None:
        """Hear what comes until then, or until something has come."""
        for received in self._session.client.messages(until):
            device, leaf = parse(received.topic, self._rollout.prefix) or ("", "")
            if leaf == f"reply/{self._rollout.id}":
                try:
                    reply = Reply.decode(received.payload)
                except MessageError:
                    continue
                if reply.device_id == device:
                    self._replies[device, reply.id] = reply
                continue
            self._session.fleet.take(received)
            agent = self._session.fleet.agents.get(device)
            if leaf == "metrics" and agent is not None and agent.metrics is not None:
                self._summaries.setdefault(device, []).append(agent.metrics)
            if leaf == "availability" and agent is not None and agent.availability == "online":
                self._gone_since.pop(device, None)
        for device in self._rollout.boxes:
            agent = self._session.fleet.agents.get(device)
            if agent is None or agent.availability != "online":
                self._gone_since.setdefault(device, time.monotonic())

    def _hear(self, box: Box) -> None:
        if not box.doing:
            so = box.doing is not None
            box.verdict, box.reason = ("good", "it was so already") if so else ("vanished", "it has told no state")
            self._judged(box)
            return
        replies = [self._replies.get((box.device_id, id_)) for id_, _command, _args in self._orders(box)]
        # The last answer, and that one is missing where those before it are good.
        done = sum(each is not None and each.status is ReplyStatus.SUCCEEDED for each in replies)
        reply = replies[min(done, len(replies) - 1)]
        if reply is None:
            agent = self._session.fleet.agents.get(box.device_id)
            gone = agent is None or agent.availability != "online"
            box.verdict, box.reason = "vanished", "it is offline" if gone else "it does not answer"
        elif reply.status is ReplyStatus.SUCCEEDED:
            box.verdict, box.replied_at = "soaking", reply.sent_at
            return
        else:
            error = reply.error
            # Of several commands those before it were done: they have to be taken back, and no other.
            box.verdict, box.undoing = ("broken" if done else "failed"), box.undoing[:done]
            box.reason = f"{error.code.value}: {error.message}" if error else reply.status.value
        self._judged(box)

    def _judged(self, box: Box) -> None:
        self._tell("box", _told(box))

    def _soak(self, boxes: list[Box]) -> None:
        began = time.monotonic()
        self._tell("soak", {"boxes": len(boxes), "seconds": self._rollout.soak_s})
        while time.monotonic() < began + self._rollout.soak_s:
            self._take(min(time.monotonic() + 0.5, began + self._rollout.soak_s))
        waiting = [box for box in boxes if box.fps_before is not None and self._rollout.min_fps_ratio]
        while waiting := [box for box in waiting if not self._has_told(box, began)]:
            self._take(time.monotonic() + 0.25)
        for box in boxes:
            self._judge(box)
            self._judged(box)

    def _has_told(self, box: Box, began: float) -> bool:
        """Whether there is a summary to judge by, or none is to be had."""
        agent = self._session.fleet.agents.get(box.device_id)
        window_s = agent.metrics.window_s if agent and agent.metrics else 5.0
        late = time.monotonic() > began + self._rollout.soak_s + GRACE_WINDOWS * window_s
        return late or len(self._after(box)) >= WINDOWS_MIN or (agent is not None and agent.availability != "online")

    def _after(self, box: Box) -> list[Metrics]:
        """The summaries that lie wholly after the change."""
        replied = box.replied_at
        assert replied is not None
        return [
            each
            for each in self._summaries.get(box.device_id, [])
            if each.sent_at - timedelta(seconds=each.window_s) >= replied - timedelta(milliseconds=1)
        ]

    def _judge(self, box: Box) -> None:
        agent = self._session.fleet.agents.get(box.device_id)
        if agent is None or agent.availability != "online":
            box.verdict, box.reason = "vanished", "it has gone offline"
            return
        if agent.state is not None and agent.state.status in BAD and agent.state.status != box.status_before:
            why = f": {agent.state.last_error}" if agent.state.last_error else ""
            box.verdict, box.reason = "broken", f"it is {agent.state.status.value}{why}"
            return
        rates = [each.fps_mean or 0.0 for each in self._after(box)]
        box.fps_after = round(sum(rates) / len(rates), 3) if rates else None
        wanted = self._rollout.min_fps_ratio
        if not box.fps_before or not wanted:
            box.verdict = "good"
        elif box.fps_after is None:
            box.verdict, box.reason = "broken", "it has told no figures since"
        elif box.fps_after < wanted * box.fps_before:
            told = f"{box.fps_after:.1f} of {box.fps_before:.1f} frames a second"
            box.verdict, box.reason = "slow", f"{told}, less than {wanted:g} of it"
        else:
            box.verdict = "good"

    def _take_back(self, boxes: list[Box]) -> None:
        """Lead boxes back to what ran before; those alone for which that has not been tried to an end."""
        todo = [box for box in boxes if box.undo == ""]
        if not todo:
            return
        self._tell("undoing", {"boxes": [box.device_id for box in todo]})
        steps: dict[str, list[tuple[str, str, Mapping[str, JsonValue]]]] = {
            box.device_id: [
                (self._id(box, f"-undo{number}"), *step)
                for number, step in enumerate(step for steps in reversed(box.undoing) for step in steps)
            ]
            for box in todo
        }
        self._ask(steps)
        for box in todo:
            last = [self._replies.get((box.device_id, id_)) for id_, _name, _args in steps[box.device_id]]
            done = bool(last or not box.doing) and all(each and each.status is ReplyStatus.SUCCEEDED for each in last)
            box.undo = "done" if done else "failed"
            if not done:
                answered = next((each for each in last if each and each.error), None)
                why = answered.error.message if answered and answered.error else "it does not answer"
                box.reason = "; ".join(part for part in (box.reason, f"not taken back: {why}") if part)
            self._tell("undone", {"device_id": box.device_id, "undo": box.undo, "runs": box.runs, "reason": box.reason})
        self._save()


def lines(rollout: Rollout) -> Iterator[str]:
    """The plan for people: what is done to whom, and when it stops."""
    told = json.dumps(rollout.args, ensure_ascii=False)
    yield f"{rollout.command} {told} on {many(len(rollout.boxes), 'box', 'boxes')}, roll-out {rollout.id}"
    for number, batch in enumerate(rollout.batches):
        name = "canaries" if rollout.canaries and not number else f"batch {number}"
        shown = ", ".join(batch[:6]) + (f" and {len(batch) - 6} more" if len(batch) > 6 else "")
        yield f"  {name}: {shown}"
    ratio = f", or finishes less than {rollout.min_fps_ratio:g} of its frames before" if rollout.min_fps_ratio else ""
    yield f"Each is judged by its answer and for {rollout.soak_s:g} s by its state and figures."
    yield f"A box that fails, vanishes or breaks{ratio} counts as a failure; the changed ones of them are taken back."
    canary = "one canary or " if rollout.canaries else ""
    yield f"It stops, and takes all back, after {canary}more than {many(rollout.max_failures, 'failure')}."


def _told(box: Box) -> dict[str, Any]:
    """A box without the commands that it is sent."""
    return {**box.model_dump(mode="json", exclude={"doing", "undoing"}), "runs": box.runs}


def results(rollout: Rollout) -> list[dict[str, Any]]:
    """Every box, as JSON."""
    return [_told(box) for box in rollout.boxes.values()]
