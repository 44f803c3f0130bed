"""What a running agent must answer to a command and be afterwards, told from the contract and the answers so far.

Nothing here is of the agent's own control. Answers come in the order of the commands, but for that of a change, which
comes when the change is done.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from agent.wire.affinity import Affinity
from agent.wire.codec import Refused
from agent.wire.commands import (
    Command,
    ErrorCode,
    Fetch,
    Logs,
    Quantize,
    Reply,
    ReplyStatus,
    SetDevice,
    SetHint,
    SetInput,
    SetModel,
    SetPaused,
    SetPrecision,
    SetZones,
)
from agent.wire.messages import Info, MessageError, Requested, State
from agent.wire.zones import Zones
from tests.fuzz.cases import DEVICE, Case
from tests.fuzz.codec import ViolationError, check, run

REMEMBERED: Final = 256
CHANGES_REMEMBERED: Final = 64
MODES: Final = ("AUTO", "MULTI", "HETERO", "BATCH")
QUICK: Final = frozenset({"describe", "jobs", "logs", "snapshot", "cancel"})
"""What never waits for its turn."""
NO_DEVICE: Final = frozenset({ErrorCode.UNKNOWN_DEVICE, ErrorCode.UNAVAILABLE_DEVICE})

Result = dict[str, Any] | None


@dataclass(frozen=True)
class Heard:
    """A message that came."""

    topic: str
    payload: bytes
    correlation: bytes | None
    qos: int
    retain: bool


@dataclass(frozen=True)
class Letter:
    """A command to be sent, and what the codec makes of it."""

    case: Case
    came: Command | Refused
    named: bool
    """Whether it has an id of its own, not one the box makes."""
    again: bool = False
    """The id of the change that is being done: it is answered once that is done, or not at all."""

    @classmethod
    def of(cls, case: Case, *, again: bool = False) -> "Letter":
        """Read a case. Raises ViolationError when the codec makes something else of it than it must."""
        came = run(case.incoming)
        check(case, came)
        return cls(case, came, came.id == run(case.incoming).id, again)

    @property
    def name(self) -> str:
        """Of the command, be there one of this name or not."""
        return self.came.name if isinstance(self.came, Command) else self.came.command

    @property
    def silent(self) -> bool:
        """Nobody can be answered."""
        return isinstance(self.came, Refused) and self.came.address is None

    @property
    def waits(self) -> bool:
        """Its turn comes after what is being done."""
        return isinstance(self.came, Command) and self.name not in QUICK


@dataclass(frozen=True)
class Answer:
    """What must stand in a reply."""

    status: ReplyStatus
    codes: frozenset[ErrorCode] = frozenset()
    """One of these."""
    fits: Callable[[Result], bool] = lambda result: result is None
    """Whether the result is the right one."""


def _rejected(*codes: ErrorCode) -> Answer:
    return Answer(ReplyStatus.REJECTED, frozenset(codes))


def _succeeded(fits: Callable[[Result], bool]) -> Answer:
    return Answer(ReplyStatus.SUCCEEDED, fits=fits)


AT_ONCE: Final = frozenset({"pause", "resume", "set-paused", "set-zones"})
"""Changes that are done, and written down, before anything else is."""


class Oracle:
    """What the agent is, as far as commands have made it so."""

    def __init__(self, info: Info, state: State) -> None:
        assert state.effective is not None
        self.version = state.version
        self.requested = state.requested
        self.engine = state.effective.engine
        self.paused = False
        self.zones: Zones = {}
        self.changing: Letter | None = None
        self._wanted = state.requested
        self._devices = {device.name for device in info.devices}
        self._models = {model.name: model.precisions for model in info.models}
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._changes: OrderedDict[str, bytes] = OrderedDict()

    def begins(self, letter: Letter) -> bool:
        """Whether it would begin something long, were it its turn."""
        command = letter.came
        if isinstance(command, Refused):
            return False
        match command.args:
            case SetHint() | SetInput():
                return True
            case SetDevice(device=device):
                return any(name in device.upper() for name in (*self._devices, *MODES))
            case SetModel(model=model):
                return self.requested.precision in self._models.get(model, ())
            case Quantize(model=model):
                return (model or self.requested.model) in self._models
            case SetPrecision(precision=precision):
                return precision in self._models[self.requested.model]
            case Affinity() as affinity:
                return len(_named(affinity)) > 1 and _named(affinity) <= self._devices
        return False

    def begin(self, letter: Letter, requested: Requested) -> None:
        """This change is being done from now on."""
        self.changing, self._wanted = letter, requested

    def is_of_change(self, heard: Heard) -> bool:
        """Whether this is the reply to the change that is being done."""
        return self.changing is not None and f'"id":"{self.changing.came.id}"'.encode() in heard.payload

    def end(self, heard: Heard) -> str:
        """Compare the reply to the change that is being done, and name it. Raises ViolationError."""
        letter, self.changing = self.changing, None
        assert letter is not None
        self.version, self.engine, self.requested = self.version + 1, self.engine + 1, self._wanted

        def fits(result: Result) -> bool:
            result = result or {}
            asked = Requested.model_validate_json(json.dumps(result["requested"]))
            return (asked, result["effective"]["engine"]) == (self.requested, self.engine)

        self._demand(self._read(letter, heard), letter, _succeeded(fits))
        self._remember(letter, heard.payload, change=True)
        return "done"

    def judge(self, letter: Letter, heard: Heard) -> str:
        """Compare the reply to a letter, and name it. Raises ViolationError."""
        came, reply = letter.came, self._read(letter, heard)
        if isinstance(came, Refused):
            self._demand(reply, letter, _rejected(came.error.code))
            return str(came.error.code)
        stored = self._recent.get(came.id) or self._changes.get(came.id)
        if stored is not None:
            if heard.payload != stored:
                raise ViolationError(f"another reply than the stored {stored!r}", heard.payload, letter.case)
            return "same again"
        before = self.version
        self._demand(reply, letter, self._answer(came))
        self._remember(letter, heard.payload, change=came.name in AT_ONCE and not reply.error)
        if self.version != before:
            return "done"
        return str(reply.error.code if reply.error else reply.status)

    def _answer(self, command: Command) -> Answer:
        if command.if_version not in {None, self.version}:
            return _rejected(ErrorCode.VERSION_CONFLICT)
        match command.name:
            case "cancel":
                return _rejected(ErrorCode.NOT_FOUND)
            case "snapshot":
                return _rejected(ErrorCode.INVALID_PAYLOAD)  # the configuration lets no image out
            case "jobs":
                return _succeeded(lambda result: result == {"jobs": []})
            case "describe":
                return _succeeded(self._describes)
            case "set-zones":
                assert isinstance(command.args, SetZones)
                zones = command.args.zones or {}  # this box has none configured
                self.version += zones != self.zones
                self.zones = zones
                return _succeeded(lambda result: result == {"zones": list(zones)})
            case "pause" | "resume" | "set-paused":
                asked = command.args.paused if isinstance(command.args, SetPaused) else None
                paused = command.name == "pause" if asked is None else asked
                self.version += paused != self.paused
                self.paused = paused
                return _succeeded(lambda result: result == {"paused": paused})
        return self._refusal(command)

    def _refusal(self, command: Command) -> Answer:
        """Of a change this box cannot do, and of its log."""
        match command.args:
            case Logs(lines=most):
                return _succeeded(lambda result: 0 < len((result or {})["lines"]) <= most)
            case Fetch():  # nobody knows any of the names
                return _rejected(ErrorCode.UNKNOWN_MODEL)
            case SetDevice():
                return _rejected(*NO_DEVICE)
            case SetPrecision():
                return _rejected(ErrorCode.UNAVAILABLE_PRECISION)
            case SetModel() | Quantize():
                return _rejected(ErrorCode.UNKNOWN_MODEL)
            case Affinity() as affinity:
                few = len(_named(affinity)) < 2
                return _rejected(*({ErrorCode.INVALID_AFFINITY} if few else {ErrorCode.INVALID_AFFINITY, *NO_DEVICE}))
        raise AssertionError(f"{command} should not have been sent")

    def _describes(self, result: Result) -> bool:
        state = State.decode(json.dumps((result or {})["state"]).encode())
        return (state.version, state.requested) == (self.version, self.requested)

    def _read(self, letter: Letter, heard: Heard) -> Reply:
        """Read a reply: it went where it must, and tells whose it is."""
        came = letter.came
        address = came.reply_to if isinstance(came, Command) else came.address
        place = (heard.topic, heard.correlation, heard.qos, heard.retain)
        if address is None or place != (address.topic, address.correlation, 1, False):
            raise ViolationError(f"a reply not to {address}", (place, heard.payload), letter.case)
        try:
            reply = Reply.decode(heard.payload)
        except MessageError as error:
            raise ViolationError(f"no reply: {error}", heard.payload, letter.case) from None
        if not reply.id or (letter.named and reply.id != came.id) or reply.device_id != DEVICE:
            raise ViolationError(f"a reply not to {came.id}", heard.payload, letter.case)
        return reply

    def _demand(self, reply: Reply, letter: Letter, answer: Answer) -> None:
        code = {reply.error.code} if reply.error else set()
        right = code <= answer.codes and bool(code) == bool(answer.codes) and answer.fits(reply.result)
        if not right or (reply.status, reply.command) != (answer.status, letter.name):
            raise ViolationError(f"{answer.status} {', '.join(answer.codes)} is due", reply, letter.case)
        if reply.state_version != self.version:
            raise ViolationError(f"version {self.version} is due", reply, letter.case)

    def _remember(self, letter: Letter, payload: bytes, *, change: bool) -> None:
        assert isinstance(letter.came, Command)
        stores = [(self._recent, REMEMBERED)] + ([(self._changes, CHANGES_REMEMBERED)] if change else [])
        for store, most in stores:
            # Under the id the box made nobody can ask again.
            store[Reply.decode(payload).id] = payload
            if len(store) > most:
                store.popitem(last=False)


def _named(affinity: Affinity) -> set[str]:
    return {name.strip().upper() for name in affinity.devices()}
