"""What reading a frame costs, beside OpenCV's VideoCapture in the same run: ``make bench-capture``.

Processor time of the whole process, decoding and conversion to BGR. The two take turns; the median round counts.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2

from agent.capture.frame import image_of
from agent.capture.video import open_file
from models.shelf.store import Store, models_dir
from tests.cameras.clips import run

HD: Final = ("-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25:d=4", "-vf", "noise=alls=8:allf=t")
CLIPS: Final = {
    "1080p H.264": (*HD, "-c:v", "libx264", "-b:v", "4M", "-g", "50", "hd264.mp4"),
    "1080p H.265": (*HD, "-c:v", "libx265", "-x265-params", "log-level=none", "-b:v", "3M", "hd265.mp4"),
}


def ours(path: Path) -> int:
    """Read a file through PyAV to BGR; the number of frames."""
    reader, frames = open_file(path), 0
    while reader.grab():
        if (picture := reader.retrieve()) is not None:
            image_of(picture)
        frames += 1
    reader.close()
    return frames


def theirs(path: Path) -> int:
    """Read a file through VideoCapture."""
    capture, frames = cv2.VideoCapture(), 0
    capture.open(str(path), cv2.CAP_FFMPEG, (cv2.CAP_PROP_N_THREADS, 1))
    while capture.read()[0]:
        frames += 1
    capture.release()
    return frames


def cost_ms(read: Callable[[Path], int], path: Path) -> float:
    """Processor time a frame."""
    before_s = time.process_time()
    frames = read(path)
    return (time.process_time() - before_s) / frames * 1e3


def main() -> None:
    """Print a row for each kind of file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        clips = {"768x576 MPEG-4 (the sample clip)": Store(models_dir()).clip("vtest")}
        for kind, (*options, file) in CLIPS.items():
            clips[kind] = Path(name) / file
            run(*options, str(clips[kind]))
        print("| | ms | VideoCapture | ratio |\n|---|---|---|---|")
        for kind, path in clips.items():
            pairs = [(cost_ms(ours, path), cost_ms(theirs, path)) for _ in range(rounds)]
            mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"| {kind} | {mine:.2f} | {other:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
