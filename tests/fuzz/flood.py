"""Commands through a real broker to a real agent, each reply compared with what must come, and the agent afterwards."""

import json
import os
import queue
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.control.journal import Journal
from agent.wire.commands import Command, Incoming, SetPaused
from agent.wire.messages import ONLINE, Event, Info, Keypoints, Requested, State, Status
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.broker import Broker, Listener, hang_up, publish
from tests.fuzz.cases import DEVICE, GROUPS, Case, Chance, Draft, cases, draft
from tests.fuzz.codec import TOPICS, ViolationError, say
from tests.fuzz.oracle import AT_ONCE, Heard, Letter, Oracle
from tests.system.process import Process, agent

UNDER_WAY: Final = 256
"""Commands that are sent before the first of them is answered: so many fit into what an agent keeps for a broker."""
ANSWER_S: Final = 60.0
SAFE_S: Final = 3600
"""What expires within this time may have expired when it arrives."""
RARE: Final = 0.8
"""So many of the changes that are done at once are left out: each is written to the disk before it is answered."""
OWN: Final = {TOPICS.availability, TOPICS.info, TOPICS.state, TOPICS.metrics, TOPICS.keypoints, TOPICS.event}
EVENTS: Final = {
    "agent.paused",
    "agent.resumed",
    "agent.started",
    "camera.opened",
    "command.accepted",
    "switch.started",
    "switch.done",
    "zone.entered",
    "zone.left",
    "zone.dwell",
    "zones.changed",
}
ZONES: Final = TOPICS.zone("")
WRONG: Final = {"agent.failed", "link.crashed", "command.crashed", "control.crashed", "broker.lost", "command.flood"}
CHANGES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("set-device", {"device": "SIMCPU"}),
    ("set-device", {"device": "CPU"}),
    ("set-hint", {"hint": "throughput", "streams": 1}),
    ("set-hint", {"hint": "latency"}),
)

Outcomes = Counter[tuple[str, str]]


class Post:
    """Sends commands and hears everything but itself; a context manager."""

    def __init__(self, port: int) -> None:
        self.heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._port = port
        self._lost: list[str] = []
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_disconnect = lambda *told: self._lost.append(str(told[3]))

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.subscribe("#", options=SubscribeOptions(qos=1, noLocal=True))
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._client)

    def send(self, incoming: Incoming, properties: Properties | None) -> None:
        """Publish with QoS 1; what is retained is cleared at once. Raises ViolationError when the broker leaves us."""
        if self._lost:
            raise ViolationError("the broker took offence at a command", self._lost)
        self._client.publish(incoming.topic, incoming.payload, 1, incoming.retained, properties)
        if incoming.retained and incoming.payload:
            self._client.publish(incoming.topic, b"", 1, retain=True)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        self.heard.put(Heard(message.topic, bytes(message.payload), correlation, message.qos, message.retain))

    def hear(self, timeout_s: float = ANSWER_S) -> Heard | None:
        """Take what came next; None when nothing did."""
        try:
            return self.heard.get(timeout=timeout_s)
        except queue.Empty:
            return None


def properties_of(incoming: Incoming) -> Properties | None:
    """What goes beside the payload."""
    given = {
        "ResponseTopic": incoming.response_topic,
        "CorrelationData": incoming.correlation,
        "MessageExpiryInterval": incoming.expiry_s,
    }
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    for name, value in given.items():
        if value is not None:
            setattr(made, name, value)
    return None if made.isEmpty() else made  # type: ignore[no-untyped-call]


class Exchange:
    """One conversation with an agent: what was sent, what is due, and what came."""

    def __init__(self, post: Post, oracle: Oracle, outcomes: Outcomes) -> None:
        self.oracle = oracle
        self.outcomes = outcomes
        self.keypoints: list[Keypoints] = []
        self.states: list[State] = []
        self.switches: Counter[str] = Counter()
        self.sent = 0
        self._post = post
        self._due: deque[Letter] = deque()
        self._answered_s = time.monotonic()

    def send(self, letters: Iterable[tuple[Letter, Properties | None]]) -> None:
        """Send them all, and hear every reply."""
        for letter, properties in letters:
            while len(self._due) >= UNDER_WAY:
                self._hear()
            self._post.send(letter.case.incoming, properties)
            self.sent += 1
            if letter.silent:
                self.outcomes[letter.case.kind, "no reply"] += 1
            elif letter is not self.oracle.changing:
                self._due.append(letter)
        while any(not letter.again for letter in self._due) or self.oracle.changing is not None:
            self._hear()
        self._due.clear()

    def settle(self) -> None:
        """Wait until the agent says it runs as it was asked to, and a frame of the last engine came."""
        began = len(self.keypoints)

        def settled() -> bool:
            state, oracle = self.states[-1] if self.states else None, self.oracle
            runs = state is not None and (state.version, state.status) == (oracle.version, Status.RUNNING)
            return runs and len(self.keypoints) > began + 3

        while not settled():
            self._hear()
        state, oracle = self.states[-1], self.oracle
        engines = (state.effective and state.effective.engine, self.keypoints[-1].engine)
        if state.requested != oracle.requested or engines != (oracle.engine, oracle.engine):
            raise ViolationError(f"{oracle.requested} by engine {oracle.engine} is due", (state, engines))

    def _hear(self) -> None:
        message = self._post.hear()
        # Poses and metrics come by themselves, and for ever: what is waited for is none of them.
        if message is not None and message.topic not in {TOPICS.keypoints, TOPICS.metrics}:
            self._answered_s = time.monotonic()
        if message is None or time.monotonic() - self._answered_s > ANSWER_S:
            last = self.states[-1] if self.states else None
            raise ViolationError(f"nothing within {ANSWER_S:g} s", last, self._due[0].case if self._due else None)
        if message.topic in OWN or message.topic.startswith(ZONES):
            self._news(message)
        elif self.oracle.is_of_change(message):
            kind = self.oracle.changing.case.kind if self.oracle.changing else ""
            self.outcomes[kind, self.oracle.end(message)] += 1
        else:
            self._reply(message)

    def _reply(self, message: Heard) -> None:
        if not self._due:
            raise ViolationError("a reply to nothing", (message.topic, message.payload))
        letter = self._due.popleft()
        if letter.again and (self.oracle.changing or f'"{letter.came.id}"'.encode() not in message.payload):
            self.outcomes[letter.case.kind, "in hand: no reply"] += 1
            self._reply(message)
            return
        self.outcomes[letter.case.kind, self.oracle.judge(letter, message)] += 1

    def _news(self, message: Heard) -> None:
        """What the agent tells of itself: it is there, frames go on, and nothing was begun that was not asked for."""
        match message.topic:
            case TOPICS.availability:
                _demand(message.payload == ONLINE, "the agent has gone", message.payload)
            case TOPICS.event:
                event = Event.decode(message.payload)
                _demand(event.code in EVENTS, "an event that is not due", event)
                self.switches[event.code] += event.code.startswith("switch.")
            case TOPICS.state:
                state = State.decode(message.payload)
                last = self.states[-1].version if self.states else 0
                # It may have gone on since the last reply; replies and states are in no order.
                _demand(last <= state.version <= self.oracle.version + UNDER_WAY, "another version", state)
                self.states.append(state)
            case TOPICS.keypoints:
                found = Keypoints.decode(message.payload)
                if self.keypoints:
                    last_found = self.keypoints[-1]
                    _demand(found.seq > last_found.seq, "a frame twice", found.seq)
                    _demand(found.engine >= last_found.engine, "an engine that was gone", found.engine)
                changing = self.oracle.changing is not None
                _demand(found.engine <= self.oracle.engine + changing, "an engine nobody asked for", found.engine)
                self.keypoints.append(found)


def _demand(true: bool, what: str, came: object) -> None:
    if not true:
        raise ViolationError(what, came)


def sendable(incoming: Incoming) -> bool:
    """Whether MQTT can carry it, and it does not expire on the way."""
    topics = [topic for topic in (incoming.topic, incoming.response_topic) if topic is not None]
    fits = all(text.isprintable() and len(text.encode("utf-8", "replace")) < 65_536 for text in topics)
    # Of both (MQTT 5.0, sections 3.3.2.1 and 3.3.2.3.5); mosquitto 2.0.11 carries any as a response.
    named = all(topic and not set(topic) & set("+#") for topic in topics)
    lasts = incoming.expiry_s is None or incoming.expiry_s >= SAFE_S
    return fits and named and incoming.topic[0] != "$" and lasts


def lasting(letter: Letter) -> bool:
    """Whether it does not expire while it is being carried."""
    command = letter.came
    at = command.expires_at if isinstance(command, Command) else None
    return at is None or at - letter.case.incoming.received_at >= timedelta(seconds=SAFE_S)


def own(chance: Chance, kind: str, name: str, args: dict[str, Any] | None = None, version: int | None = None) -> Case:
    """A valid command under an id of its own, to the device, with properties or without."""
    made: Draft = draft(chance)
    made.name, made.group, made.expiry_s, made.response_topic = name, None, None, None
    unique = f"{kind}-{chance.getrandbits(64):x}"
    made.correlation = chance.choice((None, unique.encode()))
    made.body = {"id": unique} | ({"args": args} if args else {}) | ({"if_version": version} if version else {})
    return Case(kind, made.incoming(), made.accepted())


def letters(seed: int, now: datetime, oracle: Oracle, outcomes: Outcomes) -> Iterator[Letter]:
    """Make commands without end, none of which begins something long; a pause is taken back, ids come again."""
    chance = Chance(seed)
    chance.now = now
    earlier: deque[Case] = deque(maxlen=400)
    for case in cases(sys.maxsize, seed, now):
        if not sendable(case.incoming):
            outcomes[case.kind, "not for a broker"] += 1
            continue
        letter = Letter.of(case)
        saves = isinstance(letter.came, Command) and letter.name in AT_ONCE
        if oracle.begins(letter) or not lasting(letter) or (saves and chance.random() < RARE):
            outcomes[case.kind, "left out"] += 1
            continue
        batch = [letter]
        if isinstance(letter.came, Command) and letter.named:
            earlier.append(replace(case, kind="repeated"))
            batch.append(Letter.of(chance.choice(earlier)))
        for each in batch:
            yield each
            if isinstance(each.came, Command) and (each.name == "pause" or each.came.args == SetPaused(paused=True)):
                yield Letter.of(own(chance, "resume", "resume"))


def ready(all_letters: Iterable[Letter]) -> list[tuple[Letter, Properties | None]]:
    """Have the properties made before the clock runs."""
    return [(letter, properties_of(letter.case.incoming)) for letter in all_letters]


def wanted(requested: Requested, args: dict[str, Any]) -> Requested:
    """What is asked for after a change of the device or of the hint."""
    return requested.model_copy(update=args if "device" in args else {"streams": None, "requests": None} | args)


def threads(process: Process) -> Counter[str]:
    """Names of the agent's threads."""
    tasks = Path(f"/proc/{process.popen.pid}/task")
    found: Counter[str] = Counter()
    for task in tasks.iterdir():
        with suppress(FileNotFoundError):
            found[(task / "comm").read_text().strip()] += 1
    return found


def meet(post: Post) -> Oracle:
    """Wait until the agent runs, and begin with what it says of itself."""
    info, state, frames = None, None, 0
    while info is None or state is None or state.status is not Status.RUNNING or frames < 5:
        message = post.hear()
        if message is None:
            raise ViolationError(f"the agent does not run after {ANSWER_S:g} s", state)
        match message.topic:
            case TOPICS.info:
                info = Info.decode(message.payload)
            case TOPICS.state:
                state = State.decode(message.payload)
            case TOPICS.keypoints:
                frames += 1
    return Oracle(info, state)


def converse(exchange: Exchange, count: int, seed: int) -> None:
    """Send the commands: nine tenths as fast as they are answered, the others beside changes."""
    # Another sequence than that of `letters`: the same ids twice would rightly get the same replies twice.
    oracle, chance = exchange.oracle, Chance(f"changes of {seed}")
    chance.now = datetime.now(UTC).replace(microsecond=0)
    source = letters(seed, chance.now, oracle, exchange.outcomes)
    changes = 2 * max(1, min(6, count // 1000))
    fast = ready(islice(source, count * 9 // 10))
    began_s = time.perf_counter()
    exchange.send(fast)
    took_s = time.perf_counter() - began_s
    quick = (letter for letter in source if not letter.waits)
    for number in range(changes):
        name, args = CHANGES[number % len(CHANGES)]
        case = own(chance, "change", name, args, version=chance.choice((None, oracle.version)))
        oracle.begin(change := Letter.of(case), wanted(oracle.requested, args))
        beside = islice(quick, (count - exchange.sent) // (changes - number))
        exchange.send(ready([change, Letter.of(case, again=True), *beside]))
        paused = [Letter.of(own(chance, name, name)) for name in ("pause", "resume")]
        exchange.send(ready([Letter.of(case), *paused]))
    exchange.send(ready([Letter.of(own(chance, "last question", "describe"))]))
    exchange.settle()
    say(f"{len(fast)} commands to the agent over a broker, {len(fast) / took_s:.0f} a second, replies included")
    say(f"{exchange.sent} commands in all; {changes} switches, version {oracle.version}, engine {oracle.engine}")
    done = Counter({"switch.started": changes, "switch.done": changes})
    _demand(exchange.switches == done, f"{changes} switches are due", exchange.switches)


def flood(count: int, seed: int) -> Outcomes:
    """Start a broker and an agent, send so many commands, and look at what is left of both. Raises ViolationError."""
    for name in ("movenet-multipose", "vtest"):
        fetch(catalogue.card(name), Store(models_dir()))
    with (
        tempfile.TemporaryDirectory() as folder,
        Broker(Path(folder), ["allow_anonymous true", "max_queued_messages 0"]) as broker,
        agent(
            broker.port,
            EDGEPOSE_DEVICE_ID=DEVICE,
            EDGEPOSE_GROUPS=json.dumps(GROUPS),
            EDGEPOSE_SWITCH__MEASURE_S="0.2",
            EDGEPOSE_PATHS__STATE=folder,
            EDGEPOSE_PATHS__CACHE=folder,
        ) as process,
    ):
        with Post(broker.port) as post:
            exchange = Exchange(post, meet(post), Counter())
            before = threads(process)
            converse(exchange, count, seed)
            look_at_threads(process, before)
        look_at_broker(broker.port)
        look_at_end(process, exchange.oracle, Path(folder) / f"{DEVICE}.json")
    return exchange.outcomes


def look_at_threads(process: Process, before: Counter[str]) -> None:
    """The same process has the threads it had, once those of the last switch have ended.

    OpenVINO's pool may have grown to the cores meanwhile: on a busy machine it is not full when it is first looked at.
    """
    deadline, most = time.monotonic() + ANSWER_S, sum(before.values()) + (os.cpu_count() or 1)
    while not (right := (after := threads(process)).keys() == before.keys() and sum(after.values()) <= most):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    _demand(right, f"threads {before} are due", after)


def look_at_broker(port: int) -> None:
    """Nothing is retained but what the agent says of itself."""
    with Listener(port) as listener:
        listener.wait_for(TOPICS.availability, ONLINE)
        publish(port, "the end", b"")
        listener.wait(lambda seen: seen.topic == "the end")
        kept = {seen.topic for seen in listener.messages} - {TOPICS.keypoints, "the end"}
    _demand({topic for topic in kept if not topic.startswith(ZONES)} <= OWN, "other things retained", kept)


def look_at_end(process: Process, oracle: Oracle, journal: Path) -> None:
    """It ends when it is told to, nothing went wrong on the way, and it would come back as it was asked to be."""
    process.signal(signal.SIGTERM)
    code = process.end()
    wrong = [entry for entry in process.log if entry["event"] in WRONG or entry["level"] in {"error", "critical"}]
    _demand(code == 0 and not wrong and "Traceback" not in process.plain_errors, f"exit code {code}", wrong)
    record = Journal(journal).load()
    _demand(record is not None, "nothing was kept", journal)
    assert record is not None
    kept = (record.version, record.settings.requested(), record.settings.paused)
    _demand(kept == (oracle.version, oracle.requested, False), "other things kept", record)
