"""Promises of the study on a box: with real engines on small networks, some of which cannot be run."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from agent.benchmark import runs, sweep
from agent.benchmark.rows import recipes
from agent.benchmark.runs import Bench
from agent.benchmark.sweep import Studying, describe
from agent.errors import CancelledError
from agent.observe.host import host_info
from agent.wire.commands import Sweep
from agent.wire.study import Bar, Recipe, Study
from tests.study.dark import bench_in
from tests.study.runs import Told

FRAMES = 10
ARGS = Sweep(devices=("CPU", "GPU", "SIMCPU"), precisions=("FP32",), runs=1, frames=FRAMES, baseline_runs=0)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One network that works and one that fails in the dark, and a clip in which it is dark."""
    with pytest.MonkeyPatch.context() as patch, bench_in(tmp_path_factory.mktemp("box"), ARGS) as bench:
        patch.setattr(sweep, "LIMIT_S", 0.1)
        patch.setattr(runs, "LoadMeter", Told)  # what else the machine does is not of these tests
        yield bench


@dataclass
class Heard:
    """What a study tells."""

    kept: list[Study] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    told: list[tuple[str, float]] = field(default_factory=list)


def empty(bench: Bench) -> Study:
    return Study(
        device_id="hall",
        started_at=datetime.now(UTC),
        agent_version="0",
        openvino_version="0",
        opencv_version="0",
        host=host_info(),
        devices={"CPU": "a processor", "SIMCPU": "a processor"},
        model="tiny-sound",
        input=(64, 64),
        gflops_per_frame=0.1,
        clip=bench.footage.clip,
        bar=Bar(missed_max=0.03, oks_min=0.85),
        asked={},
    )


def studying(
    bench: Bench, heard: Heard, study: Study, *, refuse: tuple[int, ...] = (), cancelled: threading.Event | None = None
) -> Studying:
    def begin(place: int) -> bool:
        heard.begun.append(place)
        return place not in refuse

    return Studying(
        bench,
        study,
        begin=begin,
        keep=heard.kept.append,
        tell=lambda what, share: heard.told.append((what, share)),
        cancelled=cancelled or threading.Event(),
    )


def three(bench: Bench) -> tuple[Recipe, ...]:
    """One that can be measured, one this box has no device for, and the first again under another name."""
    assert bench.box.models
    return recipes(ARGS, "tiny-sound")


def test_row_after_row(bench: Bench) -> None:
    """Each is begun, told and kept in its order; what cannot be had says why and the next goes on."""
    heard = Heard()
    study = studying(bench, heard, empty(bench)).run(three(bench), ARGS)
    assert [row.recipe for row in study.rows] == list(three(bench))
    assert [row.status for row in study.rows] == ["measured", "unavailable", "measured"]
    assert "devices here: CPU, SIMCPU" in study.rows[1].reason
    assert heard.begun == [0, 1, 2]
    assert [len(kept.rows) for kept in heard.kept] == [1, 2, 3]
    assert heard.kept[-1] == study
    shares = [share for _what, share in heard.told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1
    for row in (study.rows[0], study.rows[2]):
        assert [run.frames for run in row.runs] == [FRAMES]
        assert row.fps is not None
        assert row.fps.mean == row.runs[0].fps
        assert row.limit is not None
        assert row.agreement is not None
        assert row.agreement.frames == FRAMES
        assert row.accurate is True
        assert row.speedup is None, "there is no original to be faster than"


def test_rows_are_measured_in_rounds(bench: Bench) -> None:
    """One run of each row after the other, and where it was broken off the row with the fewest runs is next."""
    args = ARGS.model_copy(update={"runs": 3})
    heard = Heard()
    whole = studying(bench, heard, empty(bench)).run(three(bench), args)
    assert heard.begun == [0, 1, 2, 0, 2, 0, 2]
    assert [[run.round for run in row.runs] for row in whole.rows] == [[1, 2, 3], [], [1, 2, 3]]
    shares = [share for _what, share in heard.told]
    assert shares == sorted(shares)
    for row in (whole.rows[0], whole.rows[2]):
        assert row.fps is not None
        assert row.fps.mean == pytest.approx(sum(run.fps for run in row.runs) / 3)
    again = Heard()
    study = studying(bench, again, heard.kept[4]).run(three(bench), args)
    assert again.begun == [0, 2]
    assert [row.runs[:2] for row in study.rows] == [row.runs[:2] for row in whole.rows]
    assert [len(row.runs) for row in study.rows] == [3, 0, 3]


def test_a_row_that_fails(bench: Bench) -> None:
    """A network that fails in the middle of a run costs its own row, with the reason, and no other."""
    broken = three(bench)[0].model_copy(update={"model": "tiny-raising"})
    study = studying(bench, Heard(), empty(bench)).run((broken, three(bench)[0]), ARGS)
    assert [row.status for row in study.rows] == ["failed", "measured"]
    assert study.rows[0].reason
    assert study.rows[0].runs == ()
    assert study.best_throughput == study.best_latency == 1


def test_it_goes_on_where_it_was(bench: Bench) -> None:
    """Rows that are there are neither begun nor changed; one that killed the agent is given up."""
    first = studying(bench, Heard(), empty(bench)).run(three(bench)[:1], ARGS)
    heard = Heard()
    study = studying(bench, heard, first, refuse=(2,)).run(three(bench), ARGS)
    assert heard.begun == [1, 2]
    assert study.rows[0] == first.rows[0]
    assert study.rows[2].status == "failed"
    assert "died each time" in study.rows[2].reason


def test_it_is_cancelled(bench: Bench) -> None:
    """A cancel ends it within the row, of which nothing is kept."""
    heard, cancelled = Heard(), threading.Event()
    cancelled.set()
    with pytest.raises(CancelledError):
        studying(bench, heard, empty(bench), cancelled=cancelled).run(three(bench), ARGS)
    assert (heard.begun, heard.kept) == ([0], [])


def test_rows_of_several_sizes(bench: Bench) -> None:
    """Each has its own input, judged by the largest; a size that the network does not take costs its own row."""
    args = ARGS.model_copy(update={"devices": ("CPU",), "long_sides": (32, 100, 96)})
    wanted = recipes(args, "tiny-sound")
    assert [describe(recipe) for recipe in wanted] == [f"CPU FP32 throughput {side} px" for side in (32, 100, 96)]
    study = studying(bench, Heard(), empty(bench)).run(wanted, args)
    assert [(row.status, row.input) for row in study.rows] == [
        ("measured", (32, 32)),
        ("unavailable", None),
        ("measured", (96, 96)),
    ]
    assert "not a multiple of 32" in study.rows[1].reason
    assert [row.accurate for row in study.rows] == [None, None, True], "nobody is in view: only the largest is certain"
    small, _none, large = study.rows
    assert small.limit is not None
    assert large.limit is not None
    ratio = (large.limit.gflops / large.limit.raw_fps) / (small.limit.gflops / small.limit.raw_fps)
    assert ratio == pytest.approx(9, rel=0.1), "operations are those of the row's own size"
    assert study.best_throughput == study.best_latency == 2


def test_a_row_without_a_size_is_what_it_was(bench: Bench) -> None:
    """Where no size is asked for, rows say nothing of one."""
    study = studying(bench, Heard(), empty(bench)).run(three(bench)[:1], ARGS)
    (row,) = study.model_dump(mode="json")["rows"]
    assert "input" not in row
    assert "long_side" not in row["recipe"]
