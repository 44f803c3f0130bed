"""The thread that keeps the agent connected, and what the other parts call.

It connects, serves and reconnects for ever. Every connection is a :class:`Session` with a paho client of its own, so
nothing paho queued for a dead connection can overtake what is newer. What must survive a lost connection waits in the
:class:`Outbox`.
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

import structlog
from tenacity.wait import wait_base, wait_none

from agent.config.tree import Mqtt
from agent.errors import LinkError
from agent.link.learned import Learned
from agent.link.outbox import Dropped, Letter, News, Outbox
from agent.link.session import Session, Will, acknowledged
from agent.link.twin import Twin
from agent.policies import RECONNECT_AFTER_FAULT, RECONNECT_BROKER, RECONNECT_TAKEN_OVER, pause_s
from agent.wire import broker
from agent.wire.broker import BrokerError
from agent.wire.commands import ARGS, Address, Incoming, Reply
from agent.wire.limits import Limits
from agent.wire.messages import OFFLINE, ONLINE, MessageError, State
from agent.wire.strings import place
from agent.wire.topics import Topics

log = structlog.get_logger()

FAREWELL_S: Final = 1.0
CLOSE_TIMEOUT_S: Final = 1.4
"""Longer than the farewell; a thread that hangs in connect is left behind."""
LOOK_S: Final = 2.0
"""How long the broker is waited for to say what it keeps of our state."""
TAKEN_OVER_CAUSES: Final = {broker.refused(broker.TAKEN_OVER).cause, broker.thrown_out().cause}
ENDED_AGAIN: Final = broker.ended_again().cause
LETTERS_IN_FLIGHT_MAX: Final = 10
"""With the retained topics well below the 20 unacknowledged messages mosquitto allows."""
DENIED_MAX: Final = 100
"""Topics that are told: whoever commands names reply topics, as many as he likes."""


@dataclass(frozen=True, slots=True)
class LinkStats:
    """Running totals since the link was made."""

    connected: bool
    superseded: int
    letters_dropped: int
    """Events and replies."""
    reconnects: int
    outages: int
    """Connections that were lost."""


class Link:
    """The agent's side of the broker, as a context manager: entering starts it, leaving says goodbye.

    No method blocks on the network, and a missing broker is no error. ``on_command`` is handed, from the link's own
    thread, every command to the device or to one of its groups and what comes on ``listen``, nothing of it checked and
    no more of its payload than shows that it is too large; it must return at once. Without it nothing is subscribed.
    ``on_state`` is told from the same thread when the connection comes (True) and goes (False); ``on_trouble``, once,
    when another client came with our id, and what the broker does not take, once for each topic and limit. ``instance``
    is what our states carry, to tell them from those of another agent under our id. Raises :class:`LinkError` when the
    TLS or password files named in the configuration cannot be used.
    """

    def __init__(  # noqa: PLR0913 - each of the callbacks can be left out
        self,
        mqtt: Mqtt,
        topics: Topics,
        *,
        groups: Sequence[str] = (),
        on_command: Callable[[Incoming], None] | None = None,
        on_state: Callable[[bool], None] | None = None,
        on_trouble: Callable[[BrokerError | Dropped], None] | None = None,
        instance: str = "",
        listen: Sequence[str] = (),
    ) -> None:
        self._mqtt = mqtt
        self._configured_keepalive_s = mqtt.keepalive_s
        self._topics = topics
        self._keypoints_topic = topics.keypoints
        self._on_command = on_command
        self._on_state = on_state
        self._on_trouble = on_trouble
        self._instance = instance
        self._filters = [*topics.command_filters(groups), *listen] if on_command else []
        # A fixed id makes the broker drop our half-open predecessor at once; later its will would overwrite `online`.
        self._client_id = f"{topics.prefix}-{topics.device_id}"
        self._address = place(mqtt.host, mqtt.port)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._woken = False
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._session: Session | None = None
        self._outbox = Outbox()
        self._outbox.announce(News(topics.availability, ONLINE))
        self._connects = 0
        self._connected_s: float | None = None
        self._learned = Learned()
        self._refused = Limits()
        """What has been learned, and what the broker refused the last will for."""
        self._state_said = False
        self._twin = Twin(mqtt, self._another_speaks)
        self._told: set[str] = set()
        self._denied: set[str] = set()
        self._dropped: set[tuple[str, int | None]] = set()
        try:
            self._new_session()
        except BrokerError as error:
            self.close()
            raise LinkError(error.cause, hint=error.cure) from error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def announce(self, leaf_topic: str, payload: bytes, expiry_s: int | None = None) -> None:
        """Publish retained with QoS 1, now and after every reconnect; only the newest payload of a topic counts.

        An empty payload clears the topic at the broker, whereupon it is forgotten. With ``expiry_s`` the broker forgets
        what no newer payload has replaced by then.
        """
        with self._lock:
            self._outbox.announce(News(leaf_topic, payload, expiry_s))
        self._wake()

    def event(self, payload: bytes) -> None:
        """Publish with QoS 1, not retained; kept while offline, the oldest dropped when there are too many."""
        self._post(Letter(self._topics.event, payload))

    def reply(self, address: Address, payload: bytes) -> None:
        """Publish to whoever commanded, in the manner of :meth:`event`."""
        self._post(Letter(address.topic, payload, address.correlation))

    def _post(self, letter: Letter) -> None:
        with self._lock:
            self._outbox.post(letter)
        self._wake()

    def keypoints(self, payload: bytes) -> None:
        """Publish with QoS 0, latest wins: what cannot leave at once waits alone and is replaced by the next one.

        The socket is written in the caller's thread: half the price of waking the link's thread for it.
        """
        with self._lock:
            session = self._session
            if session is None:
                return
            if session.client.want_write():
                self._outbox.keypoints(payload)
                return
            if self._outbox.keypoints_fit(self._keypoints_topic, payload):
                session.keypoints(self._keypoints_topic, payload)
            finished = session.alive and not session.client.want_write()
        if not finished:
            self._wake()

    def keeps(self, topic: str) -> bool:
        """Whether something is announced on a topic, its clearing included until the broker has acknowledged that."""
        with self._lock:
            return self._outbox.keeps(topic)

    def stats(self) -> LinkStats:
        """Return the running totals."""
        with self._lock:
            return LinkStats(
                connected=self._session is not None,
                superseded=self._outbox.superseded,
                letters_dropped=self._outbox.letters_dropped,
                reconnects=max(0, self._connects - 1),
                outages=self._connects - (self._session is not None),
            )

    @property
    def alive(self) -> bool:
        """Whether its thread lives: without it nothing is heard or said, whatever the broker does."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Publish a retained `offline` and leave; takes at most 1.5 s, whatever the broker does."""
        self._stop.set()
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_TIMEOUT_S)
        self._wake_in.close()
        self._wake_out.close()

    def _wake(self) -> None:
        if self._woken:  # and it has not looked for what is new since
            return
        self._woken = True
        with suppress(OSError):  # full: it wakes anyway; closed: nobody is left to wake
            self._wake_out.send(b"\0")

    def _new_session(self) -> Session:
        return Session(
            self._mqtt,
            self._client_id,
            self._lock,
            self._wake_in,
            self._filters,
            names=tuple(ARGS),
            will=Will(self._topics.availability, OFFLINE, min(1, self._refused.qos), self._refused.retains),
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                policy = self._attempt()
            except Exception:
                policy = RECONNECT_AFTER_FAULT
                log.exception("link.crashed", broker=self._address)
            self._stop.wait(pause_s(policy))

    def _attempt(self) -> wait_base:
        """One connection, from its beginning to its end; how to wait for the next."""
        self._connected_s = None
        try:
            served = self._connect_and_serve()
        except BrokerError as error:
            return self._lost(error)
        return RECONNECT_BROKER if served else wait_none()

    def _lost(self, error: BrokerError) -> wait_base:
        if self._takes_us_without(error):
            return wait_none()
        cause = error if self._connected_s is None else self._twin.judge(error, time.monotonic() - self._connected_s)
        self._tell(cause)
        if cause.cause == ENDED_AGAIN and self._mqtt.keepalive_s == self._configured_keepalive_s:
            # It may be the longest that the broker allows, which one that allows it does not announce.
            self._asks_for_less(Limits(keepalive_s=self._configured_keepalive_s))
        return RECONNECT_TAKEN_OVER if cause.code == broker.TAKEN_OVER else RECONNECT_BROKER

    def _takes_us_without(self, error: BrokerError) -> bool:
        """Whether the broker refused us for a will it does not take, and would take us without."""
        if self._connected_s is not None:
            return False
        known, self._refused = self._refused, self._refused.without(error.code, 0)
        return self._refused != known

    def _connect_and_serve(self) -> bool:
        """Whether we were there; not where it is better to connect anew at once."""
        session = self._new_session()
        graceful = served = False
        try:
            session.open(self._stop)
            if self._asks_for_less(session.announced_limits):
                graceful = True
            else:
                served = True
                self._adopt(session)
                graceful = self._serve(session)
        finally:
            self._abandon(session, graceful=graceful)
        if not graceful:
            raise session.end or broker.refused(broker.BROKEN)
        return served

    def _adopt(self, session: Session) -> None:
        with self._lock:
            self._session = session
            self._connects += 1
            session.limits = session.announced_limits.within(self._refused)
            self._outbox.connected(session.limits)
        self._refused = self._learned.limits  # a will may be taken the next time
        self._connected_s = time.monotonic()
        self._state_said = False
        self._told &= TAKEN_OVER_CAUSES  # they come again with every connection
        limited = {"limits": ", ".join(words)} if (words := session.limits.words()) else {}
        log.info("broker.connected", broker=self._address, reconnects=self._connects - 1, **limited)
        if self._on_state is not None:
            self._on_state(True)

    def _asks_for_less(self, limits: Limits) -> bool:
        """Whether the next connection asks for a shorter keep-alive time than this one."""
        less_s = limits.keepalive_to_ask(known_s := self._mqtt.keepalive_s)
        self._mqtt = self._mqtt.model_copy(update={"keepalive_s": less_s})
        return less_s < known_s

    def _another_speaks(self) -> bool:
        """Whether the broker keeps a state of another agent under our id, although ours had arrived there.

        Asked under another client id: whoever has ours must not lose its connection to this.
        """
        if not self._state_said or not self._instance:
            return False
        session = Session(self._mqtt, f"{self._client_id}-look", threading.Lock(), self._wake_in, (self._topics.state,))
        try:
            session.open(self._stop)
            deadline = time.monotonic() + LOOK_S
            while session.alive and not self._stop.is_set() and time.monotonic() < deadline:
                session.turn(0.1)
                while session.arrived:
                    if self._is_another(session.arrived.popleft().payload):
                        return True
        except BrokerError:
            return False
        finally:
            session.close(graceful=True)
        return False

    def _is_another(self, payload: bytes) -> bool:
        try:
            instance = State.decode(payload).instance
        except MessageError:
            return False
        return instance is not None and instance != self._instance

    def _serve(self, session: Session) -> bool:
        """Serve until the connection ends (False), or until we are told to stop and all has arrived (True)."""
        while session.alive and not self._stop.is_set():
            self._forget(session)
            self._hand_over(session)
            session.turn(session.limits.turn_s)
            self._deliver(session)
        return self._stop.is_set() and self._say_goodbye(session)

    def _forget(self, session: Session) -> None:
        """Try again what the broker once ended a connection for, when that is long ago."""
        if self._learned.fades():
            self._refused = Limits()
            with self._lock:
                session.limits = session.announced_limits
                self._outbox.connected(session.limits)

    def _say_goodbye(self, session: Session) -> bool:
        # `offline` is the last word. Said beside the rest it would overtake what waits for an acknowledgement.
        deadline, said = time.monotonic() + FAREWELL_S, False
        while session.alive and (left_s := deadline - time.monotonic()) > 0:
            if not self._hand_over(session):
                session.turn(left_s)
            elif said:
                return True
            else:
                self.announce(self._topics.availability, OFFLINE)
                said = True
        return False

    def _hand_over(self, session: Session) -> bool:
        """Give paho what waits; true when nothing waits and everything has been acknowledged."""
        self._woken = False
        with self._lock:
            self._settle(session)
            while self._fill(session) and not session.limits.qos:  # what nobody acknowledges is gone as it leaves
                self._settle(session)
            if not session.client.want_write() and (newest := self._outbox.take_keypoints()) is not None:
                topic = self._keypoints_topic
                if self._outbox.keypoints_fit(topic, newest):
                    session.keypoints(topic, newest)
            self._settle(session)
            dropped = self._take_dropped(session)
            done = session.settled and self._outbox.empty
        for each in dropped:
            self._tell_dropped(each)
        self._warn_denied(session)
        return done

    def _fill(self, session: Session) -> bool:
        """Put what waits under way as far as there is room; whether anything was."""
        # In turns: where only one may be under way, neither many topics nor many letters keep the others waiting.
        filled, going = False, True
        while going:
            going = False
            if session.room and (news := self._outbox.take_announcement(busy=session.announced)) is not None:
                session.announce(news)
                going = True
            if (
                session.room
                and len(session.letters) < LETTERS_IN_FLIGHT_MAX
                and (letter := self._outbox.take_letter()) is not None
            ):
                session.post(letter)
                going = True
            filled |= going
        return filled

    def _settle(self, session: Session) -> None:
        for topic in session.settle():
            self._state_said |= topic == self._topics.state
            self._outbox.said(topic)

    def _take_dropped(self, session: Session) -> list[Dropped]:
        """What cannot go, taken out of the outbox; in its place a short reply for whoever waits for one."""
        for letter in session.refused:
            self._outbox.give_up(letter, None)
        session.refused.clear()
        dropped = list(self._outbox.dropped)
        self._outbox.dropped.clear()
        for each in dropped:
            if each.letter is not None and (short := shortened(each)) is not None:
                self._outbox.post(short)
        return dropped

    def _tell_dropped(self, dropped: Dropped) -> None:
        """Once for each topic and limit: what is dropped again would be told again."""
        key = (dropped.topic, dropped.limit_bytes)
        if key in self._dropped or len(self._dropped) >= DENIED_MAX:
            return
        self._dropped.add(key)
        if self._on_trouble is not None:
            self._on_trouble(dropped)

    def _deliver(self, session: Session) -> None:
        while session.arrived and self._on_command is not None:
            incoming = session.arrived.popleft()
            try:
                self._on_command(incoming)
            except Exception:
                # A retained command comes again with every connection: giving this one up would repeat the fault.
                log.exception("command.crashed", topic=incoming.topic)

    def _abandon(self, session: Session, *, graceful: bool) -> None:
        with self._lock:
            was_connected = self._session is session
            self._session = None
            session.close(graceful=graceful)
            session.settle()
            if was_connected and session.end is not None:
                self._learned.learn(session.end.code, session.suspect_bytes)
                self._refused = self._learned.limits
            self._outbox.disconnected([letter for letter, sent in session.letters if not acknowledged(sent)])
        if was_connected and self._on_state is not None:
            self._on_state(False)

    def _tell(self, error: BrokerError) -> None:
        """Log each cause once per outage, not at every attempt."""
        if error.cause not in self._told and not self._stop.is_set():
            self._told.add(error.cause)
            log.warning("broker.lost", broker=self._address, cause=error.cause, cure=error.cure)
            if error.code == broker.TAKEN_OVER and self._on_trouble is not None:
                self._on_trouble(error)

    def _warn_denied(self, session: Session) -> None:
        for topic, cure in session.denied:
            if topic not in self._denied and len(self._denied) < DENIED_MAX:
                self._denied.add(topic)
                log.warning("broker.denied", topic=topic, cure=cure)
        session.denied.clear()


def shortened(dropped: Dropped) -> Letter | None:
    """The reply that goes in place of one that cannot; None where it was no reply, or already short."""
    letter = dropped.letter
    assert letter is not None
    try:
        reply = Reply.decode(letter.payload)
    except MessageError:
        return None
    short = reply.shortened(dropped.packet_bytes, dropped.limit_bytes)
    return None if short is None else Letter(letter.topic, short.encode(), letter.correlation)
