"""Promises of the search behind `tune`: what it looks at, what it leaves out, and how it ends."""

import threading
from collections.abc import Callable, Iterator

import pytest

from agent.benchmark import tune
from agent.benchmark.choice import misses, winner
from agent.benchmark.runs import Bench
from agent.benchmark.tune import Tuner, describe
from agent.errors import CancelledError, EdgeposeError
from agent.wire.commands import Measuring, Tune
from agent.wire.study import Bar, Recipe
from agent.wire.tuning import Trial, Wish
from tests.benchmarks.tune_demo import Minute
from tests.study.dark import bench_in
from tests.study.trials import at_pace, trial

FRAMES = 10
BAR = Bar(missed_max=0.03, oks_min=0.85)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One network that works and one that fails in the dark, and a clip in which it is dark."""
    with bench_in(tmp_path_factory.mktemp("box"), Measuring(runs=1, frames=FRAMES)) as bench:
        yield bench


class Scripted(Tuner):
    """Measures nothing: what each configuration does is what the test says; it keeps what it was asked for."""

    def script(self, look: Callable[[Recipe], Trial], pace: Callable[[Trial], Trial]) -> "Scripted":
        self.looked: list[str] = []
        self.tried: list[str] = []
        self._script, self._pace = look, pace
        return self

    def _look_only(self, recipe: Recipe) -> tuple[()]:
        self.looked.append(f"reference {describe(recipe)}")
        return ()

    def _trial(self, recipe: Recipe) -> Trial:
        self.looked.append(describe(recipe))
        found = self._script(recipe)
        return found.model_copy(update={"fails": misses(found, self._wish)})

    def _at_pace(self, trial: Trial) -> Trial:
        self.tried.append(describe(trial.recipe))
        return self._pace(trial)


def scripted(
    bench: Bench, args: Tune, wish: Wish, look: Callable[[Recipe], Trial], pace: Callable[[Trial], Trial]
) -> Scripted:
    tuner = Scripted(bench, args, wish, BAR, tell=lambda _what, _share: None, cancelled=threading.Event())
    return tuner.script(look, pace)


def keeps(found: Trial) -> Trial:
    return found.model_copy(update={"at_pace": at_pace(cpu=(found.cpu_ms or 0.0), age_ms=20.0)})


def test_it_looks_with_everything(bench: Bench) -> None:
    """Every network, size, precision and hint once; another name of a processor is not another one."""
    wish = Wish(fps=1.0)
    args = Tune(long_sides=(96, 32), precisions=("FP32", "FP16"))
    tuner = scripted(bench, args, wish, lambda recipe: trial(0.5, **recipe.model_dump(exclude={"engine"})), keeps)
    found = tuner.run()
    networks = [
        f"{model} {side} px {precision} CPU"
        for side in (32, 96)
        for model in ("tiny-raising", "tiny-sound")
        for precision in ("FP32", "FP16")
    ]
    looked = [f"{network} {hint}" for hint in ("latency", "throughput") for network in networks]
    assert sorted(tuner.looked[1:]) == sorted(looked)
    assert tuner.looked[0].startswith("reference tiny-")
    assert tuner.looked[0].endswith("96 px FP32 CPU throughput")
    assert len(tuner.tried) == 1, "the first that holds the wish at the camera's pace is taken"
    assert winner(found.trials, wish) is not None
    assert found.left_out == 0


def test_what_cannot_matter_is_not_measured(bench: Bench) -> None:
    """No larger input where a smaller one was far too slow; no other hint for whom fewer people are seen with."""
    speeds = {32: 30.0, 64: 15.0, 96: 4.0}

    def look(recipe: Recipe) -> Trial:
        side = recipe.long_side or 0
        return trial(side / 256, speeds[side], 20.0, **recipe.model_dump(exclude={"engine"}))

    wish = Wish(fps=10.0)
    args = Tune(models=("tiny-sound",), long_sides=(32, 64, 96, 128), precisions=("FP32",))
    tuner = scripted(bench, args, wish, look, keeps)
    found = tuner.run()
    sides = (32, 64, 96)
    assert tuner.looked[1:] == [
        *(f"tiny-sound {side} px FP32 CPU latency" for side in sides),
        "tiny-sound 64 px FP32 CPU throughput",
    ]
    assert tuner.tried == ["tiny-sound 64 px FP32 CPU latency"]
    assert winner(found.trials, wish) == 1


def test_the_next_best_is_tried(bench: Bench) -> None:
    """What does not hold the wish at the camera's pace makes room for the next; with none left, the nearest is told."""

    def look(recipe: Recipe) -> Trial:
        return trial((recipe.long_side or 0) / 256, 30.0, 20.0, **recipe.model_dump(exclude={"engine"}))

    def late(found: Trial) -> Trial:
        side = found.recipe.long_side or 0
        return found.model_copy(update={"at_pace": at_pace(age_ms=2.0 * side)})

    args = Tune(models=("tiny-sound",), long_sides=(32, 64, 96), precisions=("FP32",), hints=("latency",))
    tried = [f"tiny-sound {side} px FP32 CPU latency" for side in (96, 64, 32)]
    for age_ms, expected in ((150.0, tried[:2]), (20.0, tried)):
        wish = Wish(fps=10.0, age_ms=age_ms)
        tuner = scripted(bench, args, wish, look, late)
        found = tuner.run()
        assert tuner.tried == expected
        assert winner(found.trials, wish) == (1 if age_ms == 150.0 else None)


def test_a_box_that_is_too_slow_tries_the_nearest(bench: Bench) -> None:
    """Where nothing holds the wish by far, the one that comes nearest is tried all the same: its figures are told."""
    args = Tune(models=("tiny-sound",), long_sides=(32, 64), precisions=("FP32",))
    tuner = scripted(
        bench, args, Wish(fps=100.0), lambda recipe: trial(0.5, 20.0, **recipe.model_dump(exclude={"engine"})), keeps
    )
    found = tuner.run()
    assert tuner.tried == ["tiny-sound 32 px FP32 CPU latency"]
    assert [each.at_pace is not None for each in found.trials] == [True]


def test_with_real_engines(bench: Bench) -> None:
    """What fails, and what cannot be had, costs its own trial; where nobody is seen nothing may be chosen."""
    told: list[tuple[str, float]] = []
    args = Tune(
        long_sides=(64,),
        precisions=("FP32",),
        hints=("latency",),
        devices=("CPU",),
        reference="tiny-sound",
        frames=FRAMES,
    )
    tuner = Tuner(bench, args, Wish(fps=0.1), BAR, tell=lambda *step: told.append(step), cancelled=threading.Event())
    found = tuner.run()
    assert [(each.recipe.model, each.status) for each in found.trials] == [
        ("tiny-raising", "failed"),
        ("tiny-sound", "measured"),
    ]
    assert found.trials[0].reason
    measured = found.trials[1]
    assert (measured.input, measured.quality, measured.accurate) == ((64, 64), None, True)
    assert measured.agreement is not None
    assert measured.agreement.frames == FRAMES
    assert measured.fps is not None
    assert measured.cpu_ms is not None
    assert measured.effective is not None
    assert found.people == 0
    shares = [share for _what, share in told]
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("minute", "held"),
    [((9.6, 90.0, 80.0), True), ((9.4, 90.0, 80.0), False), ((10, 101, 80.0), False), ((10, 90.0, 101), False)],
)
def test_whether_a_minute_holds_a_wish(minute: tuple[float, float, float], held: bool) -> None:
    """`make tune-demo` ends with 0 only where every part of it was held, but for a frame in twenty."""
    fps, age_ms, cpu_percent = minute
    seen = Minute(fps=fps, age_ms_p95=age_ms, cpu_percent=cpu_percent, persons_mean=4.0)
    short = seen.shortfalls(Wish(fps=10.0, age_ms=100.0, cpu_percent=100.0))
    assert set(short) == {"fps", "age", "cpu"}
    assert all(ratio <= 1 for ratio in short.values()) is held


def test_a_size_no_network_takes(bench: Bench) -> None:
    """Named as the largest, it is told at once, with the cure: nothing could be compared with it."""
    args = Tune(models=("tiny-sound",), long_sides=(64, 100), precisions=("FP32",), hints=("latency",), frames=FRAMES)
    with pytest.raises(EdgeposeError, match="not a multiple"):
        Tuner(bench, args, Wish(fps=1.0), BAR, tell=lambda *_: None, cancelled=threading.Event()).run()


def test_it_is_cancelled(bench: Bench) -> None:
    """A cancel ends it before the next configuration is begun."""
    cancelled = threading.Event()
    args = Tune(models=("tiny-sound",), long_sides=(64,), precisions=("FP32",), frames=FRAMES)

    def tell(what: str, _share: float) -> None:
        if what == "tiny-sound 64 px FP32 CPU latency":
            cancelled.set()

    with pytest.raises(CancelledError):
        Tuner(bench, args, Wish(fps=1.0), BAR, tell=tell, cancelled=cancelled).run()


def test_the_time_is_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found until then decides, and what was not looked at is counted."""
    monkeypatch.setattr(tune, "LOOKS_SHARE", 0.0)
    args = Tune(models=("tiny-sound",), long_sides=(32, 64), precisions=("FP32", "FP16"), frames=FRAMES)
    found = Tuner(bench, args, Wish(fps=1.0), BAR, tell=lambda *_: None, cancelled=threading.Event()).run()
    assert (found.trials, found.left_out) == ((), 4)
    short = args.model_copy(update={"seconds": 0.0})
    with pytest.raises(EdgeposeError, match="too few to look"):
        Tuner(bench, short, Wish(fps=1.0), BAR, tell=lambda *_: None, cancelled=threading.Event()).run()
