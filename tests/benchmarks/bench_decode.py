"""What decoding a frame costs, everything between the network's outputs and poses: ``make bench-decode``.

Outputs are drawn for known people; OpenPose's also with white noise, rougher than any network's, which makes as many
false joints as the decoder takes. One thread; median and 95th percentile of many calls.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.decoders import Decoder
from agent.poses.movenet import MoveNetDecoder
from agent.poses.openpose import JOINTS, OpenPoseDecoder
from agent.poses.skeleton import Poses
from tests.poses.movenet_heads import draw_heads
from tests.poses.openpose_fields import STANDING, draw_fields

PEOPLE = (1, 8, 20)
HEIGHT, WIDTH = 368, 432
MOVENET_SIZE = 256
SCORE_MIN = 0.05
Maps = tuple[NDArray[np.float32], ...]


def corners_of(people: int, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places side by side: (N, 2) corners and the size (2,) of each, pixels."""
    columns = int(np.ceil(np.sqrt(people * 1.5)))
    rows = int(np.ceil(people / columns))
    size = np.array((width / columns, height / rows))
    return np.array([(index % columns, index // columns) for index in range(people)]) * size, size


def movenet(people: int) -> tuple[Decoder, Maps, Letterbox]:
    """Heads of 256x256."""
    random = np.random.default_rng(people)
    corners, size = corners_of(people, MOVENET_SIZE, MOVENET_SIZE)
    drawn = (corners[:, None] + random.random((people, 17, 2)) * size * 0.95).astype(np.float32)
    heads = draw_heads(drawn, np.ones((people, 17), bool), MOVENET_SIZE, MOVENET_SIZE)
    decoder = MoveNetDecoder(person_score_min=SCORE_MIN, persons_max=people)
    return decoder, heads, Letterbox.fit((0, 0, 768, 768), (MOVENET_SIZE, MOVENET_SIZE))


def openpose(people: int, noise: float) -> tuple[Decoder, Maps, Letterbox]:
    """Heatmaps and fields of 368x432, with normal noise."""
    random = np.random.default_rng(people)
    corners, size = corners_of(people, HEIGHT, WIDTH)
    drawn = (corners[:, None] + STANDING * size).astype(np.float32)
    maps = draw_fields(drawn, np.ones((people, JOINTS), bool), HEIGHT, WIDTH)
    noisy = tuple((one + random.normal(0, noise, one.shape)).astype(np.float32) for one in maps)
    decoder = OpenPoseDecoder(layout="NHWC", stride=8, person_score_min=SCORE_MIN, persons_max=people)
    return decoder, noisy, Letterbox.fit((0, 0, 864, 736), (HEIGHT, WIDTH))


def times_ms(call: Callable[[], Poses], rounds: int) -> list[float]:
    """Milliseconds of each call, after a warm-up."""
    times = []
    for _ in range(rounds + 20):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e3)
    return times[20:]


def report(name: str, decoder: Decoder, maps: Maps, letterbox: Letterbox, rounds: int) -> None:
    """Print one line."""
    found = len(decoder.decode(maps, letterbox))
    times = times_ms(lambda: decoder.decode(maps, letterbox), rounds)
    print(f"{name:44} {found:3} found {np.median(times):7.3f} ms  p95 {np.percentile(times, 95):7.3f} ms")


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)  # as the agent does
    for people in PEOPLE:
        report(f"movenet 256x256, {people} people", *movenet(people), rounds)
    for noise in (0.0, 0.05):
        for people in PEOPLE:
            report(f"openpose 368x432, noise {noise}, {people} people", *openpose(people, noise), rounds)


if __name__ == "__main__":
    main()
