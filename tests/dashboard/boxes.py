"""Boxes made up: what they retain, and people who walk, over a real broker."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.wire.messages import (
    CameraState,
    DeviceInfo,
    Effective,
    Event,
    FrameSize,
    HostInfo,
    Info,
    Keypoints,
    Metrics,
    ModelInfo,
    Person,
    Requested,
    Severity,
    State,
    Status,
)
from agent.wire.topics import Topics
from tests.broker import publish

LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16))
LIMBS += ((0, 1), (0, 2), (1, 3), (2, 4))  # type: ignore[assignment]
BODY = (
    *((0.5, 0.05), (0.53, 0.03), (0.47, 0.03), (0.57, 0.05), (0.43, 0.05), (0.65, 0.2), (0.35, 0.2), (0.75, 0.38)),
    *((0.25, 0.38), (0.75, 0.52), (0.25, 0.52), (0.6, 0.52), (0.4, 0.52), (0.62, 0.75), (0.38, 0.75), (0.62, 0.98)),
    (0.38, 0.98),
)
"""Joints of somebody who stands, in fractions of the box."""


def now() -> datetime:
    return datetime.now(UTC)


def info(device: str, **changes: Any) -> Info:
    host = HostInfo(hostname=device, os="Debian", cpu="a chip", cores=2, memory_mb=2048)
    given: dict[str, Any] = {
        "device_id": device,
        "sent_at": now(),
        "agent_version": "0.1.0",
        "openvino_version": "2026.4",
        "host": host,
        "devices": (DeviceInfo(name="CPU", full_name="a chip", capabilities=()),),
        "models": (ModelInfo(name="movenet-multipose", precisions=("FP32", "FP16")),),
        "commands": (),
        "bones": LIMBS,
    }
    return Info.model_validate(given | changes)


def state(device: str, status: Status = Status.RUNNING, **changes: Any) -> State:
    effective = Effective(
        execution_devices=("CPU",),
        model_precision="FP32",
        inference_precision="f32",
        submodels=None,
        infer_requests=2,
        compile_ms=300.0,
        first_infer_ms=30.0,
        from_cache=True,
        engine=1,
    )
    given: dict[str, Any] = {
        "device_id": device,
        "sent_at": now(),
        "version": 1,
        "status": status,
        "requested": Requested(model="movenet-multipose", device="CPU", precision="FP32", hint="latency"),
        "effective": effective,
        "camera": CameraState(status="live", source="rtsp://cam/stream"),
        "since": now(),
    }
    return State.model_validate(given | changes)


def metrics(device: str, number: int = 0, **changes: Any) -> Metrics:
    wave = math.sin(number / 7)
    timed = dict.fromkeys((name for name in Metrics.model_fields if "_ms_" in name), 20.0 + 4 * wave)
    given: dict[str, Any] = {
        "device_id": device,
        "sent_at": now() - timedelta(seconds=0),
        "window_s": 5.0,
        **dict.fromkeys(("fps_mean", "fps_min", "fps_max"), 10.0 + wave),
        **timed,
        "latency_ms_p95": 27.0 + 6 * wave,
        "latency_ms_p99": 33.0 + 9 * wave,
        **dict.fromkeys(("frames_captured", "frames_processed"), 50),
        "frames_dropped": 0,
        "persons_mean": 2.4 + wave,
        "persons_max": 4,
        "device": "CPU",
        "execution_devices": "CPU",
        "precision": "FP32",
        "model": "movenet-multipose",
        "engine": 1,
        "cpu_percent": 61.0 + 9 * wave,
        "rss_mb": 410.0,
        "temperature_c": 54.0,
        "gpu_busy_percent": None,
    }
    return Metrics.model_validate(given | changes)


def keypoints(device: str, number: int, people: int = 3) -> bytes:
    """One frame in which people walk, as it stands on the wire."""
    persons = []
    for who in range(people):
        left, top = 60 + 160 * who + 40 * math.sin(number / 9 + who), 120 + 20 * math.cos(number / 11 + who)
        flat = [round(each, 1) for x, y in BODY for each in (left + 130 * x, top + 300 * y, 0.9)]
        persons.append(Person(id=who + 1, score=0.8, bbox=(left, top, 130.0, 300.0), keypoints=tuple(flat)))
    message = Keypoints(
        device_id=device,
        sent_at=now(),
        seq=number,
        captured_at=now(),
        age_ms=30.0,
        engine=1,
        model="movenet-multipose",
        frame=FrameSize(width=640, height=480),
        persons=tuple(persons),
    )
    return message.encode()


def event(device: str, code: str, message: str, severity: Severity = Severity.INFO) -> Event:
    return Event(device_id=device, sent_at=now(), code=code, severity=severity, message=message)


def appear(port: int, device: str, *, online: bool = True, **changes: Any) -> None:
    """Have a box on the broker: availability, info, state and a summary, all retained."""
    topics = Topics(device)
    groups = changes.pop("groups", ())
    publish(port, topics.info, info(device, groups=groups).encode(), retain=True)
    publish(port, topics.state, state(device, **changes).encode(), retain=True)
    publish(port, topics.metrics, metrics(device).encode(), retain=True)
    publish(port, topics.availability, b"online" if online else b"offline", retain=True)


def hostile(port: int, device: str, markup: str) -> None:
    """Have a box whose every free text is markup, on whatever may be written there."""
    topics = Topics(device)
    bad_host = HostInfo(hostname=markup, os=markup, cpu=markup, cores=2, memory_mb=1)
    bad_devices = (DeviceInfo(name=markup, full_name=markup, capabilities=(markup,)),)
    told = info(device, host=bad_host, devices=bad_devices, agent_version=markup, groups=(markup,))
    told = told.model_copy(update={"models": (ModelInfo(name=markup, precisions=(markup,)),)})
    publish(port, topics.info, told.encode(), retain=True)
    asked = Requested(model=markup, device=markup, precision=markup, hint=markup)
    bad = state(
        device,
        Status.DEGRADED,
        requested=asked,
        last_error=markup,
        camera=CameraState(status="live", source=markup),
    )
    publish(port, topics.state, bad.encode(), retain=True)
    publish(port, topics.metrics, metrics(device).encode(), retain=True)
    publish(port, topics.availability, b"online", retain=True)
    job = {
        "schema": "edgepose.job/1",
        "device_id": device,
        "sent_at": "2026-01-31T06:30:00.125Z",
        "id": "j1",
        "command": markup,
        "status": "running",
        "step": markup,
        "progress": 0.5,
        "started_at": "2026-01-31T06:30:00.125Z",
        "error": {"code": "internal", "message": markup, "hint": markup},
    }
    publish(port, topics.job("j1"), json.dumps(job).encode(), retain=True)
