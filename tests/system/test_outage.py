"""Brokers and cameras that come late, go, and come back."""

import signal
from pathlib import Path

from agent.wire.messages import Event, Keypoints, Metrics, State, Status
from tests.broker import Broker, Listener
from tests.capture.mjpeg import MjpegCamera
from tests.system.conftest import TOPICS
from tests.system.process import agent

RETAINED = ("availability", "info", "state", "metrics")


def seen_by(camera: MjpegCamera, **variables: str) -> dict[str, str]:
    return {
        "EDGEPOSE_CAMERA__SOURCE": camera.url,
        "EDGEPOSE_CAMERA__LOOP": "false",
        "EDGEPOSE_CAMERA__OPEN_TIMEOUT_S": "1",
        "EDGEPOSE_METRICS__WINDOW_S": "0.5",
        **variables,
    }


def wait_for_all(listener: Listener) -> None:
    """Wait until everything an agent keeps on the broker is there, and keypoints flow."""
    for leaf in RETAINED:
        assert listener.wait(lambda seen, leaf=leaf: seen.topic == getattr(TOPICS, leaf)).retain  # type: ignore[misc]
    assert listener.payloads(TOPICS.availability)[-1] == b"online"
    listener.wait(lambda seen: seen.topic == TOPICS.keypoints)


def test_a_broker_that_comes_late_and_dies(tmp_path: Path) -> None:
    """The agent starts without a broker, announces itself when one comes, and again when it lost its memory.

    Meanwhile it goes on looking at its camera.
    """
    with (
        MjpegCamera() as camera,
        Broker(tmp_path, start=False) as broker,
        agent(broker.port, **seen_by(camera, EDGEPOSE_METRICS__WINDOW_S="3")) as process,
    ):
        process.wait_log("engine.ready")
        broker.start()
        with Listener(broker.port) as listener:
            wait_for_all(listener)
            last = Keypoints.decode(listener.payloads(TOPICS.keypoints)[-1])
        broker.kill()
        process.wait_log("broker.lost")
        camera.wait_for_number(camera.number + 75)
        broker.start()
        with Listener(broker.port) as listener:
            wait_for_all(listener)
            first = Keypoints.decode(listener.payloads(TOPICS.keypoints)[0])
            meanwhile = Metrics.decode(listener.payloads(TOPICS.metrics)[0])
        assert first.seq >= last.seq + 50
        assert meanwhile.sent_at < first.sent_at
        assert meanwhile.frames_captured > 0
        process.signal(signal.SIGTERM)
        assert process.end() == 0


def test_a_camera_that_comes_late(broker: Broker) -> None:
    """An agent whose stream cannot be reached runs on, says so, and sees as soon as the camera is there."""
    with MjpegCamera() as camera, Listener(broker.port) as listener:
        camera.refuse()
        with agent(broker.port, **seen_by(camera)) as process:

            def state(wanted: Status) -> State:
                seen = listener.wait(lambda seen: seen.topic == TOPICS.state and wanted.value.encode() in seen.payload)
                return State.decode(bytes(seen.payload))

            def event(code: str) -> Event:
                return Event.decode(bytes(listener.wait(lambda seen: f'"{code}"'.encode() in seen.payload).payload))

            assert "cannot be reached" in event("camera.lost").message
            lost = state(Status.CAMERA_LOST)
            assert lost.camera.status == "lost"
            assert lost.effective is not None
            assert not listener.payloads(TOPICS.keypoints)
            camera.listen()
            assert event("camera.back").facts["width"]
            assert state(Status.RUNNING).camera.status == "live"
            listener.wait(lambda seen: seen.topic == TOPICS.keypoints)
            process.signal(signal.SIGTERM)
            assert process.end() == 0
