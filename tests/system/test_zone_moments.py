"""On a real recording, people enter and leave a zone when somebody who looks at the frames sees them do it."""

import threading
from contextlib import closing
from pathlib import Path

import pytest

from agent.capture import open_source
from agent.config.tree import Camera, Config, Inference
from agent.control.settings import Settings
from agent.control.workshop import Workshop
from agent.inference.devices import open_core
from agent.pipeline import infer
from agent.tracking import track_stage
from agent.tracking.zones import Crossing, ZoneWatch
from agent.wire.zones import Zone
from models.shelf.store import Store

RIGHT = Zone(polygon=((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))
SEEN = [
    *[("entered", 6.8), ("left", 19.6), ("entered", 23.5), ("left", 44.6), ("entered", 51.0)],
    *[("left", 69.6), ("entered", 75.8), ("left", 86.6), ("entered", 92.5), ("left", 119.6)],
]
"""Seconds of the recording, found by eye: the body crosses the middle, or, of her who comes in right of it, head and
both shoulders are in the picture; all but a shin and a foot has left the picture."""
NEAR_S = 0.35
"""0.3 s, which is three frames, and half of one for the rounding of both."""
FRAMES = 1215
CLOSE_S = 0.8
"""So near to a moment every frame is looked at, else one a second, as on a busy box: a crossing that comes later or
earlier than it may is seen in one of those, and is too far off."""


def looked_at(number: int) -> bool:
    return number % 10 == 0 or any(abs(number / 10 - at_s) < CLOSE_S for _kind, at_s in SEEN)


def test_people_cross_when_they_are_seen_to(shared_data: Path, store: Store) -> None:
    """Each crossing of the right half is within 0.3 s of what the frames show, and there is no other."""
    feed = shared_data / "feeds" / "one-by-one-person-detection.mp4"
    if not feed.is_file():
        pytest.skip(f"no test data: {feed} is missing")
    camera = Camera(source=str(feed), lossless=True, pace="fast")
    config = Config(device_id="hall", camera=camera, inference=Inference(device="CPU", threads=1))
    track, watch = track_stage(config.tracking, config.smoothing), ZoneWatch({"right": RIGHT})
    assert track is not None
    told: list[Crossing] = []
    with closing(open_source(camera, resolve_clip=store.clip, notify=lambda _: None)) as source:
        frame = source.read(30.0)
        assert frame is not None
        workshop = Workshop(config, open_core({}), store)
        lane = workshop.build(Settings.of(config), (frame,), threading.Event(), judged=False).lane
        with closing(lane.engine):
            for number in range(FRAMES):
                assert frame is not None
                if looked_at(number):
                    rows, columns = frame.image.shape[:2]
                    poses = track(infer(lane.engine, lane.decoder, frame), frame.scene_s)
                    told += watch.look(poses, columns, rows, frame.scene_s).crossings
                frame = source.read(30.0)
    assert [each.kind for each in told] == [kind for kind, _ in SEEN]
    assert [each.at_s for each in told] == [pytest.approx(at_s, abs=NEAR_S) for _, at_s in SEEN]
