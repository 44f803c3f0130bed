"""What a switch costs, while the agent runs at the clip's own pace: ``make bench-switch``.

Between the CPU and the CPU under its second name, on a real broker. Nothing here passes or fails. Each figure is the
median of the rounds, with its spread; the last line is one JSON object of the medians.
"""

import argparse
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent.wire.commands import ReplyStatus
from agent.wire.messages import Keypoints
from agent.wire.topics import Topics
from tests.benchmarks.bench import report
from tests.broker import Broker
from tests.commander import Commander
from tests.system.process import started

TOPICS: Final = Topics("demo")
MEASURE_S: Final = 1.0
QUIET_S: Final = 5.0
"""How long the engine in use is watched before each switch."""
LEGS: Final = (("cold", "SIMCPU"), ("cold", "CPU"), ("warm", "SIMCPU"), ("warm", "CPU"))
"""The first two compile, the others find in the cache what those left there."""


def rounds(commander: Commander, cache: Path, count: int) -> Iterator[dict[str, float]]:
    """Figures of each switch, by name."""
    for _ in range(count):
        shutil.rmtree(cache, ignore_errors=True)
        for leg, device in LEGS:
            began_s = time.monotonic()
            commander.wait(lambda seen, after=began_s + QUIET_S: _is_result(seen) and seen.timestamp > after)  # type: ignore[misc]
            yield _switch(commander, leg, device)


def _switch(commander: Commander, leg: str, device: str) -> dict[str, float]:
    sent_s = time.monotonic()
    reply = commander.reply(commander.send("set-device", device=device))
    replied_s = time.monotonic()
    assert reply.status is ReplyStatus.SUCCEEDED, reply.error
    assert reply.result is not None
    result: dict[str, Any] = reply.result
    assert result["effective"]["from_cache"] == (leg == "warm"), f"{device}: not {leg}"
    engine = result["effective"]["engine"]
    before = _ages(commander, sent_s - QUIET_S, sent_s, engine - 1)
    during = _ages(commander, sent_s, replied_s, engine - 1)
    return {
        f"reply {leg}, s": replied_s - sent_s,
        "gap, ms": result["gap_ms"],
        f"longest gap {leg}, ms": _longest_gap_ms(commander, sent_s, replied_s),
        f"compile {leg}, ms": result["compile_ms"],
        "p99 during over before": float(np.percentile(during, 99) / np.percentile(before, 99)),
        "p50 during over before": float(np.percentile(during, 50) / np.percentile(before, 50)),
    }


def _is_result(seen: Any) -> bool:
    return bool(seen.topic == TOPICS.keypoints)


def _longest_gap_ms(commander: Commander, since_s: float, until_s: float) -> float:
    """Between two neighbouring results, from the command to its reply, by the agent's clock."""
    found = [seen for seen in list(commander.messages) if _is_result(seen) and since_s <= seen.timestamp <= until_s]
    sent = [Keypoints.decode(bytes(seen.payload)).sent_at for seen in found]
    return max((after - before).total_seconds() for before, after in itertools.pairwise(sent)) * 1e3


def _ages(commander: Commander, since_s: float, until_s: float, engine: int) -> list[float]:
    """Milliseconds from capture to publish of the results of one engine."""
    found = [seen for seen in list(commander.messages) if _is_result(seen) and since_s <= seen.timestamp <= until_s]
    results = [Keypoints.decode(bytes(seen.payload)) for seen in found]
    return [result.age_ms for result in results if result.engine == engine]


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    count: int = parser.parse_args().rounds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Broker(folder))
        commander = stack.enter_context(Commander(broker.port, TOPICS))
        variables = {
            "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "512",
            "EDGEPOSE_PATHS__CACHE": str(folder / "cache"),
            "EDGEPOSE_SWITCH__MEASURE_S": str(MEASURE_S),
        }
        stack.enter_context(started(broker.port, **variables))
        commander.wait(_is_result)
        figures: dict[str, list[float]] = {}
        for found in rounds(commander, folder / "cache", count):
            for name, value in found.items():
                figures.setdefault(name, []).append(value)
    medians = {name: round(report(name, values), 3) for name, values in figures.items()}
    print(
        f"A reply comes after measuring the new engine for {MEASURE_S:g} s (switch.measure_s). Latency is from capture"
    )
    print("to publish, of the engine in use while the other is built and tried, over the 5 s before.")
    print("The longest gap is between any two results from the command to its reply; the clip has one every 100 ms.")
    print(json.dumps(medians | {"median_reply_s": statistics.median(figures["reply warm, s"])}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
