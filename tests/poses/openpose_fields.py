"""Draws the heatmaps and fields OpenPose would give for known people: the oracle of the decoder's tests and benchmark.

As the networks are trained (Cao et al. 2017, section 2.2 and 2.3): a heatmap is the highest of the people's Gaussians,
a field the mean of the unit vectors of the limbs that cover a cell.
"""

import numpy as np
from numpy.typing import NDArray

from agent.poses.openpose import JOINTS, LIMBS

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

STRIDE = 8
SIGMA = 1.0
"""Of the Gaussian at a joint, cells."""
REACH = 1.0
"""A limb's field covers what is at most so far from the line between its joints, cells."""


def to_cells(pixels: Floats) -> Floats:
    """From pixels of the input to cells, whole where a cell's centre is."""
    return np.asarray((pixels + 0.5) / STRIDE - 0.5, np.float32)


def draw_fields(people: Floats, seen: Flags, height: int, width: int) -> tuple[Floats, Floats]:
    """Heatmaps (1, H, W, 19) and fields (1, H, W, 38) of an input of height x width pixels.

    ``people`` is (N, 18, 2), x and y in pixels of the input; ``seen`` (N, 18) says which joints leave a trace.
    """
    y, x = np.mgrid[0 : height // STRIDE, 0 : width // STRIDE].astype(np.float32)
    heatmaps = np.zeros((*x.shape, JOINTS + 1), np.float32)
    fields = np.zeros((*x.shape, len(LIMBS), 2), np.float32)
    covering = np.zeros((*x.shape, len(LIMBS)), np.float32)
    for joints, visible in zip(to_cells(people), seen, strict=True):
        for joint in np.flatnonzero(visible):
            squared = (x - joints[joint, 0]) ** 2 + (y - joints[joint, 1]) ** 2
            heatmaps[..., joint] = np.maximum(heatmaps[..., joint], np.exp(-squared / (2 * SIGMA**2)))
        for limb, (first, second) in enumerate(LIMBS):
            if visible[first] and visible[second]:
                covers, unit = _limb(x, y, joints[first], joints[second])
                fields[..., limb, :] += covers[..., None] * unit
                covering[..., limb] += covers
    heatmaps[..., JOINTS] = 1 - heatmaps[..., :JOINTS].max(axis=-1)
    fields /= np.maximum(covering, 1)[..., None]
    return heatmaps[None], fields.reshape(1, *x.shape, -1)


def _limb(x: Floats, y: Floats, start: Floats, end: Floats) -> tuple[Flags, Floats]:
    """The cells a limb covers, and its unit vector."""
    span = end - start
    length = max(float(np.hypot(*span)), 1e-6)
    unit = span / np.float32(length)
    along = (x - start[0]) * unit[0] + (y - start[1]) * unit[1]
    across = np.abs((x - start[0]) * unit[1] - (y - start[1]) * unit[0])
    return (along >= -REACH) & (along <= length + REACH) & (across <= REACH), unit


STANDING: Floats = np.array(
    [
        (0.50, 0.07), (0.50, 0.19),
        (0.30, 0.20), (0.20, 0.37), (0.15, 0.52), (0.70, 0.20), (0.80, 0.37), (0.85, 0.52),
        (0.38, 0.52), (0.36, 0.74), (0.35, 0.95), (0.62, 0.52), (0.64, 0.74), (0.65, 0.95),
        (0.42, 0.04), (0.58, 0.04), (0.33, 0.06), (0.67, 0.06),
    ],
    np.float32,
)  # fmt: skip
"""(18, 2): x and y of somebody who faces the camera, in a box of 1 x 1."""


def draw_person(random: np.random.Generator, height: int, width: int, *, hanging_out: float = 0.3) -> Floats:
    """(18, 2) x and y, in pixels, of somebody of random size, place and bearing; up to a part of them is outside."""
    tall = random.uniform(90, min(height, 320))
    size = np.array((tall * random.uniform(0.35, 0.7), tall))
    bearing = STANDING + random.normal(0, 0.03, STANDING.shape)
    if random.random() < 0.5:
        bearing[:, 0] = 1 - bearing[:, 0]
    free = np.array((width, height)) - size
    corner = random.uniform(-hanging_out * size, free + hanging_out * size)
    return np.asarray(corner + bearing * size, np.float32)
