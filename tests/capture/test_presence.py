"""Each loss and each return is told once."""

import numpy as np
import pytest

from agent.capture import CaptureEvent
from agent.capture.presence import Presence

PICTURE = np.zeros((4, 6, 3), np.uint8)


def test_one_loss_one_return() -> None:
    """However often a loss is noticed and however many frames follow, each is told once, with its seconds."""
    told: list[CaptureEvent] = []
    presence = Presence("cam", told.append, now_s=0.0)
    for now_s in (1.0, 2.0):
        presence.flowing(PICTURE, now_s)
    for now_s in (4.0, 5.0):
        presence.lost("the cable is out", now_s)
    for now_s in (14.0, 15.0):
        presence.flowing(PICTURE, now_s)
    assert [event.code for event in told] == ["camera.opened", "camera.lost", "camera.back"]
    assert told[0].facts == {"source": "cam", "width": 6, "height": 4}
    assert told[1].facts == {"source": "cam", "cause": "the cable is out", "after_s": 2.0}
    assert told[2].facts == {"source": "cam", "width": 6, "height": 4, "lost_s": 10.0}


def test_camera_that_was_never_there() -> None:
    """A camera that does not answer at the start is lost from then on, and back when it comes."""
    told: list[CaptureEvent] = []
    presence = Presence("cam", told.append, now_s=0.0)
    presence.lost("no answer", 5.0)
    presence.flowing(PICTURE, 6.0)
    assert [event.code for event in told] == ["camera.lost", "camera.back"]
    assert told[0].facts["after_s"] == 5.0


def test_frozen_is_told_while_live_only() -> None:
    """A picture that still stands after the camera was opened again is no news."""
    told: list[CaptureEvent] = []
    presence = Presence("cam", told.append, now_s=0.0)
    presence.flowing(PICTURE, 1.0)
    presence.frozen(10.0)
    presence.lost("frozen", 11.0)
    presence.frozen(20.0)
    assert [event.code for event in told] == ["camera.opened", "camera.frozen", "camera.lost"]


def test_listener_that_raises_is_not_told_again() -> None:
    """A failing listener costs its own event, not the state of the source."""
    told: list[str] = []

    def listener(event: CaptureEvent) -> None:
        told.append(event.code)
        raise RuntimeError("the listener's own fault")

    presence = Presence("cam", listener, now_s=0.0)
    with pytest.raises(RuntimeError):
        presence.flowing(PICTURE, 1.0)
    presence.flowing(PICTURE, 2.0)
    assert told == ["camera.opened"]
