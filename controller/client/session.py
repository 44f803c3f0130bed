"""One visit to the broker: connect, and read what the agents have said."""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Self

from agent.wire.messages import Event, Keypoints, Message
from agent.wire.topics import DEFAULT_PREFIX, Topics, every_device
from agent.wire.trust import Key
from controller.client.address import Address
from controller.client.connection import Client, Received
from controller.client.fleet import Agent, Availability, Fleet
from controller.errors import BrokerUnreachableError, NoAnswerError
from controller.interrupt import end_if_asked

LISTED: Final = ("availability", "info", "state", "metrics")
AGAIN_S: Final = 1.0
"""Pause before another attempt."""
WATCHED: Final = ("state", "metrics", "event", "keypoints")


class Session:
    """A context manager; entering connects. Raises :class:`ControllerError`.

    ``timeout_s`` is how long to wait for the broker, and then for an answer. ``complain`` is told, in one line each,
    what cannot be understood.
    """

    def __init__(
        self,
        address: Address,
        *,
        prefix: str = DEFAULT_PREFIX,
        timeout_s: float = 5.0,
        key: Key | None = None,
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.complain = complain
        self.prefix = prefix
        self.timeout_s = timeout_s
        self.key = key
        """None where commands are not signed."""
        self.client = Client(address, timeout_s=timeout_s)
        self._address = address
        self.fleet = Fleet(prefix, complain)
        self._told = False

    def __enter__(self) -> Self:
        self.client.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.__exit__()

    def snapshot(
        self, topics: list[str], *, enough: Callable[[Fleet], bool] = lambda _: False, device: str | None = None
    ) -> Fleet:
        """Return the retained messages of the topics; ends early when there is ``enough``.

        Where the broker retains nothing, whoever speaks before the time is over is online; ``device`` is the one that
        matters.
        """
        if self.client.limits.retains:
            self.client.subscribe(topics)
            heard = self.client.retained(self.timeout_s)
        else:
            self._tell_that_nothing_is_retained()
            self.fleet.by_voice = True
            voices = [f"{self.prefix}/{device or '+'}/{leaf}" for leaf in ("metrics", "keypoints")]
            self.client.subscribe([*dict.fromkeys([*topics, *voices])])
            heard = self.client.messages(self.deadline())
        for received in heard:
            self.fleet.take(received)
            if enough(self.fleet):
                break
        return self.fleet

    def _tell_that_nothing_is_retained(self) -> None:
        if not self._told:
            self._told = True
            self.complain("this broker keeps no retained messages: seen is only who speaks at this moment")

    def all_agents(self) -> list[Agent]:
        """Return every agent of the prefix, by id."""
        fleet = self.snapshot([every_device(leaf, self.prefix) for leaf in LISTED])
        return sorted(fleet.agents.values(), key=lambda agent: agent.device_id)

    def find(self, device: str) -> Agent:
        """Return a device by its id, with its availability. Raises :class:`NoAnswerError` when it is unknown."""
        everybody = [self.of_every("availability", device)]
        return self.snapshot(everybody, enough=lambda fleet: device in fleet.agents, device=device).require(device)

    def of_every(self, leaf: str, device: str) -> str:
        """Name a leaf of every device; of ``device`` alone where the broker takes no wildcards."""
        wildcards = self.client.limits.wildcards
        return every_device(leaf, self.prefix) if wildcards else f"{self.prefix}/{device}/{leaf}"

    def one_agent(self, device: str, *leaves: str) -> Agent:
        """Return a device with the leaves wanted, the first of which it must have; waits for that one.

        Raises :class:`NoAnswerError` when the device is unknown or silent.
        """

        def complete(fleet: Fleet) -> bool:
            agent = fleet.agents.get(device)
            return agent is not None and all(getattr(agent, leaf) for leaf in ("availability", *leaves))

        agent = self.snapshot(self._topics(device, *leaves), enough=complete, device=device).require(device)
        live = self.client.messages(self.deadline())
        while getattr(agent, leaves[0]) is None and (received := next(live, None)) is not None:
            self.fleet.take(received)
        if getattr(agent, leaves[0]) is None:
            raise NoAnswerError(
                f"{device} is {agent.availability or 'silent'} and has not published its {leaves[0]} "
                f"within {self.timeout_s:g} s",
                hint="look at the agent's log, or wait longer with --timeout",
            )
        return agent

    def watch(self, device: str, *, seconds: float | None) -> tuple[Agent, Iterator[Availability | Message]]:
        """Return the device, and its messages as they come, which keep it up to date; for ever without ``seconds``.

        What the device has retained comes first. Raises :class:`NoAnswerError` when it is unknown.
        """
        deadline = time.monotonic() + (math.inf if seconds is None else seconds)
        topics = self._topics(device, *WATCHED)
        agent = self.snapshot(topics, enough=self._spoke(device), device=device).require(device)
        availability = Availability(device, agent.availability) if agent.availability else None
        known = [message for message in (availability, agent.state, agent.metrics) if message is not None]
        return agent, itertools.chain(known, self._live(device, self.follow(topics, deadline, subscribed=True)))

    def watch_several(
        self, wanted: Callable[[str], bool], *, seconds: float | None
    ) -> Iterator[Availability | Message]:
        """Yield the messages of those devices as they come, which keep the fleet up to date.

        What they have retained comes first; for ever without ``seconds``.
        """
        deadline = time.monotonic() + (math.inf if seconds is None else seconds)
        heard = self.follow([every_device(leaf, self.prefix) for leaf in ("availability", *WATCHED)], deadline)

        def messages() -> Iterator[Availability | Message]:
            for received in heard:
                message = self.fleet.take(received)
                if message is not None and wanted(message.device_id):
                    yield message

        return messages()

    def events(self, *, seconds: float | None, device: str | None = None) -> Iterator[Event]:
        """Subscribe to what happens on every device of the prefix, and yield it; for ever without ``seconds``.

        ``device`` is the one that matters.
        """
        topic = every_device("event", self.prefix) if device is None else self.of_every("event", device)
        deadline = time.monotonic() + (math.inf if seconds is None else seconds)
        heard = self.follow([topic], deadline, qos=1)

        def happenings() -> Iterator[Event]:
            for received in heard:
                if isinstance(message := self.fleet.take(received), Event):
                    yield message

        return happenings()

    def keypoints(self, device: str, *, seconds: float | None) -> tuple[Agent, Iterator[bytes]]:
        """Return the device, and its keypoints messages as they stand on the wire; for ever without ``seconds``.

        Raises :class:`NoAnswerError` when it is unknown.
        """
        agent = self.find(device)
        deadline = time.monotonic() + (math.inf if seconds is None else seconds)
        heard = self.follow([Topics(device, self.prefix).keypoints], deadline)

        def payloads() -> Iterator[bytes]:
            for received in heard:
                if isinstance(self.fleet.take(received), Keypoints):
                    yield received.payload

        return agent, payloads()

    def follow(
        self, topics: Sequence[str], deadline: float, *, qos: int = 0, subscribed: bool = False
    ) -> Iterator[Received]:
        """Subscribe, unless that is done, and return messages as they come, until ``deadline`` on the monotonic clock.

        When the connection ends it connects again, however long that takes, and says from when to when nothing was
        heard.
        """
        if not subscribed:
            self.client.subscribe(topics, qos=qos)

        def heard() -> Iterator[Received]:
            while time.monotonic() < deadline:
                try:
                    yield from self.client.messages(deadline)
                except BrokerUnreachableError as error:
                    self._come_back(error, topics, deadline, qos)

        return heard()

    def _come_back(self, error: BrokerUnreachableError, topics: Sequence[str], deadline: float, qos: int) -> None:
        """Connect and subscribe again, or try to until ``deadline``."""
        lost_at, told = datetime.now().astimezone(), set[str]()
        self.client.__exit__()
        while (left_s := deadline - time.monotonic()) > 0:
            if str(error) not in told:
                told.add(str(error))
                self.complain(f"{error}; trying again until it is back")
            time.sleep(min(left_s, AGAIN_S))
            end_if_asked()
            try:
                self.client = Client(self._address, timeout_s=self.timeout_s)
                self.client.__enter__()
                self.client.subscribe(topics, qos=qos)
            except BrokerUnreachableError as again:
                error = again
                continue
            now = datetime.now().astimezone()
            self.complain(f"the broker is back; what was said from {lost_at:%H:%M:%S} to {now:%H:%M:%S} is missed")
            return

    def _live(self, device: str, heard: Iterator[Received]) -> Iterator[Availability | Message]:
        for received in heard:
            message = self.fleet.take(received)
            if message is not None and message.device_id == device:
                yield message

    def _spoke(self, device: str) -> Callable[[Fleet], bool]:
        """Enough of a device that nothing is retained of: there is no more to come of the past."""
        return lambda fleet: fleet.by_voice and device in fleet.agents

    def _topics(self, device: str, *leaves: str) -> list[str]:
        # Everybody's availability: it names the others when the device is unknown.
        topics = Topics(device, self.prefix)
        return [self.of_every("availability", device), *(str(getattr(topics, leaf)) for leaf in leaves)]

    def deadline(self) -> float:
        """Return when an answer that is asked for now is overdue, on the monotonic clock."""
        return time.monotonic() + self.timeout_s


def as_json(message: Availability | Message) -> dict[str, Any]:
    """Return a message as JSON values, as it stood on the wire."""
    if isinstance(message, Availability):
        known = {"device_id": message.device_id, "availability": message.availability}
        return {"schema": "edgepose.availability/1", **known}
    return message.model_dump(mode="json", by_alias=True)
