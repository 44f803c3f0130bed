"""Roll-outs over simulated boxes some of which fail, get slow or vanish; ``make test-rollout`` has two hundred.

A run that is killed at random moments and resumed ends as one that nobody disturbed.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.wire.messages import Metrics, Requested, State
from agent.wire.topics import Topics
from tests.broker import Broker, Listener
from tests.fleet.bench import QUEUED, boxes
from tests.fleet.boxes import name_of

ROOT: Final = Path(__file__).parents[2]
CONTROLLER: Final = Path(sys.executable).with_name("controller")
WAIT_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class Kinds:
    """Who does what, by number."""

    count: int
    fail: tuple[int, ...] = ()
    slow: tuple[int, ...] = ()
    vanish: tuple[int, ...] = ()

    def words(self) -> list[str]:
        """As the process of the boxes is told."""
        given = {"fail": self.fail, "slow": self.slow, "vanish": self.vanish}
        return [word for name, those in given.items() if those for word in (f"--{name}", *map(str, those))]

    def verdict(self, device: str) -> str:
        """What a roll-out has to make of a box it has reached."""
        number = int(device.rpartition("-")[2])
        kinds = (("failed", self.fail), ("slow", self.slow), ("vanished", self.vanish))
        return next((verdict for verdict, those in kinds if number in those), "good")


@contextmanager
def fleet(folder: Path, kinds: Kinds) -> Iterator[int]:
    """The boxes on a broker of their own, each with figures; the broker's port."""
    state = folder / "state"
    state.mkdir()
    with (
        Broker(folder, ("allow_anonymous true", QUEUED)) as broker,
        Listener(broker.port, "edgepose/+/metrics") as listener,
        boxes(broker.port, 0, kinds.count, state, "--window-s", "2", *kinds.words()),
    ):
        for number in range(kinds.count):
            topic = Topics(name_of(number)).metrics
            listener.wait(
                lambda seen, topic=topic: (  # type: ignore[misc]
                    seen.topic == topic and (Metrics.decode(bytes(seen.payload)).fps_mean or 0) > 5
                ),
                timeout_s=WAIT_S,
            )
        yield broker.port


def carry_out(
    port: int, words: Sequence[str | Path], kill_after: int | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """Run `controller rollout`; killed as soon as it has told so many steps. Its exit code, and what it told."""
    command = [CONTROLLER, "--broker", f"127.0.0.1:{port}", "rollout", *words, "--json"]
    told: list[dict[str, Any]] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        limit = threading.Timer(WAIT_S, process.kill)
        limit.start()
        assert process.stdout is not None
        for line in process.stdout:
            told.append(json.loads(line))
            if kill_after is not None and len(told) >= kill_after:
                process.kill()
                break
        process.wait()
        limit.cancel()
    return process.returncode, told


def ends(told: list[dict[str, Any]]) -> dict[str, tuple[str, str, str]]:
    """Of the last thing told: each box's verdict, whether it was taken back, and what it is left with."""
    last = told[-1]
    assert last["schema"] == "edgepose.rollout/1", last
    return {box["device_id"]: (box["verdict"], box["undo"], box["runs"]) for box in last["boxes"]}


def requests(port: int, count: int) -> dict[str, Requested]:
    """What is asked of each box now, as the broker keeps it."""
    with Listener(port, "edgepose/+/state") as listener:
        listener.wait_count(count)
        states = [State.decode(bytes(message.payload)) for message in list(listener.messages)]
    return {state.device_id: state.requested for state in states}


def precisions(port: int, count: int) -> dict[str, str]:
    """The precision that is asked of each box now."""
    return {device: requested.precision for device, requested in requests(port, count).items()}


def disturbed(
    port: int, words: Sequence[str | Path], file: Path, kills: Sequence[int]
) -> tuple[int, list[dict[str, Any]]]:
    """A roll-out that is killed after so many steps, each time it has begun anew, and resumed to its end.

    Returns how often it was killed before that, and what the last of them told.
    """
    killed = 1
    code, told = carry_out(port, [*words, "--state", file], kills[0])
    for steps in [*kills[1:], None]:
        assert code < 0, f"it was over before it was killed: {told[-1]}"
        assert file.exists(), "it was killed before it had begun"
        code, told = carry_out(port, ["--resume", file], steps)
        if code >= 0:
            break
        killed += 1
    return killed, told


def main() -> int:
    """Two hundred boxes, 5 % of them failing, 5 % slow and 2 % vanishing, killed again and again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--boxes", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--max-failures", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    numbers = chance.sample(range(2, given.boxes), given.boxes * 12 // 100)
    tenth, fifth = given.boxes * 5 // 100, given.boxes * 10 // 100
    kinds = Kinds(given.boxes, tuple(numbers[:tenth]), tuple(numbers[tenth:fifth]), tuple(numbers[fifth:]))
    words = ["gym-*", "set-precision", "INT8", "--canary", "2", "--batch", "20", "--soak", "6", "--timeout", "60"]
    words += ["--min-fps-ratio", "0.3", "--max-failures", str(given.max_failures)]
    found = []
    for kills in (0, given.kills):
        with tempfile.TemporaryDirectory(prefix="edgepose-rollout-") as name, fleet(Path(name), kinds) as port:
            file = Path(name) / "rollout.json"
            if not kills:
                killed, (_code, told) = 0, carry_out(port, [*words, "--state", file])
            else:
                killed, told = disturbed(port, words, file, [chance.randint(2, 14) for _ in range(kills)])
            found.append(ends(told))
            asked = precisions(port, given.boxes)
        wrong = [
            device
            for device, (_verdict, _undo, runs) in found[-1].items()
            if runs != "unknown" and asked[device] != {"new": "INT8", "old": "FP32"}[runs]
        ]
        counts = {key: list(found[-1].values()).count(key) for key in sorted(set(found[-1].values()))}
        print(f"killed {killed} times, phase {told[-1]['phase']}: {counts}; not as told: {wrong or 'none'}")
        if wrong:
            return 1
    print("the same end" if found[0] == found[1] else "ANOTHER END")
    return int(found[0] != found[1])


if __name__ == "__main__":
    sys.exit(main())
