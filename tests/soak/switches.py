"""Switches a real agent to and fro under a feed that loses nothing: ``make soak-switch``.

Two networks, every precision they have, and three device strings, in random order. Every few switches the agent is
brought back to where it began, where memory, threads and descriptors are counted. Prints what was promised and what was
measured; the exit code is 1 where they differ. With ``--stages`` it goes to and fro between a network of one stage and
one of two: ``make soak-stages``.
"""

import argparse
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from agent.control.journal import REPLIES_MAX
from agent.wire.commands import ReplyStatus
from agent.wire.messages import Keypoints
from agent.wire.topics import Topics
from tests.broker import Broker
from tests.commander import Commander
from tests.soak.footprint import Breath, Footprint
from tests.soak.networks import FIRST, one_and_two_stages, two_networks
from tests.system.process import Process, started

TOPICS: Final = Topics("demo")
DEVICES: Final = ("CPU", "SIMCPU", "HETERO:SIMCPU,CPU")
HOME: Final = {"model": FIRST, "precision": "FP32", "device": "CPU"}
ROUND: Final = 10
"""Switches between two visits home."""
SHORT_ROUND: Final = 6
WARM: Final = REPLIES_MAX
"""Switches after which the box remembers as many replies as it ever does; what it holds grows until then."""
SUMMARIES: Final = 2
"""With each the agent gives back what is free: so many are waited for while it is read what it holds."""
READ_S: Final = 0.05
SETTLED_S: Final = 30.0
"""On a busy machine an engine may take so long to be closed."""
GAPS_TOLD: Final = 8
PERIOD_MS: Final = 100.0
"""The clip plays at 10 frames a second."""
VARIABLES: Final = {
    "EDGEPOSE_CAMERA__LOSSLESS": "true",
    "EDGEPOSE_SWITCH__MEASURE_S": "0.2",
    "EDGEPOSE_METRICS__WINDOW_S": "0.5",
    # What a precision loses is judged elsewhere; here it is to run.
    "EDGEPOSE_SWITCH__MISSED_MAX": "1",
    "EDGEPOSE_SWITCH__OKS_MIN": "0",
}


@dataclass(slots=True)
class Findings:
    """What the run showed."""

    switches: int = 0
    faults: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    models: dict[int, str] = field(default_factory=dict)
    """Engine number to the network it runs."""
    settings: dict[int, str] = field(default_factory=dict)
    """Engine number to all that was asked for."""
    gaps: list[tuple[float, int]] = field(default_factory=list)
    """Milliseconds between neighbouring results, as they arrived, and the engine of the later one."""
    switch_gaps_ms: list[float] = field(default_factory=list)
    """As the replies tell them."""
    homes: list[tuple[int, Footprint]] = field(default_factory=list)
    """Footprints at home, by number of switches; of memory the least, with nothing free."""

    def judge(self, messages: list[tuple[float, Keypoints]]) -> None:
        """Look at every result that came."""
        for (before_s, before), (after_s, after) in itertools.pairwise(messages):
            self.gaps.append(((after_s - before_s) * 1e3, after.engine))
            if after.seq != before.seq + 1:
                self.faults.append(f"seq jumps from {before.seq} to {after.seq}")
            if after.engine not in {before.engine, before.engine + 1}:
                self.faults.append(f"engine jumps from {before.engine} to {after.engine} at seq {after.seq}")
        for _at, message in messages:
            if self.models.get(message.engine) != message.model:
                self.faults.append(f"seq {message.seq} says engine {message.engine} and {message.model}")

    def warm(self) -> list[tuple[int, Footprint]]:
        """The visits home whose memory is compared: not those of the first third, nor of the first WARM switches."""
        begin = max(WARM, self.switches / 3)
        return [(at, foot) for at, foot in self.homes if at >= begin]

    def more_than_before(self, foot: Footprint, visits: int | None = None) -> bool:
        """Whether it has more threads or descriptors than at any of the first so many visits home, of all by default.

        Fewer than at the first is no fault: on a busy machine the engine before may not have been closed by then.
        """
        before = [home for _, home in self.homes[:visits]]
        return any(foot.threads > home.threads or foot.descriptors > home.descriptors for home in before)

    def left_behind(self) -> list[int]:
        """The visits home, by number of switches, at which there were more threads or descriptors than before."""
        return [at for index, (at, foot) in enumerate(self.homes) if self.more_than_before(foot, index)]

    def growth_kb(self) -> float:
        """Kilobytes a switch, a line through the visits home after the warm-up."""
        if len(warm := self.warm()) < 3:
            return float("nan")
        return float(np.polyfit([at for at, _ in warm], [foot.rss_kb for _, foot in warm], 1)[0])


def soak(port: int, folder: Path, switches: int, seed: int, *, short: bool = False, stages: bool = False) -> Findings:
    """Switch so often; when ``short``, among what is compiled and computed in no time, and home more often.

    With ``stages`` between one network of one stage and one of two, and nothing else.
    """
    findings, chance = Findings(), random.Random(seed)
    models = folder / "models"
    networks = (one_and_two_stages if stages else two_networks)(models, short=short)
    variables = VARIABLES | {
        "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "128" if short else "256",
        "EDGEPOSE_PATHS__MODELS": str(models),
        "EDGEPOSE_PATHS__CACHE": str(folder / "cache"),
    }
    with Commander(port, TOPICS) as commander, started(port, **variables) as process:
        commander.wait(lambda seen: seen.topic == TOPICS.keypoints)
        findings.models[1], findings.settings[1] = FIRST, " ".join(HOME.values())
        current = dict(HOME)
        round_ = SHORT_ROUND if short else ROUND
        wishes = _to_and_fro(networks) if stages else _wishes(chance, current, networks, round_)
        for key, value in itertools.islice(wishes, switches):
            _switch(commander, findings, current, key, value)
            if current == HOME:
                least_kb = _least_kb(commander, process.popen.pid)
                foot = _settled(process.popen.pid, findings)
                findings.homes.append((findings.switches, replace(foot, rss_kb=least_kb)))
                held = f"{least_kb / 1024:.1f} MB, {foot.descriptors} descriptors, {foot.threads} threads"
                print(f"{findings.switches:5} of {switches} switches  {held}", flush=True)
        _end(process)
    heard = [
        (seen.timestamp, Keypoints.decode(bytes(seen.payload)))
        for seen in commander.messages
        if seen.topic == TOPICS.keypoints
    ]
    findings.judge(heard)
    return findings


def _wishes(
    chance: random.Random, current: dict[str, str], networks: Mapping[str, Sequence[str]], round_: int
) -> Iterator[tuple[str, str]]:
    """What to change next, and to what: at random among what can be had, and home again after so many."""
    while True:
        for _ in range(round_ - len(HOME)):
            able = [name for name, precisions in networks.items() if current["precision"] in precisions]
            choices = {"model": able, "precision": networks[current["model"]], "device": DEVICES}
            others = [(key, value) for key, values in choices.items() for value in values if value != current[key]]
            yield chance.choice(others)
        # The precision first: every network has FP32.
        for key in ("precision", "model", "device"):
            yield key, HOME[key]


def _to_and_fro(networks: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Away from home and back."""
    return (("model", name) for name in itertools.cycle(reversed(list(networks))))


def _switch(commander: Commander, findings: Findings, current: dict[str, str], key: str, value: str) -> None:
    current[key] = value
    findings.switches += 1
    findings.asked[f"{key} {value}"] += 1
    reply = commander.reply(commander.send(f"set-{key}", None, **{key: value}))
    if reply.status is not ReplyStatus.SUCCEEDED or reply.result is None:
        raise AssertionError(f"switch {findings.switches}, {key} {value}: {reply.status}, {reply.error}")
    effective = reply.result["effective"]
    assert isinstance(effective, dict)
    number = effective["engine"]
    assert isinstance(number, int)
    findings.models[number] = current["model"]
    findings.settings[number] = " ".join(current.values())
    if isinstance(gap := reply.result["gap_ms"], float):
        findings.switch_gaps_ms.append(gap)
    if lost := reply.result["frames_lost"]:
        findings.faults.append(f"switch {findings.switches} lost {lost} frames")


def _least_kb(commander: Commander, pid: int) -> int:
    """The least it holds while some summaries pass."""
    since_s = time.monotonic()
    breath = Breath(pid, round(SETTLED_S / READ_S))
    breath.read()
    while time.monotonic() < since_s + SETTLED_S:
        newer = itertools.takewhile(lambda seen: seen.timestamp > since_s, reversed(commander.messages))
        if sum(seen.topic == TOPICS.metrics for seen in newer) > SUMMARIES:
            break
        time.sleep(READ_S)
        breath.read()
    return round(breath.least_mb * 1024)


def _settled(pid: int, findings: Findings) -> Footprint:
    """What it holds, once that is no more than at home before, or will not become so."""
    foot, deadline = Footprint.of(pid), time.monotonic() + SETTLED_S
    while findings.more_than_before(foot) and time.monotonic() < deadline:
        time.sleep(0.1)
        foot = Footprint.of(pid)
    return foot


def _end(process: Process) -> None:
    process.popen.terminate()
    code = process.end()
    assert code == 0, f"the agent ended with {code}: {process.plain_errors}"


def report(findings: Findings, *, keeps_up: bool = True) -> list[str]:
    """Print promise and measurement; returns what was not kept.

    How long two results are apart is promised where every network ``keeps_up`` with the clip: two stages may not.
    """
    missed = [f"{len(findings.faults)} faults: {findings.faults[0]}"] if findings.faults else []
    feet = [foot for _, foot in findings.homes[len(findings.homes) // 3 :]]
    warm = findings.warm()
    print(f"switches                     {findings.switches}, results {len(findings.gaps) + 1}")
    print(f"                             {', '.join(f'{what} {n}x' for what, n in sorted(findings.asked.items()))}")
    print(f"holes, wrong engine numbers  {len(findings.faults)} (0 promised)")
    longest = max(findings.gaps)[0]
    promised = f"{2 * PERIOD_MS:.0f} promised" if keeps_up else "as long as the slower of them takes"
    print(f"longest gap of two results   {longest:.0f} ms ({promised})")
    for gap, engine in sorted(findings.gaps, reverse=True)[:GAPS_TOLD]:
        was, now = findings.settings.get(engine - 1, "-"), findings.settings[engine]
        print(f"                             {gap:.0f} ms before a result of {now}, engine {engine} (before it {was})")
    print(f"gap at a switch, median      {statistics.median(findings.switch_gaps_ms):.0f} ms")
    growth = findings.growth_kb()
    print(
        f"memory, {len(warm)} visits home     {growth:+.1f} kB a switch (20 promised), after {WARM} switches at least"
    )
    held = [f"{foot.rss_kb / 1024:.1f} MB after {at}" for at, foot in (findings.homes[0], *warm[:1], *warm[-1:])]
    print(f"                             {', '.join(held)}")
    print(f"threads                      {sorted({foot.threads for foot in feet})}")
    print(f"descriptors                  {sorted({foot.descriptors for foot in feet})}")
    if keeps_up and longest > 2 * PERIOD_MS:
        missed.append(f"a gap of {longest:.0f} ms")
    if not warm:
        missed.append(f"{findings.switches} switches are too few to tell of memory")
    if growth > 20:
        missed.append(f"memory grows by {growth:.1f} kB a switch")
    if left := findings.left_behind():
        missed.append(f"more threads or descriptors than before after {left} switches")
    figures = {"switches": findings.switches, "longest_gap_ms": longest, "growth_kb_per_switch": growth}
    print(json.dumps(figures | {"faults": len(findings.faults)}))
    return missed


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switches", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stages", action="store_true")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Broker(folder))
        missed = report(
            soak(broker.port, folder, given.switches, given.seed, stages=given.stages), keeps_up=not given.stages
        )
    for what in missed:
        print(f"NOT KEPT: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
