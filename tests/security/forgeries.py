"""Commands that somebody made up, changed, kept or sent again, to a real agent that takes signed ones alone.

``python -m tests.security.forgeries --times 1000`` plays whoever runs the broker: reads every signed command, and may
publish anything on any topic. It prints how many of each kind were tried and obeyed, and exits with 1 where one was.
The agent is killed and stopped in between. After every round it must obey what is truly signed: it was not deaf.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from paho.mqtt.client import MQTTMessage

from agent.wire.commands import ErrorCode, Reply, ReplyStatus
from agent.wire.messages import rfc3339
from agent.wire.topics import Topics, group_command
from agent.wire.trust import Key, sign
from tests.broker import Broker, Listener
from tests.security.small import small
from tests.system.process import Process, agent

DEVICE: Final = Topics("demo")
KEY: Final = Key(b"5" * 64)
GROUP: Final = "gym"
REPLIES: Final = DEVICE.reply("forger")
TRUE_AT_FIRST: Final = 100
"""Signed commands of the first round: more than the agent keeps replies of, so that of the oldest nothing but the
sequence tells that they were obeyed."""
WAIT_S: Final = 60.0

Message = tuple[str, bytes]
"""Topic and payload."""


class Forger:
    """Makes commands up out of what he has seen go by."""

    def __init__(self, seed: int) -> None:
        self.seen: list[Message] = []
        self.wish = "pause"
        """What is not so already: were it obeyed, the version would grow."""
        self._chance = Random(seed)
        self._sequence = 1
        self._number = 0
        self.kinds: dict[str, Callable[[], Message]] = {
            "sent again": lambda: self._chance.choice([told for told in self.seen if told[0] == self._topic]),
            "for another device": lambda: self._signed(self._topic, at=Topics("other").command(self.wish)),
            "for a group": lambda: self._signed(self._topic, at=group_command(GROUP, self.wish)),
            "expired": lambda: self._signed(self._topic, good_s=-self._chance.randint(1, 1_000_000)),
            "not signed": lambda: (self._topic, self._body(60)),
            "with another key": lambda: self._signed(self._topic, key=Key(self._chance.randbytes(32))),
            "truncated": self._truncated,
            "changed": self._changed,
        }

    def true(self, name: str) -> tuple[str, Message]:
        """Sign a command as its owner does; returns its id too."""
        message = self._signed(DEVICE.command(name))
        self.seen.append(message)
        return json.loads(json.loads(message[1])["signed"])["id"], message

    @property
    def _topic(self) -> str:
        return DEVICE.command(self.wish)

    def _body(self, good_s: float) -> bytes:
        self._number += 1
        expires_at = rfc3339(datetime.now(UTC) + timedelta(seconds=good_s))
        return json.dumps({"id": f"{self._number}", "expires_at": expires_at, "reply_to": REPLIES}).encode()

    def _signed(self, topic: str, *, at: str = "", key: Key = KEY, good_s: float = 3600) -> Message:
        """A command that comes on ``topic`` and was signed for ``at``."""
        self._sequence += 1
        return topic, sign(key, at or topic, self._sequence, self._body(good_s))

    def _truncated(self) -> Message:
        topic, payload = self._signed(self._topic)
        return topic, payload[: self._chance.randrange(1, len(payload))]

    def _changed(self) -> Message:
        """Another byte somewhere, another sequence, or another command's topic."""
        topic, payload = self._signed(self._topic)
        match self._chance.randrange(3):
            case 0:
                place = self._chance.randrange(len(payload))
                return topic, payload[:place] + bytes([payload[place] ^ 1 << self._chance.randrange(7)]) + payload[
                    place + 1 :
                ]
            case 1:
                envelope = json.loads(payload)
                return topic, json.dumps(envelope | {"sequence": envelope["sequence"] + 1_000_000}).encode()
        other = "resume" if self.wish == "pause" else "pause"
        return self._topic, self._signed(DEVICE.command(other))[1]


class Siege:
    """An agent, and what comes of each kind of forgery."""

    def __init__(self, folder: Path, times: int, rounds: int) -> None:
        self.tried: Counter[str] = Counter()
        self.obeyed: Counter[str] = Counter()
        self._forger = Forger(times)
        self._times = times
        self._rounds = rounds
        keys = folder / "keys"
        keys.write_bytes(KEY.secret)
        self._variables = small(folder) | {
            "EDGEPOSE_COMMANDS__KEY_FILE": str(keys),
            "EDGEPOSE_GROUPS": json.dumps([GROUP]),
        }
        self._paused = False
        self._version = 0
        """Of the state, as the last reply told."""

    def run(self, port: int) -> None:
        """Besiege it, through its restarts."""
        for number in range(self._rounds):
            with ExitStack() as stack:
                listener = stack.enter_context(Listener(port, f"{DEVICE.prefix}/{DEVICE.device_id}/#"))
                process = stack.enter_context(agent(port, **self._variables))
                process.wait_log("engine.ready")
                process.wait_log("broker.connected")  # what was sent before would be refused by nobody
                for _ in range(TRUE_AT_FIRST if number == 0 else 0):
                    self._obeys(listener)
                # From here on nothing truly signed may come before the first forgery: its sequence would be the highest
                # again, whether or not that of before the restart was kept.
                first, last = (each * self._times // self._rounds for each in (number, number + 1))
                for kind in self._forger.kinds:
                    self._try(listener, kind, range(first, last))
                self._obeys(listener)
                _end(process, kill=number % 2 == 0)

    def _obeys(self, listener: Listener) -> None:
        """It does what is truly signed."""
        self._paused = not self._paused
        command_id, message = self._forger.true("pause" if self._paused else "resume")
        self._forger.wish = "resume" if self._paused else "pause"
        listener.client.publish(*message, 1)
        reply = _reply(listener, command_id)
        assert (reply.status, reply.result) == (ReplyStatus.SUCCEEDED, {"paused": self._paused}), reply
        self._version = reply.state_version

    def _try(self, listener: Listener, kind: str, numbers: range) -> None:
        """Send so many of a kind; where one was obeyed, the version of the state, asked for behind them, has grown."""
        for _ in numbers:
            listener.client.publish(*self._forger.kinds[kind](), 1)
        command_id, message = self._forger.true("describe")
        listener.client.publish(*message, 1)
        before, self._version = self._version, _reply(listener, command_id).state_version
        self.tried[kind] += len(numbers)
        self.obeyed[kind] += self._version - before


def _reply(listener: Listener, command_id: str) -> Reply:
    def answers(seen: MQTTMessage) -> bool:
        return seen.topic == REPLIES and f'"id":"{command_id}"'.encode() in seen.payload

    reply = Reply.decode(bytes(listener.wait(answers, timeout_s=WAIT_S).payload))
    assert reply.error is None or reply.error.code is not ErrorCode.UNTRUSTED, f"a forgery counted as signed: {reply}"
    return reply


def _end(process: Process, *, kill: bool) -> None:
    process.signal(signal.SIGKILL if kill else signal.SIGTERM)
    process.end()


def main() -> int:
    """Besiege an agent; 1 where a forgery was obeyed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000, help="forgeries of each kind (1000)")
    parser.add_argument("--rounds", type=int, default=5, help="starts of the agent; he keeps what he has heard (5)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        siege = Siege(folder, given.times, given.rounds)
        # A flood of one client must not be dropped by the broker: what never came was never refused.
        with Broker(folder, ["allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 0"]) as broker:
            siege.run(broker.port)
    for kind, tried in siege.tried.items():
        print(f"{kind:20} {siege.obeyed[kind]} of {tried} obeyed")
    print(f"the agent was started {given.rounds} times, and obeyed what was truly signed each time")
    return int(any(siege.obeyed.values()))


if __name__ == "__main__":
    sys.exit(main())
