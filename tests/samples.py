"""Messages as an agent on a real box would send them."""

from datetime import UTC, datetime
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

NOW = datetime(2026, 1, 31, 6, 30, 0, 125000, UTC)


def info(device_id: str = "edge-1") -> Info:
    return Info(
        device_id=device_id,
        sent_at=NOW,
        agent_version="0.1.0",
        openvino_version="2026.4.1",
        host=HostInfo(hostname="edge-1", os="Debian 12", cpu="Intel N100", cores=4, memory_mb=7800),
        devices=(DeviceInfo(name="CPU", full_name="Intel N100", capabilities=("FP32", "INT8")),),
        models=(ModelInfo(name="movenet-multipose", precisions=("FP32", "FP16")),),
        commands=(),
    )


def state(device_id: str = "edge-1", **changes: Any) -> State:
    sample = State(
        device_id=device_id,
        sent_at=NOW,
        version=1,
        status=Status.RUNNING,
        requested=Requested(model="movenet-multipose", device="AUTO", precision="FP32"),
        effective=Effective(
            execution_devices=("CPU",),
            model_precision="FP32",
            inference_precision="bf16",
            submodels=None,
            infer_requests=2,
            compile_ms=812.4,
            first_infer_ms=14.2,
            from_cache=True,
            engine=1,
        ),
        camera=CameraState(status="live", source="rtsp://user:***@camera/stream", last_frame_at=NOW),
        since=NOW,
    )
    return sample.model_copy(update=changes)


def metrics(device_id: str = "edge-1", **changes: Any) -> Metrics:
    numbers = {name: 1.5 for name, field in Metrics.model_fields.items() if field.annotation == float | None}
    return Metrics.model_validate(
        {
            **numbers,
            "device_id": device_id,
            "sent_at": NOW,
            "window_s": 5.0,
            "fps_mean": 29.7,
            "latency_ms_p50": 12.4,
            "frames_captured": 150,
            "frames_processed": 149,
            "frames_dropped": 1,
            "persons_mean": 2.5,
            "persons_max": 3,
            "device": "AUTO",
            "execution_devices": "CPU",
            "precision": "FP32",
            "model": "movenet-multipose",
            "engine": 1,
            "gpu_busy_percent": None,
            **changes,
        }
    )


def keypoints(device_id: str = "edge-1", seq: int = 0, persons: int = 2) -> Keypoints:
    body = tuple(value for joint in range(17) for value in (100.0 + joint, 50.5 + joint, 0.9))
    return Keypoints(
        device_id=device_id,
        sent_at=NOW,
        seq=seq,
        captured_at=NOW,
        age_ms=21.3,
        engine=1,
        model="movenet-multipose",
        frame=FrameSize(width=768, height=576),
        persons=tuple(Person(id=n, score=0.8, bbox=(1.0, 2.0, 3.0, 4.0), keypoints=body) for n in range(persons)),
    )


def event(device_id: str = "edge-1") -> Event:
    return Event(
        device_id=device_id,
        sent_at=NOW,
        code="camera.lost",
        severity=Severity.WARNING,
        message="the camera does not answer",
        facts={"after_s": 2.0, "source": "/dev/video0", "attempt": 1, "live": False, "cause": None},
    )
