"""An agent for hours, with a fault every minute: ``make soak HOURS=1``.

A real agent looks at a stream of people at 10 pictures a second, over a link that can be broken, and is sampled every
ten seconds. Writes `soak.csv`, `soak.png`, `soak.json` and the agent's log, prints what was promised and what was
measured; the exit code is 1 where a promise was not kept. Ctrl-C ends it with what there is.
"""

import argparse
import csv
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.soak.faults import FAULTS, Fault
from tests.soak.footprint import Breath
from tests.soak.picture import draw
from tests.soak.rig import Rig, rig
from tests.soak.verdict import Happened, Promise, Sample, Soak, judge, verdict, warm_up_s

PERIOD_S: Final = 60.0
"""From one fault to the next."""
HURRY: Final = 8
"""So many times as often in the warm-up: what the first two dozen engines leave in the heap belongs to it."""
READ_S: Final = 0.1
SAMPLE_S: Final = 10.0
WINDOW_S: Final = 10.0
"""Of the agent's metrics: a hundred pictures. A sample stands for one."""
START_S: Final = 60.0
LATE_S: Final = 30.0
"""Beyond its bound so long is waited for a recovery, to say how late it was."""
END_S: Final = 10.0
OUTAGE_S: Final = (2.0, 20.0)
FROZEN_S: Final = 10.0


class GoneError(Exception):
    """The agent has ended by itself."""


def soak(running: Rig, seconds: float, faults: Sequence[Fault] = FAULTS, *, period_s: float = PERIOD_S) -> Soak:
    """Let faults happen for so long, in turn, then end the agent. A KeyboardInterrupt ends it early."""
    assert running.ear.poses_since(datetime.now(UTC), START_S), f"no poses: {running.process.errors}"
    done = Soak(datetime.now(UTC), datetime.now(UTC))
    begin_s = time.monotonic()
    with suppress(KeyboardInterrupt, GoneError), _sampled(running, done) as breath:
        _go_wrong(running, done, breath, begin_s + warm_up_s(seconds), faults, period_s / HURRY)
        _go_wrong(running, done, breath, begin_s + seconds, faults, period_s)
        done.samples.append(sample(running, done, breath, quiet=True))
    end(running, done)
    return done


def end(running: Rig, done: Soak) -> None:
    """End the agent, and keep what it said until now."""
    done.end = datetime.now(UTC)
    done.asked_to_end = running.process.popen.poll() is None
    running.process.popen.terminate()
    with suppress(subprocess.TimeoutExpired):
        done.code = running.process.popen.wait(END_S)
    done.windows = [window for window in running.ear.windows if window.sent_at <= done.end]
    done.log = [line for line in running.process.log if datetime.fromisoformat(line["timestamp"]) <= done.end]
    done.plain = running.process.plain_errors.splitlines()


def _go_wrong(running: Rig, done: Soak, breath: Breath, end_s: float, faults: Sequence[Fault], period_s: float) -> None:
    due_s = time.monotonic() + period_s
    for fault in itertools.cycle(faults):
        # The last one is to be over at the end.
        if due_s + period_s / 2 > end_s:
            break
        _wait_until(due_s, running)
        done.samples.append(sample(running, done, breath, quiet=True))
        happen(running, done, fault)
        tell(done)
        # A fault that took long leaves time to settle before the next one.
        due_s = max(due_s + period_s, time.monotonic() + period_s / 4)
    _wait_until(end_s, running)


def happen(running: Rig, done: Soak, fault: Fault) -> None:
    """Let something go wrong, and wait for poses."""
    running.ear.forget()
    happened = Happened(fault.name, fault.bound_s, fault.explains, datetime.now(UTC))
    done.happened.append(happened)
    try:
        fault.do(running)
    except AssertionError as error:
        happened.wrong = str(error)[:500]
    happened.end = datetime.now(UTC)
    came = running.ear.poses_since(happened.end, fault.bound_s + LATE_S)
    happened.back_s = None if came is None else (came - happened.end).total_seconds()
    happened.over = True


def _wait_until(moment_s: float, running: Rig) -> None:
    """Raises :class:`GoneError` when the agent ends before."""
    with suppress(subprocess.TimeoutExpired):
        code = running.process.popen.wait(max(0.0, moment_s - time.monotonic()))
        raise GoneError(f"the agent ended with {code}")


@contextmanager
def _sampled(running: Rig, done: Soak) -> Iterator[Breath]:
    """Read what it holds all the while, and take a sample every so often, beside what the block does."""
    stop, breath = threading.Event(), Breath(running.process.popen.pid, round(WINDOW_S / READ_S))
    breath.read()

    def run() -> None:
        begin_s = time.monotonic()
        with suppress(OSError, KeyError):  # it has gone
            for number in itertools.count():
                if stop.wait(max(0.0, begin_s + number * READ_S - time.monotonic())):
                    break
                breath.read()
                if number % round(SAMPLE_S / READ_S) == 0:
                    done.samples.append(sample(running, done, breath))

    sampler = threading.Thread(target=run, name="sampler")
    sampler.start()
    try:
        yield breath
    finally:
        stop.set()
        sampler.join()


def sample(running: Rig, done: Soak, breath: Breath, *, quiet: bool = False) -> Sample:
    """What the agent holds and how it fares now."""
    now, foot = datetime.now(UTC), breath.now
    fault = next((fault.name for fault in reversed(done.happened) if not fault.over), "")
    fresh = now - timedelta(seconds=2 * WINDOW_S)
    window = next((window for window in running.ear.windows[-1:] if window.sent_at > fresh), None)
    return Sample(
        at=now,
        fault=fault,
        quiet=quiet,
        rss_mb=breath.rss_mb,
        anon_mb=breath.anon_mb,
        least_mb=breath.least_mb,
        descriptors=foot.descriptors,
        threads=foot.threads,
        fps=window.fps_mean if window else None,
        latency_ms_p50=window.latency_ms_p50 if window else None,
        latency_ms_p99=window.latency_ms_p99 if window else None,
        age_ms_p99=window.age_ms_p99 if window else None,
    )


def tell(done: Soak) -> None:
    """One line of the last fault, and of what the agent holds."""
    last, now = done.happened[-1], done.samples[-1]
    minute = (datetime.now(UTC) - done.begin).total_seconds() / 60
    back = "no poses" if last.back_s is None else f"back after {last.back_s:4.1f} s"
    rate = "-" if now.fps is None else f"{now.fps:.1f}"
    held = f"{now.rss_mb:.0f} MB, {now.descriptors} descriptors, {now.threads} threads, {rate} frames/s"
    print(f"{minute:6.1f} min  {last.name:20} {back}  {held} {last.wrong}".rstrip(), flush=True)


def write(done: Soak, promises: Sequence[Promise], folder: Path) -> None:
    """Write figures, verdict, picture and log."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "soak.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["seconds", *(each.name for each in fields(Sample) if each.name != "at")])
        for sample in sorted(done.samples, key=lambda sample: sample.at):
            row = asdict(sample) | {"quiet": int(sample.quiet)}
            rows.writerow([round((row.pop("at") - done.begin).total_seconds(), 1), *row.values()])
    (folder / "soak.json").write_text(json.dumps(verdict(done, promises), indent=2) + "\n", encoding="utf-8")
    (folder / "agent.log").write_text("\n".join([*map(json.dumps, done.log), *done.plain]) + "\n", encoding="utf-8")
    draw(done, folder / "soak.png")


def report(promises: Sequence[Promise]) -> None:
    """Print the table."""
    words = {True: "kept", False: "NOT KEPT", None: "cannot tell"}
    rows = [
        ("promise", "promised", "measured", ""),
        *((p.name, p.promised, p.measured, words[p.kept]) for p in promises),
    ]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, promised, measured, kept in rows:
        print(f"{name:{first}}  {promised:{second}}  {kept:11}  {measured}")


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--hours", type=float, default=1.0)
    length.add_argument("--minutes", type=float)
    parser.add_argument("--out", type=Path, default=Path(f"soak-{datetime.now():%Y%m%d-%H%M}"))
    parser.add_argument("--period", type=float, default=PERIOD_S, help="seconds from one fault to the next")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seconds = given.minutes * 60 if given.minutes else given.hours * 3600
    with rig(WINDOW_S, OUTAGE_S, FROZEN_S) as running:
        done = soak(running, seconds, period_s=given.period)
    promises = judge(done)
    write(done, promises, given.out)
    report(promises)
    print(f"written to {given.out}")
    return 1 if any(promise.kept is False for promise in promises) else 0


if __name__ == "__main__":
    sys.exit(main())
