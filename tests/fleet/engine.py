"""What answers in place of camera and engine: figures and poses of a recorded clip, handed on by one clock for all.

Everything else of a box is the agent's own: supervisor, link, control with its state machine and record, telemetry and
messages. A switch runs through the agent's own works and takes its time; what comes of it is the box's behaviour.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

import numpy as np

from agent.assembly import Ready
from agent.capture.frame import CaptureCounts, CaptureEvent, Frame
from agent.config.tree import Config
from agent.control import journal
from agent.control.control import Running
from agent.control.inventory import Known
from agent.control.samples import Samples
from agent.control.settings import Settings
from agent.control.works import Works
from agent.control.workshop import CheckedLane
from agent.errors import TrialError
from agent.inference.spec import EngineFacts, EngineSpec
from agent.observe.telemetry import Summary, Telemetry, Timing
from agent.output.keypoints import Outlet, encode_keypoints
from agent.pipeline import Handover, Lane, Result
from agent.poses.skeleton import Poses
from agent.wire.messages import DeviceInfo
from models.shelf.catalogue import Precision

TICK_S: Final = 0.5
"""How often the clock hands on frames."""
DEVICES: Final = (DeviceInfo(name="CPU", full_name="simulated", capabilities=("FP32", "INT8")),)
MODELS: Final[dict[str, tuple[Precision, ...]]] = {"movenet-multipose": ("FP32", "FP16", "INT8")}
PICTURE: Final = np.empty((576, 768, 3), np.uint8)
CLIP: Final = tuple((16.0 + 4.0 * (number % 7), number % 4) for number in range(28))
"""Of each frame of a clip the milliseconds of inference and the people, again and again."""


@dataclass(slots=True)
class Behaviour:
    """What a box does when it is told to change its engine."""

    fps: float = 10.0
    fails: bool = False
    """The new engine does not pass its trial."""
    slows_to: float | None = None
    """Frames a second after a switch to a precision below FP32."""
    vanishes: bool = False
    """It is gone amid a switch, without a goodbye."""


@dataclass(slots=True)
class SimulatedEngine:
    """An engine as far as messages tell of it."""

    spec: EngineSpec
    generation: int = 1
    facts: EngineFacts = field(init=False)

    def __post_init__(self) -> None:
        self.facts = EngineFacts(
            execution_devices=("CPU",),
            model_precision=self.spec.precision,
            inference_precision="F32",
            submodels=None,
            infer_requests=2,
            compile_ms=50.0,
            first_infer_ms=16.0,
            from_cache=False,
        )

    def close(self) -> None:
        """Nothing is held."""


class SimulatedPipeline:
    """Frames at the box's rate, while it looks; as the agent's pipeline is called."""

    def __init__(self, behaviour: Behaviour, lane: Lane, telemetry: Telemetry, outlet: Outlet, device_id: str) -> None:
        self._behaviour = behaviour
        self._lane = lane
        self._telemetry = telemetry
        self._outlet = outlet
        self._device_id = device_id
        self._handover: Handover | None = None
        self._lock = threading.Lock()
        self._until_s = time.perf_counter()
        self._due = 0.0
        self._said = 0.0
        self.looking = True
        self.begun = self.finished = 0

    def pause(self) -> None:
        """Take no more frames."""
        self.looking = False

    def resume(self) -> None:
        """Go on."""
        self.looking = True

    def read_by(self, lane: Lane) -> None:
        """Take another decoder."""
        self._lane = lane

    def replace(self, lane: Lane) -> tuple[Lane, Handover]:
        """Take another engine."""
        old, self._lane = self._lane, lane
        self._handover = Handover(lane.engine.generation)
        return old, self._handover

    @property
    def fps(self) -> float:
        """What the engine in use manages."""
        slow = self._behaviour.slows_to
        return slow if slow is not None and self._lane.engine.spec.precision != "FP32" else self._behaviour.fps

    def tick(self, keypoints_fps: float = 0.0) -> None:
        """Hand on the frames that are due by now: as many as the rate says, however late somebody asks for them."""
        with self._lock:
            self._tick(keypoints_fps)

    def _tick(self, keypoints_fps: float) -> None:
        now_s = time.perf_counter()
        elapsed_s, self._until_s = now_s - self._until_s, now_s
        if not self.looking:
            return
        self._due += elapsed_s * self.fps
        frames, self._due = int(self._due), self._due % 1
        for number in range(frames):
            infer_ms, persons = CLIP[self.begun % len(CLIP)]
            self.begun += 1
            finished_s = now_s - (frames - 1 - number) / self.fps
            self._telemetry.add(Timing(0.3, 0.8, infer_ms, 0.7, 0.1, 0.7, infer_ms + 4, finished_s, persons))
            self.finished += 1
        self._said += elapsed_s * keypoints_fps
        if self._said >= 1 and frames:
            self._said %= 1
            self._outlet.keypoints(self._message())
        if (handover := self._handover) is not None and frames:
            handover.gap_ms, handover.first_s, self._handover = 50.0, now_s, None
            handover.done.set()

    def _message(self) -> bytes:
        persons = CLIP[self.begun % len(CLIP)][1]
        keypoints = np.tile(np.array((130.0, 180.0, 0.8), np.float32), (persons, 17, 1))
        boxes = np.tile(np.array((100.0, 100.0, 60.0, 160.0), np.float32), (persons, 1))
        poses = Poses(keypoints, boxes, np.full(persons, 0.8, np.float32))
        frame = Frame(PICTURE, self.begun, datetime.now(UTC), time.perf_counter(), 0.3)
        engine = self._lane.engine
        return encode_keypoints(Result(frame, poses, engine.generation, engine.spec.model), self._device_id)


class SimulatedWorkshop:
    """Builds what a box's behaviour lets it, in no time."""

    def __init__(self, behaviour: Behaviour, vanish: Callable[[], None]) -> None:
        self._behaviour = behaviour
        self._vanish = vanish

    def build(self, settings: Settings, *_frames: object, **_more: object) -> CheckedLane:
        """Make the engine of these settings. Raises TrialError where the box is one that fails."""
        if self._behaviour.vanishes:
            self._vanish()
        if self._behaviour.fails and settings.precision != "FP32":
            raise TrialError("the simulated box fails", hint="it was told to")
        return CheckedLane(lane_of(settings), None)

    def configure(self, _config: Config, lane: Lane) -> Lane:
        """Nothing is read by a decoder."""
        return lane


def lane_of(settings: Settings) -> Lane:
    """An engine with these settings."""
    spec = EngineSpec(settings.model, settings.device, settings.precision, 256, 256, settings.hint)
    engine: Any = SimulatedEngine(spec)
    nothing: Any = None
    return Lane(engine, nothing)


class SimulatedSource:
    """Counts what the pipeline has taken."""

    def __init__(self, pipeline: SimulatedPipeline) -> None:
        self._pipeline = pipeline

    def counts(self) -> CaptureCounts:
        """Frames taken; none is dropped."""
        return CaptureCounts(self._pipeline.begun, 0)


class SimulatedAssembly:
    """In place of :class:`agent.assembly.Assembly`."""

    def __init__(self, behaviour: Behaviour, clock: "Clock", vanish: Callable[[], None]) -> None:
        self._behaviour = behaviour
        self._clock = clock
        self._vanish = vanish
        self._pipeline: SimulatedPipeline | None = None

    def made(
        self,
        config: Config,
        outlet: Outlet,
        telemetry: Telemetry,
        _frames_max: int | None,
        post: Callable[[Any], None],
        **_more: object,
    ) -> "SimulatedAssembly":
        """Take what an agent gives its assembly."""
        self._config, self._outlet, self._telemetry, self._post = config, outlet, telemetry, post
        return self

    def start(self, candidates: list[journal.Record]) -> None:
        """Tell what the box has, and that it runs."""
        record = candidates[0]
        settings = journal.running(record)
        lane = lane_of(settings)
        self._post(Known(DEVICES, dict(MODELS)))
        pipeline = SimulatedPipeline(self._behaviour, lane, self._telemetry, self._outlet, self._config.device_id)
        if record.settings.paused:
            pipeline.pause()
        samples = Samples()
        workshop: Any = SimulatedWorkshop(self._behaviour, self._vanish)
        source = SimulatedSource(pipeline)
        works = Works(
            workshop,
            samples,
            self._telemetry,
            {},
            switch=self._config.switch,
            captured=lambda: source.counts().captured,
            post=self._post,
        )
        told: Any = (pipeline, source)
        self._post(Ready(Running(told[0], lane, works, samples), told[1], record, None))
        self._post(CaptureEvent("camera.opened", "768x576 from a simulated camera"))
        self._pipeline = pipeline
        self._clock.add(pipeline)
        take = self._telemetry.take

        def caught_up() -> Summary:
            pipeline.tick()
            return take()

        vars(self._telemetry)["take"] = caught_up  # a busy machine must not look like a slow box

    def configure(self, config: Config) -> None:
        """Take other settings."""
        self._config = config

    def give_up(self) -> None:
        """Nothing has to be given up."""

    def close(self) -> None:
        """Hand on no more frames."""
        if self._pipeline is not None:
            self._clock.remove(self._pipeline)


class Clock:
    """One thread that hands on the frames of every box, as a context manager."""

    def __init__(self, keypoints_fps: float = 0.0) -> None:
        self._keypoints_fps = keypoints_fps
        self._lock = threading.Lock()
        self._pipelines: set[SimulatedPipeline] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def add(self, pipeline: SimulatedPipeline) -> None:
        """Hand on its frames from now on."""
        with self._lock:
            self._pipelines.add(pipeline)

    def remove(self, pipeline: SimulatedPipeline) -> None:
        """Hand on no more."""
        with self._lock:
            self._pipelines.discard(pipeline)

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            with self._lock:
                pipelines = tuple(self._pipelines)
            for pipeline in pipelines:
                pipeline.tick(self._keypoints_fps)
