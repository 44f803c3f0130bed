"""Where the processor time of a frame goes: ``make flame``.

The pipeline of ``make bench``. First a table: the processor time of the thread that does it, part by part, which counts
no waiting and hardly depends on what else the machine does. Then what does not depend on it at all: how many functions
each thread calls for a frame. Then a flame graph by py-spy, which is installed for it
once and is no dependency; it samples, and takes a thread that waits for a processor for one that has it.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import venv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from agent.capture.inline import InlineSource
from agent.inference.devices import open_core
from agent.inference.engine import Engine, Slot
from agent.link import Link
from agent.pipeline import Pipeline
from agent.poses.movenet import MoveNetDecoder
from agent.poses.skeleton import Poses
from models.shelf.store import Store, models_dir
from tests.benchmarks import run as runs
from tests.benchmarks.bench import engine_of
from tests.broker import Broker
from tests.tools import RigError, kept, run

WANTED: Final = "py-spy>=0.4,<0.5"
PARTS: Final = (
    (InlineSource, "read"),
    (Engine, "acquire"),
    (Slot, "take"),
    (Slot, "start"),
    (Slot, "wait"),
    (MoveNetDecoder, "decode"),
    (Poses, "within"),
    (runs, "encode_keypoints"),
    (Link, "keypoints"),
    (Engine, "release"),
)
"""The way of a frame; nothing of it is inside another part."""


@contextmanager
def bench(clip: Path) -> Iterator[Callable[[float], runs.Run]]:
    """How to run the pipeline for so many seconds, as often as wanted."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Broker(Path(folder)) as broker,
        engine_of(open_core({}), Store(models_dir()), "FP32", "throughput") as engine,
    ):
        yield lambda seconds: runs.pipeline_run(engine, clip, broker.port, seconds)


def calls(run_for: Callable[[float], runs.Run], seconds: float) -> None:
    """Print how many functions each thread calls for a frame: of Python, and of what is written in C."""
    counts: Counter[tuple[str, str]] = Counter()
    frames = 0

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal frames
        frames += event == "call" and frame.f_code is Pipeline._finish_one.__code__
        counts[threading.current_thread().name, event] += 1

    threading.setprofile(count)
    try:
        run_for(seconds)
    finally:
        threading.setprofile(None)
    for thread in ("feeder", "finisher", "link"):
        python, compiled = (counts[thread, event] / frames for event in ("call", "c_call"))
        print(f"{thread:28} {python:7.1f} functions of Python a frame, {compiled:.1f} of C")


def table(run_for: Callable[[float], runs.Run], seconds: float) -> None:
    """Print what each part takes, and what no part does."""
    costs: defaultdict[str, list[float]] = defaultdict(list)
    for owner, name in PARTS:
        known = f"{getattr(owner, '__name__', '').rpartition('.')[2]}.{name}"
        setattr(owner, name, runs.watched(getattr(owner, name), costs[known]))
    found = run_for(seconds)
    frames = len(costs["MoveNetDecoder.decode"])
    told = 0.0
    for name, costs_s in costs.items():
        mean = sum(costs_s) / frames * 1e3
        told += mean
        print(f"{name:28} {mean:7.3f} ms a frame, median call {statistics.median(costs_s) * 1e3:.3f}")
    print(f"{'the rest of our threads':28} {found.own_cpu_ms - told:7.3f}")
    print(
        f"{'all of our threads':28} {found.own_cpu_ms:7.3f}, {frames} frames, {found.persons_mean:.1f} people in each"
    )


def flame(child: list[str], out: Path) -> None:
    """Write a flame graph of a run. Raises RigError where py-spy cannot be had."""
    program = kept("py-spy", WANTED.encode() + sys.version.encode(), _install) / "bin" / "py-spy"
    subprocess.run([program, "record", "--rate", "200", "--threads", "-o", out, "--", *child], check=True)


def _install(folder: Path) -> None:
    venv.create(folder, with_pip=True)
    run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WANTED], "py-spy")


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clip", type=Path, default=Store(models_dir()).clip("vtest"))
    parser.add_argument("--out", type=Path, default=Path("flame.svg"), help="where the flame graph goes")
    parser.add_argument("--table", action="store_true", help="no flame graph")
    arguments = parser.parse_args()
    with bench(arguments.clip) as run_for:
        calls(run_for, arguments.seconds / 4)
        table(run_for, arguments.seconds)
    if arguments.table:
        return 0
    child = [sys.executable, "-m", "tests.benchmarks.flame", "--table", "--seconds", str(arguments.seconds)]
    try:
        flame([*child, "--clip", str(arguments.clip)], arguments.out)
    except (RigError, subprocess.CalledProcessError) as problem:
        print(f"no flame graph: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
