"""What systemd is told: that the agent is ready, what it does, and that it goes on. Nothing where no systemd listens.

The watchdog is fed by progress and never by a clock: a process that only turns is not fed, and systemd ends it. What
counts as progress is decided by :class:`Heart`, a table without thread, socket or clock. It is asked by the supervisor
between two happenings, so that a supervisor that hangs feeds nothing either.
"""

import math
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from agent.capture.address import redact
from agent.config.tree import Config
from agent.control.control import Control
from agent.control.state import Phase
from agent.link import Link
from agent.observe.telemetry import Telemetry
from agent.output.messages import Standing
from agent.wire.messages import Status

BEATS_PER_WATCHDOG = 4
"""So often within WatchdogSec it is asked whether there was progress: one that was just missed costs a quarter."""
BEAT_S = 2.5
"""How often systemd hears what is done where it set no watchdog."""
FPS_OVER_S = 5.0
EXTEND_S = 30.0
"""While it starts, it asks for so much more time, again and again."""
START_MAX_S = 900.0
"""A compile says nothing of itself: after so long it hangs. A GPU's first one takes a minute or two on a slow box."""
FRAME_PATIENCE_S = 10.0
"""A camera that is not known to be lost gives a frame in this time, or nobody noticed that it is."""
STEP_PATIENCE_S = 60.0
"""The longest step of a job besides building an engine, which may take `switch.timeout_s`."""


class Notifier:
    """Datagrams to the socket that systemd named in NOTIFY_SOCKET; does nothing where there is none."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted = environ.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(wanted) / 1e6 if mine and wanted.isdigit() and int(wanted) else None
        """Seconds without a word after which systemd ends the process; None where it does not."""

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def tell(self, *assignments: str) -> None:
        """Send assignments such as ``READY=1``. One that cannot be sent is lost: the next says the same."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(assignments).encode(), self._address)


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of life at one moment; the numbers count from the start."""

    link_alive: bool
    begun: int
    """Frames given to the device."""
    finished: int
    """Frames it answered, be it with an error."""
    looking: bool
    """Frames are wanted: neither paused nor put aside for a job."""
    camera_lost: bool
    """That is known and told, and the camera is tried again."""
    job_news: int | None
    """News of the job that has the box to itself; None where none has."""


class Heart:
    """Decides whether there was progress since it was last asked. Times are seconds on any one clock."""

    def __init__(self, now_s: float, frame_patience_s: float, job_patience_s: float) -> None:
        self._frame_patience_s = frame_patience_s
        self._job_patience_s = job_patience_s
        self._finished = 0
        self._job_news: int | None = None
        self._frame_s = self._job_s = now_s

    def beats(self, signs: Signs, now_s: float) -> bool:
        """Whether it goes on."""
        finished, self._finished = self._finished, signs.finished
        news, self._job_news = self._job_news, signs.job_news
        if signs.job_news != news:
            self._job_s = now_s
        if signs.finished != finished or not signs.looking or signs.camera_lost:
            self._frame_s = now_s  # from here on the next frame is waited for
        if not signs.link_alive:
            return False
        if signs.finished != finished:
            return True
        if signs.begun > signs.finished:
            return False  # the device owes an answer, whatever else is true
        if signs.job_news is not None:
            return now_s - self._job_s <= self._job_patience_s
        return now_s - self._frame_s <= self._frame_patience_s


class Service:
    """The agent as systemd sees it; everything is called by the supervisor."""

    def __init__(self, config: Config, control: Control, telemetry: Telemetry, link: Link | None) -> None:
        self._control = control
        self._telemetry = telemetry
        self._link = link
        self._notifier = Notifier()
        self._period_s = (self._notifier.watchdog_s or BEAT_S * BEATS_PER_WATCHDOG) / BEATS_PER_WATCHDOG
        self._began_s = time.monotonic()
        self._patience_s = (frame_patience_s(config), config.switch.timeout_s + STEP_PATIENCE_S)
        self._heart: Heart | None = None
        self._job_step = ""
        self._job_news = 0
        self.due_s = time.monotonic() if self._notifier else math.inf
        """When :meth:`turn` has something to do, on the monotonic clock."""

    def job_went_on(self, step: str) -> None:
        """A job is at another step."""
        self._job_news += 1
        self._job_step = step

    def turn(self, standing: Standing) -> None:
        """Do what is due: feed the watchdog if there was progress, and say what is done."""
        now_s = time.monotonic()
        if now_s < self.due_s:
            return
        self.due_s = now_s + self._period_s
        told = [f"STATUS={self._status(standing)}"]
        if self._heart is not None:
            told.append("READY=1")  # each time: a datagram may be lost
            if self._heart.beats(self._signs(standing), now_s):
                told.append("WATCHDOG=1")
        elif now_s - self._began_s < START_MAX_S:
            told.append(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1e6:.0f}")
        self._notifier.tell(*told)

    def ready(self) -> None:
        """The configuration is valid and the engine is built. The watchdog runs from here."""
        self._heart = Heart(time.monotonic(), *self._patience_s)
        self.due_s = min(self.due_s, time.monotonic())

    def stopping(self, code: int) -> None:
        """The agent is about to end."""
        self._notifier.tell("STOPPING=1", f"STATUS=stopping{' after a failure' if code else ''}")

    def _signs(self, standing: Standing) -> Signs:
        running = self._control.running
        assert running is not None
        alone = self._control.state.phase is Phase.WORKING and not running.pipeline.looking
        return Signs(
            link_alive=self._link is None or self._link.alive,
            begun=running.pipeline.begun,
            finished=running.pipeline.finished,
            looking=running.pipeline.looking,
            camera_lost=standing.camera == "lost",
            job_news=self._job_news if alone else None,
        )

    def _status(self, standing: Standing) -> str:
        now_s = time.perf_counter()
        fps, _latency = self._telemetry.pace(now_s - FPS_OVER_S, now_s)
        return describe(standing, fps, self._job_step)


def describe(standing: Standing, fps: float | None, job_step: str) -> str:
    """What the agent does, in a line for `systemctl status`."""
    since, engine = _clock(standing.since), standing.engine
    match standing.status:
        case Status.STARTING:
            told = f"starting since {since}"
        case Status.CAMERA_LOST:
            told = f"camera lost since {since}, tried again and again: {redact(standing.config.camera.source)}"
        case Status.PAUSED:
            told = f"paused since {since}"
        case Status.BENCHMARKING:
            told = f"measuring since {since}: {job_step}"
        case _:
            told = f"{standing.status} since {since}" + (f": {fps:.1f} FPS" if fps is not None else "")
    if engine is not None:
        told += f"; {engine.spec.model} {engine.spec.precision} on {engine.spec.device}"
    if standing.last_error:
        told += f"; last error: {standing.last_error}"
    return " ".join(told.split())


def frame_patience_s(config: Config) -> float:
    """How long a camera that is not known to be lost may give no frame. What is slow on purpose has its time."""
    camera = config.camera
    slowest = min(rate for rate in (camera.folder_fps, camera.fps_max) if rate is not None)
    return max(FRAME_PATIENCE_S, camera.open_timeout_s, 2 * camera.read_timeout_s, 2 / slowest)


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC"
