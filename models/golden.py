"""The golden picture: a compiled network that answers it as recorded computes what was converted.

Compare like this, on any engine that takes the uint8 BGR picture through its own preprocessing:

    picture = golden_input(card)
    outputs = ...                                   # role -> float array, in the network's own layout
    deviation(outputs, load(store.golden(name)))    # 0 is equal; see deviation() for what is normal
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from models.catalogue import NetworkCard

Golden = Mapping[str, NDArray[np.float32]]
"""Role to samples of the output at f32 on a CPU."""

_SEED = 17
_WAVES = 12
_SAMPLES = 8192


def golden_input(card: NetworkCard) -> NDArray[np.uint8]:
    """Make the picture: uint8 (H, W, 3) BGR at the card's default size, a sum of seeded waves of many lengths."""
    rng = np.random.default_rng(_SEED)
    y, x = np.mgrid[0 : card.input.height, 0 : card.input.width] / 256.0
    picture = np.zeros((card.input.height, card.input.width, 3))
    for wave in range(_WAVES):
        length = 2.0 ** (wave / 2 - 1)
        angle, *phases = rng.uniform(0, 2 * np.pi, 4)
        along = 2 * np.pi * length * (x * np.cos(angle) + y * np.sin(angle))
        picture += np.sin(along[..., None] + np.asarray(phases)) / np.sqrt(length)
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
    """Read the golden samples by role. Raises ModelError when the file cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {role: np.asarray(archive[role], np.float32) for role in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def deviation(outputs: Mapping[str, NDArray[np.generic]], golden: Golden) -> float:
    """How far ``outputs`` (role to array) are from the golden ones: the worst output's RMS error over its RMS.

    0 is equal. Measured on movenet-multipose: f32 below 1e-3, bf16 0.14 (of its smallest output), red and blue swapped
    0.5, 64 kB of weights lost 0.14 to 1.1: what runs at f32 is judged at 0.01, a half precision at 0.3. Infinite when
    an output is missing, has another shape, or is not finite.
    """
    worst = 0.0
    for role, expected in golden.items():
        if role not in outputs:
            return float("inf")
        actual = sample(outputs[role])
        if actual.shape != expected.shape or not np.isfinite(actual).all():
            return float("inf")
        scale = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
        error = float(np.sqrt(np.mean(np.square(actual - expected, dtype=np.float64))))
        worst = max(worst, error / scale if scale else error)
    return worst
