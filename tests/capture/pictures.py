"""Pictures that say which one they are, and survive JPEG."""

from pathlib import Path

import cv2
import numpy as np

from agent.capture import Image

WIDTH, HEIGHT = 128, 64
_BITS = 16
_COLUMN = WIDTH // _BITS


def picture(number: int) -> Image:
    """Draw the number in black and white columns, lowest bit left."""
    bits = (number >> np.arange(_BITS)) & 1
    row = np.repeat(bits * 255, _COLUMN).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (HEIGHT, WIDTH, 3)))


def number_of(image: Image) -> int:
    """Read the number of a picture."""
    levels = image.reshape(HEIGHT, _BITS, _COLUMN * 3).mean(axis=(0, 2))
    return int(((levels > 127).astype(int) << np.arange(_BITS)).sum())


def write_video(path: Path, frames: int, *, fps: float = 100.0) -> Path:
    """Write a clip of the pictures 0, 1, 2 ..."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (WIDTH, HEIGHT))
    for number in range(frames):
        writer.write(picture(number))
    writer.release()
    return path


def write_folder(path: Path, frames: int) -> Path:
    """Write a folder of the pictures 0, 1, 2 ..."""
    path.mkdir()
    for number in range(frames):
        cv2.imwrite(str(path / f"{number:03}.png"), picture(number))
    return path
