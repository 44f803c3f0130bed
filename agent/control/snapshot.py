"""The newest picture, drawn, as a reply carries it."""

import base64

import cv2
import numpy as np
from pydantic import JsonValue

from agent.control.samples import shrunk_image
from agent.pipeline import Result
from agent.poses.drawing import blur_people, draw, person_regions

QUALITY = 80


def snapshot(latest: Result | None, *, blur: bool) -> dict[str, JsonValue]:
    """JPEG with the skeletons drawn, base64; everything null before the first frame."""
    if latest is None:
        return {"jpeg": None, "width": None, "height": None, "seq": None}
    image = latest.frame.image
    if blur:
        image = blur_people(image, person_regions(latest.poses))
    shown = latest.poses.certain()
    small = shrunk_image(draw(image, shown, shown.names()))
    _done, jpeg = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    rows, columns = small.shape[:2]
    return {
        "jpeg": base64.b64encode(np.asarray(jpeg).tobytes()).decode(),
        "width": columns,
        "height": rows,
        "seq": latest.frame.seq,
    }
