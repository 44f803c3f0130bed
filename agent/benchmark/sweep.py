"""The study on this box: row after row, written down after each, so that a restart goes on where it was."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from agent.benchmark.baseline import Original
from agent.benchmark.clips import Footage
from agent.benchmark.limit import Limits
from agent.benchmark.load import LoadMeter
from agent.benchmark.measure import Measured, agree, run_once
from agent.benchmark.rows import best, settings_of
from agent.benchmark.statistics import another, counted, percentiles, spread
from agent.config.tree import Config
from agent.control.asking import Box, require_precision
from agent.control.settings import Settings
from agent.control.workshop import Workshop, exact
from agent.errors import CancelledError, EdgeposeError, ModelError
from agent.inference.engine import Engine
from agent.inference.network import Network
from agent.output.messages import effective
from agent.pipeline import Lane
from agent.poses.agreement import POSSIBLE, Outcome, verdict
from agent.poses.decoders import Decoder, decoder_for
from agent.poses.skeleton import Poses
from agent.tracking import Track, track_stage
from agent.wire.commands import CommandError, Measuring, Sweep
from agent.wire.devices import DeviceString, require
from agent.wire.study import Recipe, Row, Study
from models.shelf.store import Store

Tell = Callable[[str, float], None]
Keep = Callable[[Study], None]
Begin = Callable[[int], bool]
GOING_ON_S = 10.0
"""So often a long run tells that it goes on: who watches the agent would take its silence for a hang."""
LIMIT_S = 3.0
"""How long the raw throughput of each row is measured."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a study needs of the box. The footage is read from its start for every run."""

    config: Config
    store: Store
    workshop: Workshop
    limits: Limits
    box: Box
    footage: Footage


class Studying:
    """One study under way; :meth:`run` blocks, and belongs in a thread of its own while the live pipeline is paused.

    ``begin`` is told the place of a row before it is measured and says whether to; ``keep`` is given the study after
    every row, ``tell`` what is being done and how far it is.
    """

    def __init__(
        self, bench: Bench, study: Study, *, begin: Begin, keep: Keep, tell: Tell, cancelled: threading.Event
    ) -> None:
        self._bench = bench
        self._study = study
        self._begin = begin
        self._keep = keep
        self._tell = tell
        self._cancelled = cancelled
        self._card = bench.store.card(study.model)
        self._found: Sequence[Poses] | None = None
        self._told: tuple[str, float, float] = ("", 0.0, 0.0)

    def run(self, recipes: Sequence[Recipe], args: Measuring) -> Study:
        """Measure what is left of ``recipes``: the study's rows are the first of them. Raises CancelledError."""
        baseline_runs = args.baseline_runs if isinstance(args, Sweep) else 0
        for place in range(len(self._study.rows), len(recipes)):
            recipe = recipes[place]
            tell = self._teller(place, len(recipes), describe(recipe))
            runs = baseline_runs if recipe.engine == "original" else args.runs
            if self._begin(place):
                self._add(self._row(recipe, runs, tell))
            else:
                self._add(Row(recipe=recipe, status="failed", reason="the agent died each time it was measured"))
        return self._study

    def _teller(self, place: int, rows: int, name: str) -> Tell:
        """Tells of one row as part of the whole, unless it was cancelled: then no other step is begun."""

        def tell(what: str, share: float) -> None:
            if self._cancelled.is_set():
                raise CancelledError(f"cancelled in row {place + 1} of {rows}, {name}")
            self._told = f"row {place + 1} of {rows}, {name}: {what}", (place + share) / rows, time.monotonic()
            self._tell(*self._told[:2])

        return tell

    def _goes_on(self, frames: int) -> None:
        step, share, told_s = self._told
        if time.monotonic() - told_s > GOING_ON_S:
            self._told = step, share, time.monotonic()
            self._tell(f"{step}, {frames} frames", share)

    def _add(self, row: Row) -> None:
        """Put a row to the others, with its speed-up over the original model, and keep the study."""
        rows = (*self._study.rows, row)
        original = next((row.fps for row in rows if row.recipe.engine == "original" and row.fps), None)
        if original is not None and row.fps is not None:
            rows = (*rows[:-1], row.model_copy(update={"speedup": row.fps.mean / original.mean}))
        winners = {"best_throughput": best(rows, "best-throughput"), "best_latency": best(rows, "best-latency")}
        self._study = self._study.model_copy(update={"rows": rows, **winners})
        self._keep(self._study)

    def _row(self, recipe: Recipe, runs: int, tell: Tell) -> Row:
        try:
            device = DeviceString.parse(recipe.device)
            require(device, self._bench.box.devices)
            require_precision(recipe.model, recipe.precision, self._bench.box)
            if recipe.engine == "original":
                return self._original(recipe, runs, tell)
            return self._openvino(recipe, runs, tell)
        except CancelledError:
            raise
        except CommandError as error:
            return Row(recipe=recipe, status="unavailable", reason=_reason(error.message, error.hint))
        except ModelError as error:
            return Row(recipe=recipe, status="unavailable", reason=_reason(str(error), error.hint))
        except EdgeposeError as error:
            return Row(recipe=recipe, status="failed", reason=_reason(str(error), error.hint))

    def _openvino(self, recipe: Recipe, runs: int, tell: Tell) -> Row:
        tell("compiling", 0.0)
        with self._engine(settings_of(recipe)) as engine:
            tell("warming up", 0.05)
            warm = self._run(engine, POSSIBLE, keep_poses=True)
            done = self._runs(runs, tell, lambda: self._run(engine, self._score_min()))
            tell("raw limit", 0.95)
            # Of two stages it is not the network alone that bounds a frame, but how many people are in it.
            limits, gflops = self._bench.limits, self._study.gflops_per_frame
            limit = limits.limit(engine, gflops, LIMIT_S) if isinstance(engine, Engine) else None
            facts, plan = effective(engine), engine.facts.plan
            agreement = agree(self._reference(), warm.poses)
            judged = verdict(agreement, **self._study.bar.model_dump())
            passed = None if judged.outcome is Outcome.UNJUDGED else judged.outcome is Outcome.PASSED
            return _figures(recipe, done, runs).model_copy(
                update={
                    "effective": facts,
                    "bytes_moved": plan.bytes_moved if plan else None,
                    "agreement": agreement,
                    "accurate": True if exact(engine) else passed,
                    "limit": limit,
                }
            )

    def _original(self, recipe: Recipe, runs: int, tell: Tell) -> Row:
        tell("loading", 0.0)
        original = Original(self._bench.store, self._card, self._study.input, self._decoder(POSSIBLE))
        once = partial(self._once, original.run_once)
        tell("warming up", 0.05)
        warm = once(keep_poses=True)
        done = self._runs(runs, tell, once)
        agreement = agree(self._reference(), warm.poses)
        return _figures(recipe, done, runs).model_copy(update={"agreement": agreement})

    def _runs(self, wanted: int, tell: Tell, once: Callable[[], Measured]) -> list[Measured]:
        done: list[Measured] = []
        while another([measured.run for measured in done], wanted):
            disturbed = sum(measured.run.disturbed is not None for measured in done)
            again = f", {disturbed} disturbed" if disturbed else ""
            quiet = len(done) - disturbed
            tell(f"run {quiet + 1} of {wanted}{again}", 0.1 + 0.85 * min(1.0, len(done) / wanted))
            done.append(once())
        return done

    def _run(self, engine: Network, score_min: float, *, keep_poses: bool = False) -> Measured:
        return self._once(partial(run_once, Lane(engine, self._decoder(score_min))), keep_poses=keep_poses)

    def _once(self, run: Callable[..., Measured], *, keep_poses: bool = False) -> Measured:
        """Run the footage from its start; ``run`` is :func:`run_once` of a lane, or of the original model."""
        with closing(self._bench.footage.open()) as source:
            return run(
                source,
                track=self._track(),
                meter=LoadMeter(),
                cancelled=self._cancelled,
                keep_poses=keep_poses,
                goes_on=self._goes_on,
            )

    def _reference(self) -> Sequence[Poses]:
        """What the best precision here finds on the CPU in each frame of the clip; looked at once."""
        if self._found is None:
            best = self._bench.store.precisions(self._study.model)[0]
            plain = Settings(model=self._study.model, device="CPU", precision=best, hint="throughput")
            with self._engine(plain) as engine:
                self._found = self._run(engine, POSSIBLE, keep_poses=True).poses
        return self._found

    def _engine(self, settings: Settings) -> Network:
        return self._bench.workshop.engine(settings, self._study.input)

    def _decoder(self, score_min: float) -> Decoder:
        most = self._bench.config.model.persons_max
        return decoder_for(self._card, person_score_min=score_min, persons_max=most)

    def _score_min(self) -> float:
        return self._bench.config.model.person_score_min

    def _track(self) -> Track | None:
        return track_stage(self._bench.config.tracking, self._bench.config.smoothing)


def describe(recipe: Recipe) -> str:
    """A row's name, as progress shows it."""
    if recipe.engine == "original":
        return "original model"
    parts = (recipe.device, recipe.affinity, recipe.precision, recipe.hint)
    return " ".join(part for part in parts if part)


def _figures(recipe: Recipe, done: Sequence[Measured], wanted: int) -> Row:
    """What the runs come to."""
    places = counted([measured.run for measured in done], wanted)
    runs = [done[place] for place in places]
    p50, p95, p99 = percentiles([value for measured in runs for value in measured.latencies_ms])
    return Row(
        recipe=recipe,
        status="measured",
        runs=tuple(measured.run for measured in runs),
        fps=spread([measured.run.fps for measured in runs]),
        latency_ms=spread([measured.run.latency_ms_mean for measured in runs]),
        latency_ms_p50=p50,
        latency_ms_p95=p95,
        latency_ms_p99=p99,
        disturbed_runs=sum(measured.run.disturbed is not None for measured in done),
    )


def _reason(message: str, hint: str) -> str:
    return f"{message} ({hint})" if hint else message
