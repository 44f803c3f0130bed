"""Results to messages, and where messages go."""

import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from agent.pipeline import Result
from agent.wire.commands import Address
from agent.wire.messages import rfc3339

SCHEMA: Final = "edgepose.keypoints/1"
KEYPOINT_STEPS: Final = np.array((10.0, 10.0, 1000.0))
"""Coordinates are sent with one decimal, scores with three."""
PERSON_STEPS: Final = np.concatenate((np.tile(KEYPOINT_STEPS, 17), (10.0, 10.0, 10.0, 10.0, 1000.0)))
"""Of seventeen keypoints, a box and its score."""


class Outlet(Protocol):
    """Where the agent's messages go, as a context manager: :class:`agent.link.Link`, or a file."""

    def announce(self, leaf_topic: str, payload: bytes, expiry_s: int | None = None) -> None:
        """Take the newest word on a retained topic, which is forgotten after ``expiry_s``."""

    def event(self, payload: bytes) -> None:
        """Take what happened."""

    def reply(self, address: Address, payload: bytes) -> None:
        """Take the answer to a command."""

    def keypoints(self, payload: bytes) -> None:
        """Take the people of one frame."""

    def __enter__(self) -> Any: ...  # noqa: ANN401

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def encode_keypoints(result: Result, device_id: str) -> bytes:
    """The keypoints message of one result.

    Built from plain values, because this runs for every frame; a test holds it to the strict
    :class:`agent.wire.messages.Keypoints`.
    """
    frame, poses = result.frame, result.poses.certain()
    rows, columns = frame.size
    # All of it rounded at once: with a handful of people each call of numpy costs more than what it does.
    numbers = np.concatenate((poses.keypoints.reshape(-1, 51), poses.boxes, poses.scores[:, None]), axis=1)
    persons: list[dict[str, object]] = [
        {"id": identity, "score": row[55], "bbox": row[51:55], "keypoints": row[:51]}
        for identity, row in zip(poses.names(), _rounded(numbers, PERSON_STEPS).tolist(), strict=True)
    ]
    if poses.feet is not None:
        feet = _rounded(poses.feet, KEYPOINT_STEPS).reshape(len(poses), 18).tolist()
        for person, flat in zip(persons, feet, strict=True):
            person["feet"] = flat
    return to_json(
        {
            "schema": SCHEMA,
            "device_id": device_id,
            "sent_at": rfc3339(datetime.now(UTC)),
            "seq": frame.seq,
            "captured_at": rfc3339(frame.captured_at),
            "age_ms": round((time.perf_counter() - frame.captured_s) * 1e3, 1),
            "engine": result.engine,
            "model": result.model,
            "frame": {"width": columns, "height": rows},
            "persons": persons,
        }
    )


def _rounded(values: NDArray[np.float32], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """In float64, so that JSON shows the short decimal."""
    rounded: NDArray[np.float64] = np.rint(values * steps) / steps
    return rounded
