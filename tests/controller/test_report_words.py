"""What a report says in words is true to the rows, whatever they hold."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.study import Recipe, Row, Spread, Study
from controller.report.charts import charts
from controller.report.compare import Finding
from controller.report.drawing import svg
from controller.report.files import as_csv, as_markdown
from controller.report.inline import figure
from controller.report.rows import Entry, entries, number
from controller.report.words import DOUBT, UNDECIDED, conclusion
from tests.controller.studies import CUTS, ORIGINAL, Told, measured, recipe, rows, run, study, unmeasured

DEVICES = ("CPU", "GPU", "AUTO", "MULTI:GPU,CPU", "HETERO:GPU,CPU", "BATCH:GPU(4)")
TIMES = re.compile(r"(?:≈ )?([\d.,]+|-) times (the original model|FP32 on the CPU)")


def lines(document: Study, topic: str) -> list[str]:
    return [line for finding in conclusion(document) if finding.topic == topic for line in finding.lines]


@st.composite
def spreads(draw: st.DrawFn) -> Spread:
    low, mean, high = sorted(draw(st.tuples(*[st.floats(0, 1e5)] * 3)))
    interval = draw(st.sampled_from([None, (low, high)]))
    return Spread(mean=mean, min=low, max=high, deviation=None, interval=interval)


@st.composite
def any_row(draw: st.DrawFn) -> Row:
    device = draw(st.sampled_from(DEVICES))
    affinity = draw(st.sampled_from([None, *CUTS])) if device.startswith("HETERO") else None
    precision, hint = draw(st.sampled_from(["FP32", "FP16", "INT8"])), draw(st.sampled_from(["latency", "throughput"]))
    what = draw(st.sampled_from([ORIGINAL, *[recipe(device, precision, affinity, hint)] * 9]))
    status = draw(st.sampled_from(["measured", "measured", "measured", "unavailable", "failed"]))
    if status != "measured":
        return unmeasured(what, status, draw(st.text(max_size=20)))
    runs, missed = draw(st.integers(1, 3)), draw(st.sampled_from([0, 600]))
    row = measured(what, Told(10.0, 20.0, runs=runs, missed=missed))
    changes: dict[str, Any] = {"fps": draw(spreads()), "latency_ms": draw(spreads())}
    for name in ("effective", "agreement", "limit", "bytes_moved"):
        if draw(st.booleans()):
            changes[name] = None
    if draw(st.booleans()):
        changes["accurate"] = None
    return row.model_copy(update=changes)


@st.composite
def any_study(draw: st.DrawFn) -> Study:
    found = tuple(draw(st.lists(any_row(), max_size=12, unique_by=lambda row: row.recipe.model_dump_json())))
    index = st.one_of(st.none(), st.integers(-1, 13))
    best = {"best_throughput": draw(index), "best_latency": draw(index), "applied": draw(index)}
    finished = {} if draw(st.booleans()) else {"finished_at": None}
    return study(found, **best, **finished)


def recommendations(document: Study) -> list[tuple[str, str]]:
    """Name of a row that is to be run, and the sentence."""
    told = lines(document, "Run") + lines(document, "Run for the shortest latency")
    return [(line.split(": ")[0], line) for line in told if ": " in line]


@given(any_study())
def test_only_what_may_be_chosen_is_recommended(document: Study) -> None:
    """Whatever the document names as its best: no row that failed, was unavailable or loses people is to be run."""
    may = {
        entry.name
        for entry in entries(document)
        if entry.row.status == "measured" and entry.row.recipe.engine == "openvino" and entry.row.accurate is not False
    }
    assert {name for name, _line in recommendations(document)} <= may


@given(any_study())
def test_factors_are_those_of_the_rows(document: Study) -> None:
    """Each factor that is told is the quotient of two rows' frames a second; without a base none is told."""
    found = {entry.name: entry for entry in entries(document)}
    bases = {"the original model": _original(document), "FP32 on the CPU": None}
    for name, line in recommendations(document):
        mine = found[name]
        bases["FP32 on the CPU"] = _plain(document, mine.row.recipe)
        told = {base: value for value, base in TIMES.findall(line)}
        expected = {base: row for base, row in bases.items() if row is not None and row is not mine.row}
        assert told.keys() == expected.keys()
        for base, value in told.items():
            below = expected[base].fps
            assert below is not None
            assert value == (number(mine.fps.mean / below.mean) if below.mean else "-")


@given(any_study())
def test_every_study_has_a_report(document: Study) -> None:
    """Nothing a study may hold stops a report: no base, a single row, no frame in a second, nothing measured."""
    assert all(finding.topic and finding.lines for finding in conclusion(document))
    as_markdown(document, {})
    as_csv(document)
    assert all(chart.bars and chart.words for chart in charts(document))


def _original(document: Study) -> Row | None:
    return next((r for r in document.rows if r.recipe.engine == "original" and quiet(r)), None)


def _plain(document: Study, like: Recipe) -> Row | None:
    wanted = recipe("CPU", "FP32", hint=like.hint)
    return next((row for row in document.rows if row.recipe == wanted and quiet(row)), None)


def quiet(row: Row) -> bool:
    return row.status == "measured" and all(each.disturbed is None for each in row.runs)


def test_the_answers_of_the_example() -> None:
    """Each question of the study is answered by its rows, beside what the study found."""
    document = study()
    assert lines(document, "OpenVINO on the CPU") == [
        "CPU FP32 does 6.17 times the frames of the original model. The study found 7."
    ]
    over = lines(document, "MULTI over the original model")
    assert [line.partition(": ")[2] for line in over] == [
        "6.29 times. The study found 9.",
        "6.42 times. The study found 13.",
        "12.0 times. The study found 17.",
    ]
    single = lines(document, "MULTI over the best single device")
    assert single[0] == "MULTI:SIMCPU,CPU FP32 does ≈ 1.02 times the frames of CPU FP32."
    assert single[-1].endswith("The study found 1.5 times.")
    assert lines(document, "Precisions, over FP32 on the same device")[1] == (
        "SIMCPU FP32: FP16 ≈ 1.02 times, INT8 1.90 times."
    )
    cuts = lines(document, "Cuts of HETERO:SIMCPU,CPU at FP32")
    assert [line.split(":")[0] for line in cuts] == ["fallback", "split", "convolutions"]
    assert cuts[2].endswith("; 131.4 ms longer for 73 more submodels, 1.80 ms each.")
    hetero = lines(document, "HETERO over the best single device")
    assert hetero[0] == "HETERO:SIMCPU,CPU FP32 fallback does ≈ 2.0% fewer frames than CPU FP32."
    assert lines(document, "Computed in another precision than that of the file") == [
        "FP16 in bf16 on CPU, SIMCPU, MULTI:SIMCPU,CPU, HETERO:SIMCPU,CPU."
    ]
    assert lines(document, "Failed") == ["AUTO FP32."]


def test_who_loses_people_is_named() -> None:
    """Rows beyond the bar are listed with what they miss, the bar with them; the fastest of them is not what to run."""
    document = study()
    named, bar = lines(document, "Never chosen, because they lose people")
    assert "CPU INT8 (misses 15%)" in named
    assert "SIMCPU INT8 (" not in named.replace("MULTI:SIMCPU", "").replace("HETERO:SIMCPU", "")
    assert bar == "The bar: at most 5.0% of the people missed, mean OKS 0.9 or more."
    fastest = max((row for row in rows() if row.fps), key=lambda row: row.fps.mean if row.fps else 0)
    assert fastest.accurate is False
    assert lines(document, "Run")[0].startswith("SIMCPU INT8: ")


@pytest.mark.parametrize(("missed", "loses"), [(0, False), (600, True)])
def test_a_benchmark_is_told_for_itself(missed: int, *, loses: bool) -> None:
    """One row alone is told with its figures and compared with nothing; that it loses people is said."""
    document = study((measured(recipe("CPU", "INT8"), Told(70.0, 28.0, missed=missed)),))
    (line,) = lines(document, "Measured")
    assert line.startswith("CPU INT8: 70.0 frames a second")
    assert "times" not in line
    assert ("should not be run" in line) is loses
    assert not lines(document, "Run")


def test_nothing_may_be_recommended() -> None:
    """Where every row loses people that is said, and none is named."""
    losing = tuple(measured(recipe(device, "INT8"), Told(70.0, 28.0, missed=600)) for device in ("CPU", "GPU"))
    assert lines(study(losing), "Run") == ["None of the configurations may be recommended."]


def test_rows_that_differ_in_their_hint_say_so() -> None:
    """The hint is part of the names where rows differ in it, and stands nowhere else."""
    both = tuple(measured(recipe("CPU", "FP32", hint=hint), Told(70.0, 28.0)) for hint in ("latency", "throughput"))
    assert [entry.name for entry in entries(study(both))] == ["CPU FP32 latency", "CPU FP32 throughput"]
    assert [entry.name for entry in entries(study(both[:1]))] == ["CPU FP32"]


def test_sizes_are_compared_with_each_other_alone() -> None:
    """A smaller input is told by what it gains and whom it misses; every other comparison is at the largest."""
    sized = [
        measured(recipe(device, precision, long_side=side), Told(fps, 2000 / fps, missed=missed))
        for device, precision, side, fps, missed in (
            ("CPU", "FP32", 512, 20.0, 0),
            ("CPU", "FP32", 256, 60.0, 320),
            ("CPU", "FP16", 512, 40.0, 0),
            ("CPU", "FP16", 256, 120.0, 320),
            ("MULTI:SIMCPU,CPU", "FP32", 256, 66.0, 320),
        )
    ]
    document = study((measured(ORIGINAL, Told(10.0, 100.0)), *sized))
    assert [entry.name for entry in entries(document)][1:3] == ["CPU FP32 512 px", "CPU FP32 256 px"]
    assert lines(document, "Input sizes, over CPU FP32 512 px") == ["256 px 3.00 times, missing 50% of the people."]
    assert lines(document, "OpenVINO on the CPU")[0].startswith("CPU FP32 512 px does 2.00 times")
    assert lines(document, "Precisions, over FP32 on the same device") == ["CPU FP32 512 px: FP16 2.00 times."]
    assert not lines(document, "MULTI over the original model"), "at the largest size it was not measured"
    assert {chart.name for chart in charts(document)} == {"devices", "precisions", "sizes"}
    sizes = next(chart for chart in charts(document) if chart.name == "sizes")
    assert [(group.title, [bar.label for bar in group.bars]) for group in sizes.groups] == [
        ("CPU FP32", ["512 px", "256 px"]),
        ("CPU FP16", ["512 px", "256 px"]),
    ]


def test_runs_that_were_not_quiet_are_told() -> None:
    """Runs that count although they were disturbed are told with their rows."""
    assert [Entry(row, ()).disturbed for row in rows() if row.recipe.affinity == "split"] == [0, 0, 1]
    assert run(10.0, 20.0).disturbed is None
    line, told = lines(study(), "Disturbed runs that count, for want of quiet ones")
    assert "HETERO:SIMCPU,CPU INT8 split (1 of 3)" in line
    assert told.startswith("No sentence here rests on these rows")
    assert Finding("≈", (DOUBT,)) in conclusion(study())


def test_what_the_runs_do_not_decide_is_not_decided() -> None:
    """Where nothing could be named the best, the report says so and what to do, and recommends nothing."""
    pair = (measured(recipe("CPU", "FP32"), Told(70.0, 28.0)), measured(recipe("SIMCPU", "FP32"), Told(70.5, 28.0)))
    document = study(pair, best_throughput=None, best_latency=None)
    assert lines(document, "The data decide nothing") == [UNDECIDED]
    assert "stop what else runs on the box" in UNDECIDED
    assert lines(document, "Run") == []


def test_disturbed_runs_carry_no_claim() -> None:
    """A row of which a run was not quiet is no base, no best, and in no answer; the table has its figures."""
    base = measured(ORIGINAL, Told(12.0, 83.0, disturbed=(0,)))
    cpu = measured(recipe("CPU", "FP32"), Told(70.0, 28.0))
    gpu = measured(recipe("GPU", "FP32"), Told(90.0, 20.0, disturbed=(2,)))
    document = study((base, cpu, gpu), best_throughput=2, best_latency=1)
    (run_it,) = lines(document, "Run")
    assert run_it.startswith("Nothing is claimed: GPU FP32 came out best, and 1 of its 3 runs were disturbed.")
    (quick,) = lines(document, "Run for the shortest latency")
    assert quick.startswith("CPU FP32: 70.0 frames a second")
    assert "the original model" not in quick, "it was not quiet"
    assert lines(document, "OpenVINO on the CPU") == []
    assert "90.0" in as_markdown(document, {})
    alone = study((gpu,))
    assert lines(alone, "Measured")[0].startswith("Nothing is claimed")


def test_the_study_is_named_wherever_it_is_cited() -> None:
    """Who reads "The study found" is told which; a document that cites none names none."""
    (told,) = lines(study(), "The study")
    assert "human-pose-estimation-0001" in told
    assert lines(study((measured(recipe("CPU", "INT8"), Told(70.0, 28.0)),)), "The study") == []


@pytest.mark.parametrize(("hint", "compared"), [("latency", True), ("throughput", False)])
def test_a_frame_alone_is_not_compared_with_one_in_a_queue(hint: str, *, compared: bool) -> None:
    """Beside rows of the throughput hint the original model has no bar of latency, and it is said why."""
    pair = (measured(ORIGINAL, Told(12.0, 83.0)), measured(recipe("CPU", "FP32", hint=hint), Told(40.0, 100.0)))
    document = study(pair)
    chart = next(each for each in charts(document) if each.name == "devices")
    assert (chart.latency_of(chart.bars[0]) is not None) is compared
    assert (lines(document, "Latency, and the original model's") == []) is compared
    assert ("not compared" in figure(chart)) is not compared
    assert svg(chart)
    assert {entry.in_work for entry in entries(document)} == {1, 2}
