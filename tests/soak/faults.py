"""What goes wrong in a soak, one a minute: each is begun, lasts, and is over."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from agent.wire.commands import ErrorCode, Job, JobStatus, ReplyStatus
from agent.wire.messages import Event
from tests.capture.mjpeg import Mode
from tests.soak.rig import TOPICS, Rig

NOTICED_S: Final = 30.0
"""A link that swallows everything is noticed within three times the keepalive."""
TOLD_S: Final = 3.0
"""A loss of the camera is reported within this time."""
SETTLED_S: Final = 1.0
PAUSED_S: Final = 5.0
MEASURED_S: Final = 3.0
COMMAND_S: Final = 120.0
BATCHES: Final = 10
REFUSED: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("set-device", {"device": "GPU.7"}),
    ("set-device", {"device": "HETERO:"}),
    ("set-precision", {"precision": "FP64"}),
    ("set-model", {"model": "../../etc/passwd"}),
    ("no-such-command", {}),
    ("describe", {"unknown": 1}),
    ("cancel", {"id": "nobody"}),
)
"""Commands no agent may follow. The last one is answered with `not_found`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of it."""

    name: str
    bound_s: float
    """From its end to the arrival of poses of a picture taken after its end."""
    do: Callable[[Rig], None]
    """Returns at its end. Raises AssertionError when the agent did not behave meanwhile."""
    explains: frozenset[str] = frozenset()
    """Events of the log, warning or worse, that belong to it."""


def _broker_killed(rig: Rig) -> None:
    rig.broker.kill()
    time.sleep(rig.away_s())
    rig.broker.start()


def _link_cut(rig: Rig) -> None:
    rig.proxy.cut()


def _link_half_open(rig: Rig) -> None:
    begin = datetime.now(UTC)
    rig.proxy.stall()
    try:
        rig.process.wait_log(
            "broker.lost", lambda entry: datetime.fromisoformat(entry["timestamp"]) > begin, timeout_s=NOTICED_S
        )
    finally:
        rig.proxy.resume()


def _camera_lost(rig: Rig) -> None:
    rig.camera.refuse()
    _told(rig, "camera.lost", TOLD_S)
    time.sleep(rig.away_s())
    rig.camera.listen()


def _picture_frozen(rig: Rig) -> None:
    rig.camera.set(Mode.FREEZE)
    _told(rig, "camera.frozen", rig.frozen_after_s + TOLD_S)
    time.sleep(rig.away_s())
    rig.camera.set(Mode.RUN)


def _told(rig: Rig, code: str, timeout_s: float) -> None:
    rig.ear.wait(
        lambda seen: seen.topic == TOPICS.event and Event.decode(bytes(seen.payload)).code == code, timeout_s=timeout_s
    )


def _asked(rig: Rig, name: str, **args: Any) -> None:
    reply = rig.ear.ask(name, COMMAND_S, **args)
    assert reply.status is ReplyStatus.SUCCEEDED, f"{name} {args} is answered with {reply.status}, {reply.error}"


def _device_switched(rig: Rig) -> None:
    for device in ("SIMCPU", "CPU"):
        _asked(rig, "set-device", device=device)


def _precision_switched(rig: Rig) -> None:
    for precision in ("FP16", "FP32"):
        _asked(rig, "set-precision", precision=precision)


def _commands_refused(rig: Rig) -> None:
    for _ in range(BATCHES):
        rig.ear.forget()
        sent = [rig.ear.send(name, **args) for name, args in REFUSED for _ in range(BATCHES)]
        replies = [rig.ear.reply(command) for command in sent]
        followed = [reply for reply in replies if reply.status not in {ReplyStatus.REJECTED, ReplyStatus.FAILED}]
        assert not followed, f"not refused: {followed[0]}"


def _paused(rig: Rig) -> None:
    _asked(rig, "pause")
    time.sleep(SETTLED_S)
    still_at = datetime.now(UTC)
    time.sleep(PAUSED_S)
    assert rig.ear.captured_at < still_at, "poses of pictures taken in a pause"
    _asked(rig, "resume")


def _benchmark_cancelled(rig: Rig) -> None:
    reply = rig.ear.ask("benchmark", COMMAND_S, clip="vtest", runs=5, seconds=5.0)
    assert reply.status is ReplyStatus.ACCEPTED, f"benchmark is answered with {reply.status}, {reply.error}"
    job_id = str((reply.result or {})["job"])
    topic = TOPICS.job(job_id)

    def wait(wanted: Callable[[Job], bool]) -> Job:
        seen = rig.ear.wait(
            lambda seen: seen.topic == topic and wanted(Job.decode(bytes(seen.payload))), timeout_s=COMMAND_S
        )
        return Job.decode(bytes(seen.payload))

    wait(lambda job: job.status is JobStatus.RUNNING)
    time.sleep(MEASURED_S)
    _asked(rig, "cancel", id=job_id)
    job = wait(lambda job: job.status in Job.FINAL)
    assert (job.status, job.error and job.error.code) == (JobStatus.CANCELLED, ErrorCode.CANCELLED), f"it ended {job}"


LOST: Final = frozenset({"broker.lost"})
DARK: Final = frozenset({"camera.lost", "camera.frozen"})
KILLED: Final = Fault("broker killed", 10.0, _broker_killed, LOST)
CAMERA: Final = Fault("camera lost", 5.0, _camera_lost, DARK)
# Ten, so that ten minutes hold each of them once; first come those after which a process holds more than before, which
# belongs to the warm-up. A broker's bounds are the promised 8 s + 1, and the second after which the listener is back.
FAULTS: Final = (
    Fault("precision switched", 2.0, _precision_switched),
    Fault("benchmark cancelled", 5.0, _benchmark_cancelled),
    Fault("device switched", 2.0, _device_switched),
    KILLED,
    CAMERA,
    Fault("commands refused", 2.0, _commands_refused),
    Fault("link half open", 10.0, _link_half_open, LOST),
    Fault("picture frozen", 5.0, _picture_frozen, DARK),
    Fault("link cut", 10.0, _link_cut, LOST),
    Fault("paused", 2.0, _paused),
)
