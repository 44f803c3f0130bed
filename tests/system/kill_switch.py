"""Kills -9 a real agent at a random moment around a command, again and again, and looks at what it is afterwards.

``python -m tests.system.kill_switch --times 200`` prints the counts. After every kill

- the file holds the settings of before, at their version, or those of after, at the next one with their reply;
- the restarted agent runs in them and says so;
- whoever asked and got no answer gets one, be it by asking again under the same id;
- an id that is asked again is answered with the same bytes, and nothing is done twice.

The first violation ends it with exit code 1.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from agent.control.journal import Journal, Record, reply_to
from agent.control.settings import SAID, Settings
from agent.wire.commands import Reply, ReplyStatus
from agent.wire.messages import OFFLINE, Event, State, Status
from agent.wire.topics import Topics
from agent.wire.zones import Zone
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.broker import Broker, Listener
from tests.system.process import Process, agent

TOPICS: Final = Topics("demo")
REPLIES: Final = TOPICS.reply("killer")
CHOICES: Final = {
    "set-device": ("device", ("CPU", "SIMCPU")),
    "set-precision": ("precision", ("FP32", "FP16")),
    "set-hint": ("hint", ("latency", "throughput")),
    "set-zones": ("zones", ({}, {"hall": Zone(polygon=((0.25, 0.25), (0.75, 0.25), (0.75, 0.75)))})),
}
ANSWER_S: Final = 60.0
LOOK_S: Final = 0.0002
"""A save takes some milliseconds: so often it is looked whether it is there, and the agent gets the processor."""
LOG_LINES: Final = 20
EARLY_S: Final = 0.2
"""A kill comes at most so long before the command is sent."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A command, and what it asks for."""

    id: str
    name: str
    args: dict[str, Any]
    old: Settings
    new: Settings

    def payload(self, command_id: str | None = None) -> bytes:
        body = {"id": command_id or self.id, "reply_to": REPLIES, "args": self.args}
        return json.dumps(body).encode()


class Rig:
    """An agent on its broker, to be killed; a context manager."""

    def __init__(self, folder: Path, port: int, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._port = port
        self._journal = Journal(folder / "state" / "demo.json")
        self._variables = {
            "EDGEPOSE_PATHS__STATE": str(folder / "state"),
            "EDGEPOSE_PATHS__CACHE": str(folder / "cache"),
            "EDGEPOSE_SWITCH__MEASURE_S": "0.2",
            "EDGEPOSE_SWITCH__GOOD_AFTER_S": "3600",
        }
        self._settings = Settings(model="movenet-multipose", device="CPU", precision="FP32")
        self._version = 0
        self._typical_s = 1.0
        """How long the last answer took."""
        self._process: Process | None = None
        self._heard: Listener | None = None
        self._began = datetime.now(UTC)

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.__exit__(kind, error, trace)

    def log(self) -> str:
        """The end of what the agent of the last start had to say."""
        lines = self._process.errors[-LOG_LINES:] if self._process is not None else []
        return "\n".join(["the agent's log:", *lines, ""])

    @property
    def heard(self) -> Listener:
        assert self._heard is not None
        return self._heard

    def once(self, number: int) -> None:
        """Ask for something, kill, look, start again, look again."""
        ask = self._ask(number)
        with Listener(self._port, f"{TOPICS.prefix}/{TOPICS.device_id}/#") as self._heard:
            how = self._kill_around(ask)
            self.heard.wait_for(TOPICS.availability, OFFLINE)  # all it said has been heard
            record = self._journal.load()
            assert record is not None, "there is no record"
            found = self._judge(record, ask)
            self.counts[f"{found}, killed {how}"] += 1
            self._start()
            self._ask_again(record, ask, found)

    def _ask(self, number: int) -> Ask:
        name = self._chance.choice(list(CHOICES))
        key, values = CHOICES[name]
        value = next(value for value in values if value != getattr(self._settings, key))
        said = tuple(dict.fromkeys((*self._settings.said, *({key} & set(SAID)))))
        new = self._settings.model_copy(update={key: value, "said": said})
        args = {key: new.model_dump(mode="json").get(key, {})}
        return Ask(f"kill-{number}", name, args, self._settings, new)

    def _start(self) -> None:
        self._began = datetime.now(UTC)
        self._process = agent(self._port, **self._variables)
        self._process.__enter__()
        with Listener(self._port, TOPICS.state) as listener:
            listener.wait(lambda seen: _runs(State.decode(bytes(seen.payload)), self._began), timeout_s=ANSWER_S)

    def _send(self, ask: Ask, command_id: str | None = None) -> None:
        self.heard.client.publish(TOPICS.command(ask.name), ask.payload(command_id), 1)

    def _kill(self) -> None:
        assert self._process is not None
        self._process.signal(signal.SIGKILL)
        self._process.__exit__(None, None, None)
        self._process = None

    def _kill_around(self, ask: Ask) -> str:
        """Send the command and kill the agent, in whatever order; returns in words what was waited for."""
        how = self._chance.choice(["at any moment", "at any moment", "around a save", "after the reply"])
        if how == "at any moment":
            delay_s = self._chance.uniform(-EARLY_S, 1.5 * self._typical_s)
            if delay_s < 0:
                self._kill()
                time.sleep(-delay_s)
                self._send(ask)
            else:
                self._send(ask)
                time.sleep(delay_s)  # nothing to wait for: the moment is random
                self._kill()
            return how
        if how == "around a save":
            saved = self._saves(self._chance.choice([1, 2]), early=self._chance.random() < 0.5)
            self._send(ask)
            saved()
            time.sleep(self._chance.choice([0, self._chance.uniform(0, 0.01)]))
        else:
            began = time.monotonic()
            self._send(ask)
            self._wait_replies(ask.id, 1)
            self._typical_s = time.monotonic() - began
            time.sleep(self._chance.uniform(0, 0.1))
        self._kill()
        return how

    def _saves(self, number: int, *, early: bool) -> Callable[[], None]:
        """Wait for this save from now on: for its beginning, when ``early``, or for its end."""
        path = self._journal.path
        aside = path.with_name(f".{path.name}.new")
        known = _inode(path)

        def wait() -> None:
            nonlocal known
            left, deadline = number, time.monotonic() + ANSWER_S
            while left and time.monotonic() < deadline:
                if early and left == 1 and aside.exists():
                    return
                if (now := _inode(path)) != known:
                    known, left = now, left - 1
                time.sleep(LOOK_S)
            assert left == 0, f"save {number} did not come"

        return wait

    def _judge(self, record: Record, ask: Ask) -> str:
        """Old or new, never neither."""
        others = sorted(path.name for path in self._journal.path.parent.iterdir() if path != self._journal.path)
        assert not others, f"files were left: {others}"
        stored, seen = reply_to(record, ask.id), self._replies(ask.id)
        told = f"version {record.version} after {self._version}, {record.settings}, reply {stored}, seen {seen}"
        if (record.version, record.settings) == (self._version + 1, ask.new):
            assert stored is not None, f"new without its reply: {told}"
            assert record.attempt is None, f"new with an attempt: {record.attempt}"
            reply = Reply.decode(stored.encode())
            assert (reply.status, reply.state_version) == (ReplyStatus.SUCCEEDED, record.version), f"it is told {told}"
            assert seen in ([], [stored.encode()]), f"another reply was kept: {told}"
            return "new, reply seen" if seen else "new, reply not seen"
        assert (record.version, record.settings) == (self._version, ask.old), f"neither: {told}"
        assert (stored, seen) == (None, []), f"old with a reply: {told}"
        if record.attempt is None:
            return "old, not begun"
        assert record.attempt.id == ask.id, f"{record.attempt} is no attempt at {ask}"
        return "old, begun"

    def _ask_again(self, record: Record, ask: Ask, found: str) -> None:
        """The same id is answered, with the same bytes each time, and done once at most."""
        self._wait_runs(record.settings, record.version)
        if found == "old, begun":
            told = self._wait_replies(ask.id, 1)
            status = Reply.decode(told[0]).status
            assert status is ReplyStatus.FAILED, f"the orphan is told {status}"
        many = len(self._replies(ask.id))
        self._send(ask)
        first = self._wait_replies(ask.id, many + 1)
        if found == "old, not begun":
            status = Reply.decode(first[-1]).status
            assert status is ReplyStatus.SUCCEEDED, f"asked again, it is {first[-1]!r}"
        elif found == "new, reply not seen":
            assert first == [str(reply_to(record, ask.id)).encode()], f"another reply than the stored: {first}"
        version = record.version + (found == "old, not begun")
        engine = self._engine()
        self._send(ask)
        again = self._wait_replies(ask.id, many + 2)
        assert len(set(again)) == 1, f"replies differ: {again}"
        if found == "old, begun":
            self._send(ask, f"{ask.id}-again")
            (reply,) = self._wait_replies(f"{ask.id}-again", 1)
            assert Reply.decode(reply).status is ReplyStatus.SUCCEEDED, f"asked anew, it is {reply!r}"
            version += 1
        else:
            self._ask_jobs(ask)
            assert self._engine() == engine, f"the engine was replaced by a repeated id: {engine}"
        assert self._begun(ask.id) <= 1, f"{ask.id} was begun {self._begun(ask.id)} times"
        self._wait_runs(ask.new, version)
        self._settings, self._version = ask.new, version

    def _ask_jobs(self, ask: Ask) -> None:
        """A question whose answer comes after whatever came before it."""
        body = json.dumps({"id": f"{ask.id}-jobs", "reply_to": REPLIES}).encode()
        self.heard.client.publish(TOPICS.command("jobs"), body, 1)
        self._wait_replies(f"{ask.id}-jobs", 1)

    def _replies(self, command_id: str) -> list[bytes]:
        return [payload for payload in self.heard.payloads(REPLIES) if json.loads(payload)["id"] == command_id]

    def _wait_replies(self, command_id: str, count: int) -> list[bytes]:
        self.heard.wait(lambda _: len(self._replies(command_id)) >= count, timeout_s=ANSWER_S)
        found = self._replies(command_id)
        assert len(found) == count, f"{len(found)} replies where {count} are due: {found}"
        return found

    def _begun(self, command_id: str) -> int:
        events = [Event.decode(payload) for payload in self.heard.payloads(TOPICS.event)]
        return sum(event.code == "switch.started" and event.facts.get("id") == command_id for event in events)

    def _state(self) -> State:
        return State.decode(self.heard.payloads(TOPICS.state)[-1])

    def _engine(self) -> int | None:
        effective = self._state().effective
        return effective.engine if effective else None

    def _wait_runs(self, settings: Settings, version: int) -> None:
        """Wait until the state is that the agent, as it is since the last start, runs in these settings."""
        wanted = (version, settings.requested())

        def says() -> bool:
            state = self._state()
            return _runs(state, self._began) and (state.version, state.requested) == wanted

        self.heard.wait(lambda _: says(), timeout_s=ANSWER_S)


def _inode(path: Path) -> tuple[int, int]:
    """What tells a file from the one that had its name before."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def _runs(state: State, since: datetime) -> bool:
    """Whether it runs, and said so since then."""
    return state.sent_at >= since and state.status is Status.RUNNING


def main() -> int:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in ("movenet-multipose", "vtest"):
        fetch(catalogue.card(name), Store(models_dir()))
    done, violation = 0, ""
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
        rig = Rig(Path(folder), broker.port, options.seed)
        try:
            with rig:
                for number in range(options.times):
                    rig.once(number)
                    done += 1
        except AssertionError as error:
            violation = f"violation at kill {done + 1}: {error}\n{rig.log()}"
    counts = "".join(f"{count:5} {name}\n" for name, count in sorted(rig.counts.items()))
    sys.stdout.write(f"{done} kills\n{counts}{violation}")
    return 1 if violation else 0


if __name__ == "__main__":
    sys.exit(main())
