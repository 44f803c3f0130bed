"""What takes long, each in a thread of its own; what came of it goes into the agent's inbox."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from agent.config.tree import Config, Switch
from agent.control.courtesy import behind
from agent.control.events import Built, Done, Failed, Work
from agent.control.faults import failed
from agent.control.samples import Samples
from agent.control.workshop import CheckedLane, Workshop
from agent.errors import TooSlowError
from agent.observe.telemetry import Telemetry
from agent.output.messages import effective, rounded
from agent.pipeline import Handover, Lane
from agent.wire.commands import KEEPS_UP, Agreement, Pace, PlanAffinity, SwitchResult

RunJob = Callable[[Work, Callable[[str, float], None], threading.Event], Done]
"""Does a job: the work, whom to tell what it does and how far it is, and whether it is to be given up."""
HANDOVER_S = 5.0
"""How long the first result of a new engine is waited for, where frames flow."""
KEEPING_UP = 0.9
"""Of the camera's frames; of the rest it may be that it only began late."""
BEFORE_S = 5.0
"""Over so many seconds the old engine is measured, before it has to share the processor with a compiler."""


@dataclass(frozen=True, slots=True)
class Over:
    """A thread has ended its part; what it built comes along."""

    event: Built | Done | Failed
    lane: CheckedLane | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job, or what a command has to measure, is."""

    number: int
    step: str
    share: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """What is known of a switch at the moment of the swap."""

    work: Work
    lane: Lane
    agreement: Agreement | None
    handover: Handover
    before: Pace
    flowing: bool
    """Whether frames come: with a lost camera or a pause there is nothing to measure."""


class Works:
    """Starts the threads and tells them when to give up."""

    def __init__(
        self,
        workshop: Workshop,
        samples: Samples,
        telemetry: Telemetry,
        jobs: Mapping[str, RunJob],
        *,
        switch: Switch,
        captured: Callable[[], int] | None,
        post: Callable[[Over | Progress], None],
    ) -> None:
        self._workshop = workshop
        self._jobs = jobs
        self._samples = samples
        self._telemetry = telemetry
        self._switch = switch
        self._captured = captured
        self._post = post
        self._cancelled: dict[int, threading.Event] = {}
        self._in_use_since = 0.0

    def configure(self, config: Config, lane: Lane) -> Lane:
        """Build engines with these settings from now on; returns the engine in use, read as they say."""
        return self._workshop.configure(config, lane)

    def begin(self, work: Work) -> None:
        """Build, plan, or do a job."""
        cancelled = self._cancelled[work.number] = threading.Event()
        self._start(work, lambda: self._do(work, cancelled))

    def measure(self, swapped: Swapped) -> None:
        """See how fast the new engine is where it counts."""
        self._start(swapped.work, lambda: Over(Done(swapped.work.number, self._measured(swapped))))

    def cancel(self, number: int) -> None:
        """Tell a work to end as soon as it can; what it still brings is not wanted."""
        if (cancelled := self._cancelled.get(number)) is not None:
            cancelled.set()

    def pace(self) -> Pace:
        """How fast the engine in use was in the last seconds."""
        now = time.perf_counter()
        return _pace(self._telemetry, max(now - BEFORE_S, self._in_use_since), now)

    def _start(self, work: Work, act: Callable[[], Over]) -> None:
        def run() -> None:
            try:
                over = act()
            except Exception as error:  # noqa: BLE001 - top of the thread: the reply tells of it
                over = Over(failed(work.number, error))
            self._cancelled.pop(work.number, None)
            self._post(over)

        threading.Thread(target=run, name=f"work-{work.number}", daemon=True).start()

    def _do(self, work: Work, cancelled: threading.Event) -> Over:
        def tell(step: str, share: float) -> None:
            self._post(Progress(work.number, step, share))

        if work.job is not None:
            return Over(self._jobs[work.job.partition("-")[0]](work, tell, cancelled))
        frames, newest, settings = self._samples.frames(), self._samples.newest, work.settings
        with behind():
            if work.command is not None and isinstance(work.command.args, PlanAffinity):
                plan = self._workshop.plan(settings, newest, cancelled, tell)
                return Over(Done(work.number, plan.model_dump(mode="json")))
            judged = work.reshaping
            lane = self._workshop.build(settings, frames, cancelled, before=newest, judged=judged, tell=tell)
            return Over(Built(work.number), lane)

    def _measured(self, swapped: Swapped) -> dict[str, JsonValue]:
        handover, engine = swapped.handover, swapped.lane.engine
        after = Pace(fps=None, latency=None)
        meter = CameraMeter(self._captured if swapped.flowing else None)
        if handover.done.wait(HANDOVER_S if swapped.flowing else 0.0):
            self._in_use_since = handover.first_s
            meter = CameraMeter(self._captured)
            threading.Event().wait(self._switch.measure_s)
            after = _pace(self._telemetry, handover.first_s, time.perf_counter())
        # A size that was chosen because it keeps up has to: nobody asked for this one.
        ratio_min = self._switch.min_fps_ratio if swapped.work.fit is None else KEEPING_UP
        judged = judge(after.fps, *meter.read(), ratio_min)
        facts = effective(engine)
        plan = engine.facts.plan
        return SwitchResult(
            requested=swapped.work.settings.requested(),
            effective=facts,
            compile_ms=facts.compile_ms,
            first_infer_ms=facts.first_infer_ms,
            gap_ms=rounded({"gap": handover.gap_ms})["gap"],
            frames_lost=handover.frames_lost,
            before=swapped.before,
            after=after,
            camera_fps=judged.camera_fps,
            verdict=judged.verdict,
            agreement=swapped.agreement,
            plan=plan.model_dump(mode="json", exclude={"mermaid"}) if plan else None,
        ).model_dump(mode="json")


class CameraMeter:
    """Frames that a camera gives, from the moment it is made; nobody's where there is no camera."""

    def __init__(self, captured: Callable[[], int] | None) -> None:
        self._captured = captured
        self._began_s = time.perf_counter()
        self._before = captured() if captured else 0

    def read(self) -> tuple[float | None, float]:
        """Frames a second, None where none came, and the seconds it was measured over."""
        took_s = time.perf_counter() - self._began_s
        frames = self._captured() - self._before if self._captured else 0
        return frames / took_s if frames else None, took_s


@dataclass(frozen=True, slots=True)
class Judged:
    """How an engine does against the camera."""

    camera_fps: float | None
    verdict: str | None


def judge(fps: float | None, camera_fps: float | None, took_s: float, ratio_min: float | None) -> Judged:
    """Whether an engine that finished ``fps`` frames a second keeps up with a camera, measured over ``took_s``.

    One frame more or less is chance. Raises TooSlowError below ``ratio_min`` of the camera's frames.
    """
    if camera_fps is None:
        return Judged(None, None)
    told = rounded({"camera": camera_fps})["camera"]
    share = round(((fps or 0.0) + 1 / took_s) / camera_fps, 6)  # of sums that are equal, one may come out less
    slow = f"falls behind: {fps or 0:.1f} of {camera_fps:.{0 if camera_fps >= 10 else 1}f} fps"
    if ratio_min is not None and share < ratio_min:
        raise TooSlowError(
            f"it {slow}, less than switch.min_fps_ratio = {ratio_min:g} asks for",
            hint="choose a faster device, precision or input size, or a lower ratio",
        )
    return Judged(told, KEEPS_UP if share >= KEEPING_UP else slow)


def _pace(telemetry: Telemetry, since: float, until: float) -> Pace:
    fps, latency = telemetry.pace(since, until)
    return Pace(**rounded({"fps": fps, "latency": latency}))
