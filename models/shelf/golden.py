"""The golden picture: a compiled network that answers it as recorded computes what was converted.

Compare like this, on any engine that takes the uint8 BGR picture through its own preprocessing:

    picture = golden_input(card)
    outputs = ...                                   # role -> float array, in the network's own layout
    deviation(outputs, load(store.golden(name)))    # 0 is equal; see limit() for what is normal
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from models.shelf.catalogue import NetworkCard, Precision

Golden = Mapping[str, NDArray[np.float32]]
"""Role to what the output was: the whole array, or the samples of it that :func:`sample` takes."""

LIMIT_F32 = 0.01
"""Deviation up to which FP32 that runs in f32 is sound. MoveNet and OpenPose, 64x64 to 640x640 px, on CPU, HETERO with
and without cuts, MULTI, AUTO and BATCH: 4e-5 and less. Red and blue swapped: 0.36 to 0.52 with MoveNet, 0.007 to 0.05
with OpenPose."""
LIMIT_HALF = 0.3
"""The same for f16 and bf16, whose rounding each device does its own way. Measured on a CPU, against f32 and against
itself cut in pieces by HETERO: MoveNet up to 0.16, OpenPose up to 0.06."""
LIMIT_INT8 = 0.9
"""The same for INT8: a cut between a layer and its quantisation changes every step of rounding. Measured on a CPU,
against itself cut in pieces: MoveNet up to 0.62, OpenPose up to 0.37. All zeros are 1, another network's answer more.
It tells a broken device or file; what accuracy is lost is told by poses, not here."""

_SEED = 17
_WAVES = 12
_SAMPLES = 8192
_LEAST = 0.1
"""RMS below which an output says nothing: outputs are logits, cells, pixels, and scores of 0..1. OpenPose, which finds
nobody on the golden picture, has 0.002 in its fields, and bf16 an error of 0.004."""


def golden_input(card: NetworkCard, height: int | None = None, width: int | None = None) -> NDArray[np.uint8]:
    """Make the picture: uint8 (height, width, 3) BGR, by default of the card's size, a sum of seeded waves."""
    rows, columns = height or card.input.height, width or card.input.width
    rng = np.random.default_rng(_SEED)
    y, x = np.arange(rows)[:, None, None] / 256.0, np.arange(columns)[:, None] / 256.0
    picture = np.zeros((rows, columns, 3))
    for wave in range(_WAVES):
        length = 2.0 ** (wave / 2 - 1)
        angle, *phases = rng.uniform(0, 2 * np.pi, 4)
        # sin(across + down): sines of a row and of a column, which is a quarter of the time of sines of all pixels.
        across = 2 * np.pi * length * np.cos(angle) * x + np.asarray(phases)
        down = 2 * np.pi * length * np.sin(angle) * y
        picture += (np.sin(across) * np.cos(down) + np.cos(across) * np.sin(down)) / np.sqrt(length)
    low, high = picture.min(), picture.max()
    return np.asarray(np.round((picture - low) / (high - low) * 255), np.uint8)


def sample(output: NDArray[np.generic]) -> NDArray[np.float32]:
    """Up to 8192 values of an output, evenly spaced: enough to tell, small enough to keep."""
    flat = output.reshape(-1)
    picks = np.linspace(0, flat.size - 1, min(flat.size, _SAMPLES)).astype(np.int64)
    return flat[picks].astype(np.float32)


def save(path: Path, outputs: Mapping[str, NDArray[np.generic]]) -> None:
    """Keep samples of ``outputs`` (role to array) as the golden ones."""
    samples = {role: sample(output) for role, output in outputs.items()}
    np.savez_compressed(path, allow_pickle=False, **samples)


def load(path: Path) -> Golden:
    """Read golden outputs by role. Raises ModelError when the file cannot be read or is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {role: np.asarray(arrays[role], np.float32) for role in arrays.files}
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def deviation(outputs: Mapping[str, NDArray[np.generic]], golden: Golden) -> float:
    """How far ``outputs`` (role to array) are from the golden ones: that of the worst output, 0 is equal."""
    return max(deviations(outputs, golden).values(), default=0.0)


def deviations(outputs: Mapping[str, NDArray[np.generic]], golden: Golden) -> dict[str, float]:
    """How far each output is from its golden one: the RMS of the error over the RMS of the golden output.

    An output that is almost zero there is measured as if its RMS were 0.1. Infinite for an output that is missing, has
    another shape, or is not finite.
    """
    return {role: _distance(outputs.get(role), expected) for role, expected in golden.items()}


def limit(precision: Precision, inference_precision: str) -> float:
    """Deviation up to which an engine is sound; ``inference_precision`` is what it really runs in, such as ``BF16``.

    An FP32 engine of which that is unknown has been asked to run in f32, and is held to it.
    """
    match precision:
        case "INT8":
            return LIMIT_INT8
        case "FP32" if inference_precision in ("F32", "UNKNOWN"):
            return LIMIT_F32
        case _:
            return LIMIT_HALF


def _distance(actual: NDArray[np.generic] | None, expected: NDArray[np.float32]) -> float:
    if actual is None:
        return float("inf")
    values = np.asarray(actual if actual.shape == expected.shape else sample(actual), np.float32)
    if values.shape != expected.shape:
        return float("inf")
    found = _rms(values - expected) / max(_rms(expected), _LEAST)
    return found if np.isfinite(found) else float("inf")


def _rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
