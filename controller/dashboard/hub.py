"""What the page knows: one connection to the broker, kept for ever, and the newest of everything the boxes say.

A thread reads; the page's own thread takes what has changed since it looked last. Nothing in here grows with time: of a
summary ten minutes are kept, of events and jobs the last ones, of keypoints one message a box.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import JsonValue

from agent.wire.commands import Job
from agent.wire.messages import Event, Keypoints, MessageError, Metrics, ZoneMessage
from agent.wire.topics import Topics, every_device, parse
from agent.wire.trust import Key
from controller.client.address import Address
from controller.client.connection import Client, Received
from controller.client.fleet import Agent, Availability, Fleet
from controller.client.following import read_job
from controller.client.request import Outcome
from controller.client.request import command as ask
from controller.client.session import Session
from controller.errors import ControllerError

HISTORY_S: Final = 600.0
SUMMARIES_MAX: Final = 1200
EVENTS_MAX: Final = 100
JOBS_MAX: Final = 30
BOXES_MAX: Final = 500
"""More than anybody has: whoever may publish could make up any number of boxes."""
LEAVES: Final = ("availability", "info", "state", "metrics", "event", "job/+", "zone/+")
TURN_S: Final = 0.1
"""After so long it is looked whose keypoints are wanted."""
ANSWER_S: Final = 180.0
"""A switch compiles for two minutes at most, then it is measured."""


@dataclass(slots=True)
class Box:
    """One box: its newest messages, and what it said before."""

    agent: Agent
    history: deque[tuple[float, Metrics]] = field(default_factory=lambda: deque(maxlen=SUMMARIES_MAX))
    """Each with when it came, on the monotonic clock."""
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=EVENTS_MAX))
    """The newest last."""
    jobs: dict[str, Job] = field(default_factory=dict)
    zones: dict[str, ZoneMessage] = field(default_factory=dict)
    changed: int = 0
    """Grows with every message but keypoints."""

    @property
    def online(self) -> bool:
        """Whether it says so itself."""
        return self.agent.availability == "online"


class Hub:
    """The broker as the page sees it, as a context manager; entering starts the thread.

    A broker that cannot be had is no error: ``trouble`` says what it is, and it is tried again and again.
    """

    def __init__(self, address: Address, *, prefix: str, timeout_s: float, key: Key | None = None) -> None:
        self.trouble = "connecting"
        """Why there is no connection; empty while there is one."""
        self.boxes: dict[str, Box] = {}
        """Only grows, but for boxes whose availability was cleared; read it from any thread."""
        self._address = address
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._key = key
        self._fleet = Fleet(prefix, lambda _complaint: None)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._lookers: dict[str, list[Callable[[bytes], None]]] = {}
        self._attempts = 0
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)

    def __enter__(self) -> "Hub":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self._timeout_s + 1.0)

    @contextmanager
    def looking(self, device: str, take: Callable[[bytes], None]) -> Iterator[None]:
        """Have each keypoints message of a box, as it stands on the wire, from the hub's thread."""
        with self._lock:
            self._lookers.setdefault(device, []).append(take)
        try:
            yield
        finally:
            with self._lock:
                self._lookers[device].remove(take)
                if not self._lookers[device]:
                    del self._lookers[device]

    def command(self, device: str, command: str, args: Mapping[str, JsonValue]) -> Outcome:
        """Send a command on a connection of its own and wait for its reply. Raises :class:`ControllerError`."""
        with Session(self._address, prefix=self._prefix, timeout_s=self._timeout_s, key=self._key) as session:
            return ask(session, device, command, args, answer_s=ANSWER_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except ControllerError as error:
                self.trouble = f"{error}" + (f" ({error.hint})" if error.hint else "")
            self._attempts += 1
            self._stop.wait(min(8.0, 0.5 * 2 ** min(self._attempts, 4)))

    def _listen(self) -> None:
        with Client(self._address, timeout_s=self._timeout_s) as client:
            client.subscribe([every_device(leaf, self._prefix) for leaf in LEAVES], qos=1)
            self.trouble, self._attempts = "", 0
            heard: set[str] = set()
            while not self._stop.is_set():
                heard = self._follow_lookers(client, heard)
                for received in client.messages(time.monotonic() + TURN_S):
                    self._take(received)

    def _follow_lookers(self, client: Client, heard: set[str]) -> set[str]:
        with self._lock:
            wanted = set(self._lookers)
        topics = {device: Topics(device, self._prefix).keypoints for device in wanted | heard}
        if gone := heard - wanted:
            client.unsubscribe([topics[device] for device in sorted(gone)])
        if new := wanted - heard:
            client.subscribe([topics[device] for device in sorted(new)])
        return wanted

    def _take(self, received: Received) -> None:
        device, leaf = parse(received.topic, self._prefix) or ("", "")
        if not device or (device not in self.boxes and len(self.boxes) >= BOXES_MAX):
            return
        if not received.payload:
            self._cleared(device, leaf)
            return
        try:
            self._understand(device, leaf, received)
        except MessageError:
            return  # somebody publishes there what is no message of a box

    def _cleared(self, device: str, leaf: str) -> None:
        box = self.boxes.get(device)
        kind, _, name = leaf.partition("/")
        if box is None:
            return
        if leaf == "availability":
            del self.boxes[device]
            self._fleet.agents.pop(device, None)
        elif kind == "job":
            box.jobs.pop(name, None)
        elif kind == "zone":
            box.zones.pop(name, None)
        box.changed += 1

    def _understand(self, device: str, leaf: str, received: Received) -> None:
        kind, _, name = leaf.partition("/")
        if kind == "job":
            if (job := read_job(device, received.payload)) is not None:
                _keep(self._box(device).jobs, job.id, job, JOBS_MAX)
        elif kind == "zone":
            _keep(self._box(device).zones, name, ZoneMessage.decode(received.payload), JOBS_MAX)
        else:
            message = self._fleet.take(received)
            if message is None:
                return
            if isinstance(message, Keypoints):
                self._show(device, received.payload)
                return
            self._remember(self._box(device), message)
        self._box(device).changed += 1

    def _remember(self, box: Box, message: object) -> None:
        now = time.monotonic()
        match message:
            case Event():
                box.events.append(message)
            case Metrics() if not box.history or box.history[-1][1].sent_at != message.sent_at:
                box.history.append((now, message))
                while box.history[0][0] < now - HISTORY_S:
                    box.history.popleft()
            case Availability(availability="offline"):
                box.zones.clear()  # nobody is there after the box died

    def _box(self, device: str) -> Box:
        agent = self._fleet.agents.setdefault(device, Agent(device))
        return self.boxes.setdefault(device, Box(agent))

    def _show(self, device: str, payload: bytes) -> None:
        with self._lock:
            lookers = tuple(self._lookers.get(device, ()))
        for take in lookers:
            take(payload)


def _keep(known: dict[str, Any], name: str, value: object, most: int) -> None:
    """Put in the newest; the one that was put in first gives way where there are too many."""
    known.pop(name, None)
    known[name] = value
    while len(known) > most:
        del known[next(iter(known))]
