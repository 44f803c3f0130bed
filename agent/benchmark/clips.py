"""What a benchmark looks at: an installed clip, the configured file, or one recorded from the camera for it."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from agent.capture import open_source
from agent.capture.first import FirstFrames, FirstSeconds
from agent.capture.frame import CaptureEvent, Image, Source
from agent.config.tree import Camera, Config
from agent.control.recording import Recorder
from agent.control.samples import Samples
from agent.errors import CaptureError, ConfigError
from agent.pipeline import Result
from agent.wire.commands import Measuring
from agent.wire.study import Clip
from models.shelf.store import Store

Tell = Callable[[str], None]

RECORDED_MAX = 300
"""Frames of a recorded clip, which is read again from its start until a run has as many as it needs."""
RECORDED_MIN = 10
READ_S = 5.0
RECORDING_S = 60.0
FPS = "fps"
"""File beside the pictures of a recorded clip, written last."""


class Footage(Protocol):
    """What is looked at, to be opened anew for every run."""

    @property
    def clip(self) -> Clip:
        """What it is."""

    def at_pace(self, fps_max: float | None, seconds: float) -> "Footage":
        """So many seconds of it at its own pace, frames dropped as a camera's are, at most ``fps_max`` a second."""

    def open(self) -> Source:
        """Open it at its start; it ends after a run's frames, or its seconds. Raises CaptureError and ModelError."""


@dataclass(frozen=True, slots=True)
class Reel:
    """A clip."""

    clip: Clip
    camera: Camera
    """How it is opened: every frame, as fast as it goes, again from its start where it is too short."""
    resolve: Callable[[str], Path]
    """Finds the file of ``clip:NAME``."""
    seconds: float | None = None
    """How long it lasts where it is not as many frames as a run has."""

    def at_pace(self, fps_max: float | None, seconds: float) -> "Reel":
        """As :meth:`Footage.at_pace`."""
        camera = self.camera.model_copy(update={"pace": "native", "lossless": False, "fps_max": fps_max})
        return replace(self, camera=camera, seconds=seconds)

    def open(self) -> Source:
        """As :meth:`Footage.open`."""
        source = open_source(self.camera, resolve_clip=self.resolve, notify=_quiet)
        return FirstFrames(source, self.clip.frames) if self.seconds is None else FirstSeconds(source, self.seconds)


class Clips:
    """Finds what is looked at. ``samples`` sees what the running pipeline sees."""

    def __init__(self, config: Config, store: Store, samples: Samples) -> None:
        self._config = config
        self._store = store
        self._samples = samples
        self._folder = config.paths.state / f"{config.device_id}-clip"

    def forget(self) -> None:
        """Delete a recorded clip that a killed agent left behind; not while a benchmark that uses it is to go on."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def footage(self, args: Measuring, tell: Tell, cancelled: threading.Event) -> Iterator[Reel]:
        """Lend the clip of a benchmark; one recorded for it is deleted at the end.

        Recording needs results of the running pipeline for a while. A clip that was recorded before the agent was
        killed is used again. Raises ModelError for a clip that is not installed, CaptureError for one that cannot be
        read and a camera that gives no frames, ConfigError where there is no clip and none may be recorded, and
        CancelledError.
        """
        camera = self._config.camera
        if args.clip is not None:
            yield self._described(args.clip, Camera(source=f"clip:{args.clip}"), args)
        elif not camera.live:
            yield self._described(_shown(camera.source), camera, args)
        else:
            if not self._config.benchmark.record_from_camera:
                raise ConfigError(
                    "camera.source is a live camera, and no two runs of it are alike",
                    hint="name an installed clip, or set benchmark.record_from_camera to have one recorded and deleted",
                )
            try:
                yield self._recorded(args, tell, cancelled)
            finally:
                self.forget()

    def _recorded(self, args: Measuring, tell: Tell, cancelled: threading.Event) -> Reel:
        if not (self._folder / FPS).is_file():
            self.forget()
            self._record(args, tell, cancelled)
        fps = float((self._folder / FPS).read_text(encoding="ascii"))
        # The pictures were turned before they were recorded.
        camera = Camera(source=str(self._folder.absolute()), folder_fps=fps, roi=self._config.camera.roi)
        return self._described("camera", camera, args)

    def _record(self, args: Measuring, tell: Tell, cancelled: threading.Event) -> None:
        self._folder.mkdir(mode=0o700, parents=True)
        most = min(args.frames or RECORDED_MAX, RECORDED_MAX)
        recorder = Recorder(self._folder, most, _whole)
        seconds = min(args.seconds, RECORDING_S) if args.frames is None else RECORDING_S
        recorder.record(
            self._samples, seconds, lambda taken: tell(f"recording the clip: {taken} of {most} frames"), cancelled
        )
        if recorder.taken < RECORDED_MIN:
            raise CaptureError(
                f"the camera gave {recorder.taken} frames in {seconds:g} s, at least {RECORDED_MIN} are needed",
                hint="is it lost, or the agent paused?",
            )
        fps = (recorder.taken - 1) / (recorder.last_s - recorder.first_s)
        written = self._folder / f"{FPS}.part"
        written.write_text(str(min(fps, 1000.0)), encoding="ascii")
        written.replace(self._folder / FPS)

    def _described(self, name: str, camera: Camera, args: Measuring) -> Reel:
        camera = camera.model_copy(update={"pace": "fast", "lossless": True, "loop": True, "fps_max": None})
        with closing(open_source(camera, resolve_clip=self._store.clip, notify=_quiet)) as source:
            first, second = (source.read(READ_S) for _ in range(2))
        assert first is not None
        assert second is not None
        assert first.media_s is not None
        assert second.media_s is not None
        height, width = first.size
        fps = 1 / (second.media_s - first.media_s)
        frames = args.frames or max(RECORDED_MIN, round(args.seconds * fps))
        clip = Clip(name=name, frames=frames, width=width, height=height, fps=fps)
        return Reel(clip, camera, self._store.clip)


def _shown(source: str) -> str:
    """A file's own name, or that of an installed clip: folders are nobody's business."""
    return Path(source.removeprefix("clip:")).name or "clip"


def _whole(result: Result) -> Image:
    return result.frame.image


def _quiet(_event: CaptureEvent) -> None:
    pass
