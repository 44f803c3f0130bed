"""The agent as a process: memory, start; the controller's import."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from agent.wire.topics import Topics
from controller.client.address import Address
from controller.client.connection import Client

ROOT = Path(__file__).parents[2]
DEVICE = "bench"
SETTLE_S = 30
"""Memory grows until every code path has run and every pool has its size."""


@contextmanager
def agent(port: int, **options: str) -> Iterator[subprocess.Popen[bytes]]:
    """``agent run`` on the demo's configuration."""
    environment = os.environ | {"EDGEPOSE_MQTT__PORT": str(port), "EDGEPOSE_DEVICE_ID": DEVICE} | options
    command = [sys.executable, "-m", "agent", "run", "--config", str(ROOT / "configs" / "demo.toml")]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def start_seconds(port: int, rounds: int) -> list[float]:
    """From the start of the process to its first keypoints on the broker, caches warm."""
    topic = Topics(DEVICE).keypoints
    times = []
    for attempt in range(rounds + 1):
        with Client(Address("127.0.0.1", port), timeout_s=5) as client:
            client.subscribe([topic])
            began = time.monotonic()
            with agent(port):
                next(client.messages(began + 120))
                elapsed = time.monotonic() - began
        if attempt:  # the first one fills the cache
            times.append(elapsed)
    return times


def resident_mb(port: int, seconds: float) -> float:
    """Highest resident memory of the agent at full speed, once settled; prints its slope."""
    readings: list[tuple[float, float]] = []
    with agent(port, EDGEPOSE_CAMERA__PACE="fast", EDGEPOSE_CAMERA__LOSSLESS="true") as process:
        began = time.monotonic()
        watched = psutil.Process(process.pid)
        while time.monotonic() - began < seconds + SETTLE_S:
            time.sleep(1)
            readings.append((time.monotonic() - began, watched.memory_info().rss / 2**20))
    settled = np.array([reading for reading in readings if reading[0] > SETTLE_S])
    slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0]) * 60
    highest = float(settled[:, 1].max())
    print(f"{'resident memory':34} {highest:8.1f} MB    slope {slope:+.2f} MB/min over {seconds:.0f} s")
    return highest


def cli_import_seconds(rounds: int) -> list[float]:
    """Import of the controller's command line in a fresh interpreter."""
    code = "import time; began = time.perf_counter(); import controller.cli; print(time.perf_counter() - began)"
    run = [sys.executable, "-c", code]
    return [float(subprocess.run(run, capture_output=True, check=True, cwd=ROOT).stdout) for _ in range(rounds)]
