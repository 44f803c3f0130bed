"""Video files of every kind the field has, made by ffmpeg out of the pictures of the tests."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.capture.pictures import HEIGHT, WIDTH, picture

FPS = 25


def make(path: Path, frames: int, *options: str, fps: float = FPS, numbers: Sequence[int] | None = None) -> Path:
    """Encode the pictures 0, 1, 2 ... (or these) with ffmpeg's options, for example ``-c:v``, ``libx264``."""
    raw = b"".join(picture(number).tobytes() for number in (numbers or range(frames)))
    size = f"{WIDTH}x{HEIGHT}"
    run("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", str(fps), "-i", "-", *options, str(path), data=raw)
    return path


def run(*arguments: str, data: bytes | None = None) -> None:
    """Run ffmpeg."""
    command = ["ffmpeg", "-loglevel", "error", "-nostdin" if data is None else "-hide_banner", "-y", *arguments]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
