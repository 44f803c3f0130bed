"""The study on this box: row after row, written down after each, so that a restart goes on where it was."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from agent.benchmark.baseline import Original
from agent.benchmark.measure import Measured, agree
from agent.benchmark.rounds import counting, next_place, with_drift, with_figures
from agent.benchmark.rows import best, settings_of, sides_of
from agent.benchmark.runs import Bench, Progress, Runs, gflops_per_frame
from agent.control.settings import Settings
from agent.control.workshop import Tell, exact
from agent.errors import CancelledError, ConfigError, EdgeposeError, ModelError
from agent.inference.engine import Engine
from agent.inference.network import Network
from agent.output.messages import effective
from agent.poses.agreement import POSSIBLE, Outcome, verdict
from agent.poses.skeleton import Poses
from agent.wire.commands import Agreement, CommandError, Measuring, Sweep
from agent.wire.study import Recipe, Row, Study

Keep = Callable[[Study], None]
Begin = Callable[[int], bool]
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
        self._progress = Progress(tell)
        self._cancelled = cancelled
        self._runs_of = Runs(bench, cancelled, self._progress.goes_on)
        self._found: Sequence[Poses] | None = None
        self._judge: tuple[int, int] | None = None
        self._wanted: list[int] = []
        """Runs of each row."""
        self._done: dict[int, list[Measured]] = {}
        self._held: _Ready | None = None

    def run(self, recipes: Sequence[Recipe], args: Measuring) -> Study:
        """Measure what is left of ``recipes``: the study's rows are the first of them. Raises CancelledError.

        In rounds, one run of each row after the other; the first round also learns what else there is to know of a row.
        """
        self._judge = self._largest(recipes)
        baseline_runs = args.baseline_runs if isinstance(args, Sweep) else 0
        self._wanted = [baseline_runs if recipe.engine == "original" else args.runs for recipe in recipes]
        try:
            for place in range(len(self._study.rows), len(recipes)):
                self._add(place, self._first_run(place, recipes[place]))
            while (place := next_place(self._study.rows, self._wanted)) is not None:  # type: ignore[assignment]
                self._add(place, self._next_run(place, recipes[place]))
        finally:
            self._hold(None)
        return self._named(self._counting())

    def _first_run(self, place: int, recipe: Recipe) -> Row:
        if not self._begin(place):
            return self._given_up(recipe)
        return self._or_why_not(recipe, lambda: self._row(place, recipe, self._teller(place, recipe)))

    def _next_run(self, place: int, recipe: Recipe) -> Row:
        if not self._begin(place):
            return self._given_up(recipe)
        row, tell = self._study.rows[place], self._teller(place, recipe)
        disturbed = sum(run.disturbed is not None for run in row.runs)
        again = f", {disturbed} disturbed" if disturbed else ""
        tell(f"run {len(row.runs) - disturbed + 1} of {self._wanted[place]}{again}", 0.1)
        return self._or_why_not(recipe, lambda: self._with_run(place, row, self._once(recipe)))

    def _given_up(self, recipe: Recipe) -> Row:
        return Row(recipe=recipe, status="failed", reason="the agent died each time it was measured")

    def _teller(self, place: int, recipe: Recipe) -> Tell:
        """Tells of one row as part of the whole, unless it was cancelled: then no other step is begun."""
        rows, name = len(self._wanted), describe(recipe)
        done = len(self._study.rows[place].runs) if place < len(self._study.rows) else 0

        def tell(what: str, share: float) -> None:
            if self._cancelled.is_set():
                raise CancelledError(f"cancelled in row {place + 1} of {rows}, {name}")
            progress = min(0.999, (done * rows + place + share) / (rows * max(self._wanted)))
            self._progress.step(f"row {place + 1} of {rows}, {name}: {what}", progress)

        return tell

    def _add(self, place: int, row: Row) -> None:
        """Put a row in its place, and keep the study with all runs there are."""
        rows = [*self._study.rows]
        rows[place:] = [row, *rows[place + 1 :]]
        self._study = self._study.model_copy(update={"rows": tuple(rows)})
        named = self._named(self._counting())
        every = tuple(
            found.model_copy(update={"runs": whole.runs}) for found, whole in zip(named.rows, rows, strict=True)
        )
        self._study = named.model_copy(update={"rows": every})
        self._keep(self._study)

    def _counting(self) -> tuple[Row, ...]:
        """The rows with the runs that count, their intervals as wide as the machine's drift makes them."""
        rows = zip(self._study.rows, self._wanted, strict=False)
        return with_drift([counting(row, wanted) for row, wanted in rows])

    def _named(self, rows: Sequence[Row]) -> Study:
        """The study with these rows, their speed-ups over the original model, and the best of them."""
        original = next((row.fps for row in rows if row.recipe.engine == "original" and row.fps), None)
        if original is not None:
            rows = [
                row.model_copy(update={"speedup": row.fps.mean / original.mean}) if row.fps else row for row in rows
            ]
        winners = {"best_throughput": best(rows, "best-throughput"), "best_latency": best(rows, "best-latency")}
        return self._study.model_copy(update={"rows": tuple(rows), **winners})

    def _or_why_not(self, recipe: Recipe, measure: Callable[[], Row]) -> Row:
        try:
            return measure()
        except CancelledError:
            raise
        except CommandError as error:
            return Row(recipe=recipe, status="unavailable", reason=_reason(error.message, error.hint))
        except (ModelError, ConfigError) as error:  # the latter for a size that the network does not take
            return Row(recipe=recipe, status="unavailable", reason=_reason(str(error), error.hint))
        except EdgeposeError as error:
            return Row(recipe=recipe, status="failed", reason=_reason(str(error), error.hint))

    def _row(self, place: int, recipe: Recipe, tell: Tell) -> Row:
        """A row with its first run, and what is known of it without one."""
        self._runs_of.require(recipe)
        original = recipe.engine == "original"
        tell("loading" if original else "compiling", 0.0)
        with self._ready(recipe) as ready:
            tell("warming up", 0.05)
            warm = ready.run(POSSIBLE, True)
            tell(f"run 1 of {self._wanted[place]}", 0.1)
            row = self._with_run(place, Row(recipe=recipe, status="measured"), ready.run(self._score_min(), False))
            if ready.engine is None:
                return row.model_copy(update={"agreement": agree(self._reference(), warm.poses)})
            tell("raw limit", 0.95)
            agreement = agree(self._reference(), warm.poses)
            known = self._of_engine(ready.engine, recipe, ready.size)
            return row.model_copy(update=known | self._judged(ready.engine, ready.size, agreement))

    def _with_run(self, place: int, row: Row, measured: Measured) -> Row:
        """A row with one more run, of the round it was made in."""
        done = self._done.setdefault(place, [Measured(run, ()) for run in row.runs])
        run = measured.run.model_copy(update={"round": len(done) + 1})
        done.append(replace(measured, run=run))
        return with_figures(row, done, self._wanted[place])

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

    def _once(self, recipe: Recipe) -> Measured:
        """One more run, on an engine that is built anew and warmed where another row was measured meanwhile."""
        if self._held is None or self._held.recipe != recipe:
            self._hold(None)
            self._hold(ready := self._prepared(recipe))
            ready.warm()
        assert self._held is not None
        return self._held.run(self._score_min(), False)

    def _hold(self, ready: "_Ready | None") -> None:
        """Keep what is ready for the next run, instead of what was."""
        before, self._held = self._held, ready
        if before is not None:
            before.close()

    @contextmanager
    def _ready(self, recipe: Recipe) -> Iterator["_Ready"]:
        with closing(self._prepared(recipe)) as ready:
            yield ready

    def _prepared(self, recipe: Recipe) -> "_Ready":
        """What runs a recipe. Raises EdgeposeError."""
        runs_of, model = self._runs_of, recipe.model
        if recipe.engine == "original":
            store, size = self._bench.store, self._judge or self._study.input  # compared at one size, where any has it
            original = Original(store, store.card(model), size, runs_of.decoder(model, POSSIBLE))
            return _Ready(recipe, size, None, lambda _least, keep: runs_of.once(original.run_once, keep_poses=keep))
        settings = settings_of(recipe)
        size = self._study.input if recipe.long_side is None else runs_of.size(settings)
        engine = runs_of.engine(settings, size)
        return _Ready(
            recipe,
            size,
            engine,
            lambda least, keep: runs_of.run(engine, model, least, keep_poses=keep),
            lambda: runs_of.warm(engine, model),
        )

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
    front = f"detector on {recipe.detector}" if recipe.detector else None
    parts = (recipe.device, recipe.affinity, front, recipe.precision, recipe.hint, side)
    return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class _Ready:
    """Something that can be run, and is closed when it is not wanted any more."""

    recipe: Recipe
    size: tuple[int, int]
    engine: Network | None
    """None of the original model."""
    run: Callable[[float, bool], Measured]
    """Takes the score below which nobody is reported, and whether poses are kept."""
    warm: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Give its memory back."""
        if self.engine is not None:
            self.engine.close()


def _reason(message: str, hint: str) -> str:
    return f"{message} ({hint})" if hint else message
