"""Where frames come from: cameras, streams, video files and folders of images."""

from agent.capture.address import redact
from agent.capture.frame import (
    CaptureCounts,
    CaptureEvent,
    EndOfSource,
    Frame,
    Image,
    Notify,
    Region,
    Source,
)
from agent.capture.open import open_source

__all__ = [
    "CaptureCounts",
    "CaptureEvent",
    "EndOfSource",
    "Frame",
    "Image",
    "Notify",
    "Region",
    "Source",
    "open_source",
    "redact",
]
