"""Damaged recordings and streams, thousands of them: ``make fuzz-cameras``.

Each input is mutated and read in a child process: no crash, no hang, no picture that nobody decoded. Pictures of sound
inputs are columns of black and white; the child fills the memory it gives free (``MALLOC_PERTURB_``), so that a
picture out of a buffer nobody wrote has neither.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cameras.clips import make
from tests.capture.pictures import write_folder

H264: Final = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "5")
KINDS: Final = {
    "a.ts": (*H264, "-f", "mpegts"),
    "b.mp4": (*H264, "-movflags", "+faststart"),
    "c.mp4": H264,
    "d.avi": ("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"),
    "e.mkv": ("-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p"),
}
BATCH: Final = 50
LIMIT_S: Final = 120.0
POISON: Final = "165"

CHILD: Final = """
import json, sys
import numpy as np
from pathlib import Path
from agent.capture.frame import image_of
from agent.capture.pixels import Stills
from agent.capture.video import open_file
from agent.errors import CaptureError
POISON = (int(sys.argv[1]), 255 - int(sys.argv[1]))
for line in sys.stdin:
    path, pictures, wrong = Path(line.strip()), 0, 0
    try:
        if path.suffix == ".jpg":
            found = [Stills().decode(path.read_bytes())]
        else:
            reader, found = open_file(path), []
            while len(found) < 200 and reader.grab():
                found.append(reader.retrieve())
            reader.close()
        for image in found:
            if image is not None:
                pictures += 1
                wrong += all(np.isin(image_of(image), value).mean() > 0.2 for value in POISON[:1])
    except CaptureError:
        pass
    print(json.dumps({"path": str(path), "pictures": pictures, "wrong": wrong}), flush=True)
"""


@dataclass(slots=True)
class Outcome:
    """What the inputs did."""

    inputs: int = 0
    pictures: int = 0
    faults: int = 0
    first: str = ""

    def fault(self, text: str) -> None:
        """Count something that must not be."""
        self.faults += 1
        self.first = self.first or text


def sound(folder: Path) -> list[Path]:
    """One input of each kind, and a JPEG."""
    found = [make(folder / name, 20, *options) for name, options in KINDS.items()]
    images = write_folder(folder / "images", 1)
    jpeg = folder / "f.jpg"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-i", str(images / "000.png"), str(jpeg)], check=True)
    return [*found, jpeg]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change bytes, cut out, double, or cut off: what cards, radio links and broken downloads do."""
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at, size = chance.randrange(len(damaged)), chance.choice((1, 2, 16, 188, 1024))
        match chance.randrange(5):
            case 0:
                damaged[at : at + size] = chance.randbytes(min(size, len(damaged) - at))
            case 1:
                damaged[at] ^= 1 << chance.randrange(8)
            case 2:
                del damaged[at : at + min(size, len(damaged) // 2)]
            case 3:
                damaged[at:at] = damaged[at : at + size]
            case _:
                damaged[at : at + size] = bytes(min(size, len(damaged) - at))
    if chance.random() < 0.2:
        del damaged[chance.randrange(1, len(damaged)) :]
    return bytes(damaged) or b"\0"


def fuzz(inputs: int, seed: int, folder: Path) -> Outcome:
    """Read so many damaged inputs, a batch to a child process."""
    chance, outcome, originals = random.Random(seed), Outcome(), sound(folder)
    pending = list(range(inputs))
    while pending:
        batch, pending = pending[:BATCH], pending[BATCH:]
        paths = []
        for number in batch:
            original = chance.choice(originals)
            path = folder / f"m{number}{original.suffix}"
            path.write_bytes(mutated(original.read_bytes(), chance))
            paths.append(path)
        for path, answer in zip(paths, read(paths, outcome), strict=False):
            outcome.inputs += 1
            outcome.pictures += answer["pictures"]
            if answer["wrong"]:
                outcome.fault(f"{path.name} shows what nobody decoded")
        for path in paths:
            path.unlink()
    return outcome


def read(paths: list[Path], outcome: Outcome) -> Iterator[dict[str, int]]:
    """Let a child read them; its death or silence is a fault of the input it was at."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, POISON],
            input="".join(f"{path}\n" for path in paths),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=os.environ | {"MALLOC_PERTURB_": POISON},
            check=False,
        )
    except subprocess.TimeoutExpired:
        outcome.fault(f"a batch from {paths[0].name} did not end in {LIMIT_S:g} s")
        return
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        at = paths[min(len(answers), len(paths) - 1)]
        outcome.fault(f"{at.name} ended the reader with {done.returncode}: {done.stderr[-300:]}")
    yield from answers


def main() -> int:
    """Print what was tried and what was wrong; 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        outcome = fuzz(given.inputs, given.seed, Path(name))
    print(f"{outcome.inputs} damaged inputs, {outcome.pictures} pictures of them shown, {outcome.faults} faults")
    if outcome.first:
        print(f"first: {outcome.first}")
    return int(outcome.faults > 0)


if __name__ == "__main__":
    sys.exit(main())
