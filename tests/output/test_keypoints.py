"""Promises of the keypoints message."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.frame import Frame
from agent.output.keypoints import encode_keypoints
from agent.pipeline import Result
from agent.poses.skeleton import Poses
from agent.wire.messages import Keypoints
from tests.poses.people import anybody


def result(poses: Poses, seq: int, size: tuple[int, int], captured_s: float) -> Result:
    """A result of a black frame of ``size`` (height, width)."""
    moment = datetime(2026, 1, 31, 6, 30, 0, 125999, UTC)
    frame = Frame(np.zeros((*size, 3), np.uint8), seq, moment, captured_s, 0.0)
    return Result(frame, poses, engine=3, model="movenet-multipose")


@given(anybody(), st.integers(0, 2**40), st.integers(1, 400), st.integers(1, 400))
def test_the_message_is_what_the_contract_says(poses: Poses, seq: int, rows: int, columns: int) -> None:
    """Whoever is seen, the strict Keypoints reads back the same people to the rounding, and knows every key."""
    began = datetime.now(UTC)
    payload = encode_keypoints(result(poses, seq, (rows, columns), time.perf_counter()), "edge-1")

    message = Keypoints.model_validate_json(payload)  # unlike decode, this refuses keys it does not know
    assert (message.device_id, message.seq, message.engine, message.model) == ("edge-1", seq, 3, "movenet-multipose")
    assert (message.frame.width, message.frame.height) == (columns, rows)
    assert message.captured_at == datetime(2026, 1, 31, 6, 30, 0, 125000, UTC)
    assert began - timedelta(milliseconds=1) <= message.sent_at <= datetime.now(UTC)
    assert [person.id for person in message.persons] == list(range(len(poses)))
    if message.persons:
        joints = np.array([person.keypoints for person in message.persons]).reshape(-1, 17, 3)
        np.testing.assert_allclose(joints[..., :2], poses.keypoints[..., :2], rtol=0, atol=0.0501)
        np.testing.assert_allclose(joints[..., 2], poses.keypoints[..., 2], rtol=0, atol=0.000501)
        np.testing.assert_allclose([person.bbox for person in message.persons], poses.boxes, rtol=0, atol=0.0501)
        np.testing.assert_allclose([person.score for person in message.persons], poses.scores, rtol=0, atol=0.000501)


@given(anybody())
def test_numbers_are_short(poses: Poses) -> None:
    """Coordinates have at most one decimal and scores three: the payload carries no float32 noise."""
    payload = encode_keypoints(result(poses, 0, (480, 640), time.perf_counter()), "edge-1")
    for person in Keypoints.decode(payload).persons:
        assert all(value == round(value, 1) for value in person.bbox)
        assert all(value == round(value, 3) for value in person.keypoints)
        assert person.score == round(person.score, 3)
        assert all(value == round(value, 1) for n, value in enumerate(person.keypoints) if n % 3 != 2)
    assert len(payload) < 300 + 700 * len(poses)


def test_age_is_counted_on_the_monotonic_clock() -> None:
    """The age is the time since capture, whatever the wall clock says."""
    before = time.perf_counter()
    payload = encode_keypoints(result(Poses.nobody(), 0, (2, 2), before - 0.25), "edge-1")
    age_ms = Keypoints.decode(payload).age_ms
    assert 249.9 <= age_ms <= 250.1 + (time.perf_counter() - before) * 1e3


def test_nobody_in_view_is_an_empty_list() -> None:
    """A frame without people is a message with no persons, not a missing message."""
    assert b'"persons":[]' in encode_keypoints(result(Poses.nobody(), 0, (2, 2), 0.0), "edge-1")


@given(anybody())
def test_feet_are_told_where_the_network_looks_for_them(poses: Poses) -> None:
    """Contract 1.1: six points beside the joints, to the same rounding; no key where nobody looks for them."""
    plain = encode_keypoints(result(poses, 0, (480, 640), time.perf_counter()), "edge-1")
    assert b'"feet"' not in plain
    feet = np.random.default_rng(len(poses)).uniform(0, 1, (len(poses), 6, 3)).astype(np.float32)
    feet[..., :2] *= 600
    payload = encode_keypoints(result(replace(poses, feet=feet), 0, (480, 640), time.perf_counter()), "edge-1")
    for person, expected in zip(Keypoints.model_validate_json(payload).persons, feet, strict=True):
        assert person.feet is not None
        np.testing.assert_allclose(np.reshape(person.feet, (6, 3)), expected, atol=0.0501)
