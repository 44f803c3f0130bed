"""An RTSP camera that is cut, stalled, restarted and changed at random: ``make soak-cameras``.

After each fault the time until a picture of the present comes is measured; threads, descriptors and memory of the
process are looked at throughout.
"""

import argparse
import gc
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Final

import psutil

from agent.capture import Source
from tests.cameras.rtsp import RtspCamera, made_s
from tests.capture.helpers import Listener, opened

FAULTS: Final = ("cut", "stall", "hang", "size")
SIZES: Final = ("640 352", "320 192", "960 544")
BACK_S: Final = 5.0


@dataclass(slots=True)
class Cuts:
    """What the faults showed."""

    back_s: list[float] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    descriptors: list[int] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


def run(rounds: int, seed: int, codec: str) -> Cuts:
    """Break the camera so many times."""
    chance, cuts, process = random.Random(seed), Cuts(), psutil.Process()
    with RtspCamera() as camera, opened(Listener(), source=camera.url(codec)) as source:
        _back(source, time.monotonic())
        for turn in range(rounds):
            fault = chance.choice(FAULTS)
            if fault == "cut":
                camera.kill()
                time.sleep(chance.uniform(0, 1))  # how long it is away is the fault
                camera.start()
            elif fault == "size":
                camera.order(f"size {chance.choice(SIZES)}")
            else:
                camera.stop() if fault == "hang" else camera.order("stall")
                time.sleep(chance.uniform(0, 3))
                camera.go_on() if fault == "hang" else camera.order("run")
            cuts.back_s.append(_back(source, time.monotonic()))
            cuts.threads.add(sum(thread.name == "capture" for thread in threading.enumerate()))
            if turn >= rounds // 4 and turn % 5 == 0:
                gc.collect()
                cuts.descriptors.append(process.num_fds())
                cuts.rss_mb.append(process.memory_info().rss / 1e6)
    return cuts


def _back(source: Source, since_s: float) -> float:
    """Seconds until a picture comes that was made after this moment."""
    while time.monotonic() - since_s < 60:
        frame = source.read(1)
        if frame is not None and made_s(frame.image) > since_s:
            return time.monotonic() - since_s
    raise AssertionError("no picture came for a minute")


def main() -> int:
    """Print promise and measurement; 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--codec", default="h264")
    given = parser.parse_args()
    cuts = run(given.rounds, given.seed, given.codec)
    half = len(cuts.rss_mb) // 2
    growth_mb = max(cuts.rss_mb[half:]) - max(cuts.rss_mb[:half])
    print(
        f"{len(cuts.back_s)} faults of {given.codec}; back after at most {max(cuts.back_s):.1f} s ({BACK_S:g} promised)"
    )
    print(f"capture threads {sorted(cuts.threads)}, descriptors {min(cuts.descriptors)} to {max(cuts.descriptors)}")
    print(f"memory {cuts.rss_mb[0]:.0f} MB, then {cuts.rss_mb[-1]:.0f} MB; {growth_mb:+.1f} MB in the second half")
    kept = max(cuts.back_s) <= BACK_S and cuts.threads == {1} and growth_mb < 5
    return int(not kept or max(cuts.descriptors) - min(cuts.descriptors) > 3)


if __name__ == "__main__":
    sys.exit(main())
