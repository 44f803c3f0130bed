"""Thousands of commands through a broker to a link that answers each, and what became of the answers."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.config.tree import Mqtt
from agent.link import Link
from agent.wire.commands import Address, Incoming
from agent.wire.limits import Limits
from agent.wire.topics import Topics
from tests.broker import Broker, Listener
from tests.strict import StrictBroker

TOPICS: Final = Topics("edge-1")
REPLY: Final = TOPICS.reply("me")
LIMITS: Final = Limits(packet_bytes=400, in_flight=3)
UNANSWERED_MAX: Final = 400
"""A broker keeps so many for one client and no more: mosquitto a thousand."""
ANSWER_S: Final = 120.0


def through(folder: Path, commands: int, say: Callable[[str], None] = lambda _: None) -> float:
    """Replies that were lost or out of order, through mosquitto and through the strict broker."""
    wrong = 0
    for name, broker in (("mosquitto", Broker(folder)), ("the strict broker", StrictBroker(LIMITS))):
        began = time.monotonic()
        with broker:
            wrong += wrong_replies(broker.port, commands)
            if isinstance(broker, StrictBroker):
                assert not broker.offences, broker.offences
        say(f"{commands} commands through {name} in {time.monotonic() - began:.1f} s")
    return float(wrong)


def wrong_replies(port: int, commands: int) -> int:
    """Send the commands, no more of them unanswered than a broker keeps, and compare the replies with them."""
    answered = threading.Semaphore(UNANSWERED_MAX)

    def answer(incoming: Incoming) -> None:
        link.reply(Address(REPLY, None), incoming.payload)

    link = Link(Mqtt(host="127.0.0.1", port=port), TOPICS, on_command=answer)
    with Listener(port, REPLY) as listener, Listener(port, TOPICS.availability) as online, link:
        online.wait_count(1)
        heard = listener.client.on_message

        def hear(*told: object) -> None:
            assert heard is not None
            heard(*told)  # type: ignore[arg-type]
            answered.release()

        listener.client.on_message = hear
        for number in range(commands):
            assert answered.acquire(timeout=ANSWER_S), f"no answer after {number} commands"
            listener.client.publish(TOPICS.command("pause"), b"%d" % number)  # paho keeps to no limit of QoS 1
        listener.wait_count(commands, timeout_s=ANSWER_S)
        assert link.stats().reconnects == 0
    found = listener.payloads(REPLY)
    return sum(payload != b"%d" % number for number, payload in enumerate(found)) + abs(commands - len(found))
