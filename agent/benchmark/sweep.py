"""The study on this box: row after row, written down after each, so that a restart goes on where it was."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from agent.benchmark.baseline import Original
from agent.benchmark.measure import Measured, agree
from agent.benchmark.rows import best, settings_of, sides_of
from agent.benchmark.runs import Bench, Runs, gflops_per_frame
from agent.benchmark.statistics import another, counted, percentiles, spread
from agent.control.settings import Settings
from agent.control.workshop import exact
from agent.errors import CancelledError, ConfigError, EdgeposeError, ModelError
from agent.inference.engine import Engine
from agent.inference.network import Network
from agent.output.messages import effective
from agent.poses.agreement import POSSIBLE, Outcome, verdict
from agent.poses.skeleton import Poses
from agent.wire.commands import Agreement, CommandError, Measuring, Sweep
from agent.wire.study import Recipe, Row, Study

Tell = Callable[[str, float], None]
Keep = Callable[[Study], None]
Begin = Callable[[int], bool]
GOING_ON_S = 10.0
"""So often a long run tells that it goes on: who watches the agent would take its silence for a hang."""
LIMIT_S = 3.0
"""How long the raw throughput of each row is measured."""


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
        self._runs_of = Runs(bench, cancelled, self._goes_on)
        self._found: Sequence[Poses] | None = None
        self._judge: tuple[int, int] | None = None
        self._told: tuple[str, float, float] = ("", 0.0, 0.0)

    def run(self, recipes: Sequence[Recipe], args: Measuring) -> Study:
        """Measure what is left of ``recipes``: the study's rows are the first of them. Raises CancelledError."""
        self._judge = self._largest(recipes)
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
            self._runs_of.require(recipe)
            if recipe.engine == "original":
                return self._original(recipe, runs, tell)
            return self._openvino(recipe, runs, tell)
        except CancelledError:
            raise
        except CommandError as error:
            return Row(recipe=recipe, status="unavailable", reason=_reason(error.message, error.hint))
        except (ModelError, ConfigError) as error:  # the latter for a size that the network does not take
            return Row(recipe=recipe, status="unavailable", reason=_reason(str(error), error.hint))
        except EdgeposeError as error:
            return Row(recipe=recipe, status="failed", reason=_reason(str(error), error.hint))

    def _openvino(self, recipe: Recipe, runs: int, tell: Tell) -> Row:
        settings, model = settings_of(recipe), recipe.model
        size = self._study.input if recipe.long_side is None else self._runs_of.size(settings)
        tell("compiling", 0.0)
        with self._runs_of.engine(settings, size) as engine:
            tell("warming up", 0.05)
            warm = self._runs_of.run(engine, model, POSSIBLE, keep_poses=True)
            done = self._runs(runs, tell, lambda: self._runs_of.run(engine, model, self._score_min()))
            tell("raw limit", 0.95)
            agreement = agree(self._reference(), warm.poses)
            return _figures(recipe, done, runs).model_copy(
                update=self._of_engine(engine, recipe, size) | self._judged(engine, size, agreement)
            )

    def _of_engine(self, engine: Network, recipe: Recipe, size: tuple[int, int]) -> dict[str, object]:
        """What is known of an idle engine itself."""
        asked, plan = recipe.long_side is not None, engine.facts.plan
        gflops = gflops_per_frame(self._bench.store, recipe.model, size) if asked else self._study.gflops_per_frame
        # Of two stages it is not the network alone that bounds a frame, but how many people are in it.
        limit = self._bench.limits.limit(engine, gflops, LIMIT_S) if isinstance(engine, Engine) else None
        return {
            "effective": effective(engine),
            "bytes_moved": plan.bytes_moved if plan else None,
            "input": size if asked else None,
            "limit": limit,
        }

    def _judged(self, engine: Network, size: tuple[int, int], agreement: Agreement) -> dict[str, object]:
        judged = verdict(agreement, **self._study.bar.model_dump())
        passed = None if judged.outcome is Outcome.UNJUDGED else judged.outcome is Outcome.PASSED
        same = exact(engine) and size == self._judge
        return {"agreement": agreement, "accurate": True if same else passed}

    def _original(self, recipe: Recipe, runs: int, tell: Tell) -> Row:
        tell("loading", 0.0)
        store, runs_of = self._bench.store, self._runs_of
        decoder = runs_of.decoder(recipe.model, POSSIBLE)
        size = self._judge or self._study.input  # what is compared with it has the same input, where any has
        original = Original(store, store.card(recipe.model), size, decoder)
        once = partial(runs_of.once, original.run_once)
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

    def _reference(self) -> Sequence[Poses]:
        """What the best precision here finds on the CPU in each frame, at the largest size; looked at once."""
        if self._found is None:
            plain, size = self._plain(), self._judge or self._study.input
            with self._runs_of.engine(plain, size) as engine:
                self._found = self._runs_of.run(engine, plain.model, POSSIBLE, keep_poses=True).poses
        return self._found

    def _plain(self) -> Settings:
        best = self._bench.store.precisions(self._study.model)[0]
        return Settings(model=self._study.model, device="CPU", precision=best, hint="throughput")

    def _largest(self, recipes: Sequence[Recipe]) -> tuple[int, int]:
        """Of the sizes that are measured: a smaller one is not to be chosen at the price of people."""
        sides = sides_of(recipes)
        return self._runs_of.largest(self._plain(), sides) if sides else self._study.input

    def _score_min(self) -> float:
        return self._bench.config.model.person_score_min


def describe(recipe: Recipe) -> str:
    """A row's name, as progress shows it."""
    if recipe.engine == "original":
        return "original model"
    side = f"{recipe.long_side} px" if recipe.long_side else None
    parts = (recipe.device, recipe.affinity, recipe.precision, recipe.hint, side)
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
