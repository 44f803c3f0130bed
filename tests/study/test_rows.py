"""Promises about which configurations are measured, and which of them may be chosen."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.benchmark.rows import best, eligible, recipe_of, recipes, settings_of
from agent.wire.apart import fps, latency_ms, told_apart
from agent.wire.commands import Agreement, Aim, CommandError, Sweep
from agent.wire.devices import DeviceString
from agent.wire.messages import Effective
from agent.wire.study import Recipe, Row, Run, Spread
from tests.study.runs import made_up

MODEL = "movenet-multipose"
AIMS: tuple[Aim, ...] = ("best", "best-throughput", "best-latency")
SWEEPS = st.builds(
    Sweep,
    devices=st.lists(
        st.sampled_from(["CPU", "cpu", "GPU", "AUTO", "AUTO:SIMCPU,CPU", "MULTI:GPU,CPU", "HETERO:GPU,CPU"]),
        min_size=1,
        max_size=6,
    ).map(tuple),
    precisions=st.lists(st.sampled_from(["FP32", "FP16", "INT8"]), min_size=1, max_size=3).map(tuple),
    affinities=st.lists(st.sampled_from(["fallback", "convolutions", "split"]), min_size=1, max_size=3).map(tuple),
    hints=st.lists(st.sampled_from(["latency", "throughput"]), min_size=1, max_size=2).map(tuple),
    long_sides=st.none() | st.lists(st.sampled_from([256, 384, 512]), min_size=1, max_size=4).map(tuple),
    detectors=st.none() | st.lists(st.sampled_from(["CPU", "cpu", "GPU"]), min_size=1, max_size=3).map(tuple),
    runs=st.just(1),
    baseline_runs=st.integers(0, 2),
)


def run(fps: float, latency_ms: float, number: int, *, disturbed: bool = False) -> Run:
    made = made_up(disturbed=disturbed)
    return made.model_copy(update={"fps": max(fps, 0.1), "latency_ms_mean": latency_ms, "round": number})


def row(
    fps: float = 30.0,
    latency_ms: float = 20.0,
    *,
    wide: float = 0.0,
    inference: str = "f32",
    accurate: bool | None = True,
    agreement: Agreement | None = None,
    device: str = "CPU",
    **recipe: Any,
) -> Row:
    """A measured row of six quiet runs, which wobble by ``wide`` frames per second, each row's in a way of its own."""
    chance = random.Random(f"{fps} {latency_ms} {wide}")
    runs = [run(fps + chance.choice((-wide, wide)), latency_ms, number) for number in range(1, 7)]
    facts = Effective(
        execution_devices=(device,),
        model_precision="FP32",
        inference_precision=inference.upper(),
        submodels=None,
        infer_requests=2,
        compile_ms=1.0,
        first_infer_ms=1.0,
        from_cache=False,
        engine=1,
    )
    plain = {"engine": "openvino", "model": MODEL, "device": device, "precision": "FP32", "hint": "throughput"}
    return Row(
        recipe=Recipe.model_validate(plain | recipe),
        status="measured",
        runs=tuple(runs),
        fps=Spread(mean=fps, min=fps, max=fps, deviation=None, interval=None),
        latency_ms=Spread(mean=latency_ms, min=latency_ms, max=latency_ms, deviation=None, interval=None),
        effective=facts,
        accurate=accurate,
        agreement=agreement,
    )


def people(number: int, missed: int) -> Agreement:
    return Agreement(frames=10, people=number, missed=missed, invented=0, mean_oks=0.95 if number else None)


def original() -> Row:
    """The original model, whose row has no engine of ours to tell of."""
    recipe = Recipe(engine="original", model=MODEL, device="CPU", precision="FP32")
    return row(fps=1000.0, latency_ms=0.1).model_copy(update={"recipe": recipe, "effective": None})


def not_measured(status: str) -> Row:
    return Row(recipe=row().recipe, status=status, reason="the device is not here")  # type: ignore[arg-type]


PEOPLE = st.tuples(st.integers(0, 40), st.floats(0, 1)).map(lambda drawn: people(drawn[0], int(drawn[0] * drawn[1])))
MEASURED = st.builds(
    row,
    st.floats(1, 200),
    st.floats(1, 200),
    wide=st.floats(0, 20),
    inference=st.sampled_from(["f32", "f16", "bf16"]),
    accurate=st.sampled_from([True, False, None]),
    agreement=PEOPLE,
    precision=st.sampled_from(["FP32", "FP16", "INT8"]),
)
ROWS = st.lists(
    st.one_of(MEASURED, st.builds(original), st.sampled_from(["unavailable", "failed"]).map(not_measured)), max_size=12
)
LOSSES = st.none() | st.floats(0, 1)


def computes_as_fp32(found: Row) -> bool:
    return (
        found.effective is not None
        and found.effective.inference_precision == "F32"
        and found.recipe.precision != "INT8"
    )


@given(ROWS, st.sampled_from(AIMS), LOSSES)
def test_the_winner_may_be_chosen(rows: list[Row], aim: Aim, loss: float | None) -> None:
    """Never the original model, nor what was not measured, nor what loses people or has not been seen not to."""
    winner = best(rows, aim, loss)
    if winner is None:
        return
    chosen = rows[winner]
    assert (chosen.status, chosen.recipe.engine) == ("measured", "openvino")
    assert computes_as_fp32(chosen) or chosen.accurate is True
    if loss is not None:
        assert chosen.agreement is not None
        assert chosen.agreement.people or computes_as_fp32(chosen)
        assert chosen.agreement.missed <= loss * chosen.agreement.people + 1e-9


@given(ROWS, LOSSES)
def test_the_winner_is_ahead(rows: list[Row], loss: float | None) -> None:
    """Who wins has the best figure of all that may be chosen, and its runs tell it from every other that is not it."""
    able = [found for found in rows if eligible(found, loss)]
    for aim, figure in (("best-throughput", fps), ("best-latency", latency_ms)):
        place = best(rows, aim, loss)  # type: ignore[arg-type]
        if place is None:
            assert len(able) != 1
            continue
        chosen = rows[place]
        assert chosen in able
        assert chosen.fps is not None
        assert chosen.latency_ms is not None
        for other in able:
            assert other.fps is not None
            assert other.latency_ms is not None
            ahead = chosen.fps.mean >= other.fps.mean, chosen.latency_ms.mean <= other.latency_ms.mean
            same = other is chosen or other.effective == chosen.effective
            assert same or ahead[figure is latency_ms]
            assert same or told_apart(chosen, other, figure)


def on(device: str, fps: float, latency_ms: float, wide: float = 0.2) -> Row:
    return row(fps, latency_ms, wide=wide, device=device)


def test_the_best_of_equals_is_the_quickest() -> None:
    """Where frames a second decide nothing latency does; a slower row is not chosen however short its latency is."""
    rows = [on("CPU", 50, 40, 3), on("SIMCPU", 49, 25, 3), on("GPU", 30, 5)]
    assert [best(rows, aim) for aim in AIMS] == [1, None, 2]


def test_equals_have_no_winner() -> None:
    """Two rows that do the same are not chosen between, and a third that is slower changes nothing."""
    rows = [on("CPU", 50, 40, 3), on("SIMCPU", 50.5, 40, 3), on("GPU", 30, 60)]
    assert [best(rows, aim) for aim in AIMS] == [None, None, None]
    assert [best(rows[1:], aim) for aim in AIMS] == [0, 0, 0]


def test_one_thing_under_two_names_competes_with_nobody() -> None:
    """AUTO on a box with one device is that device: the first of the two stands for both."""
    auto = on("CPU", 50.5, 40, 3)
    auto = auto.model_copy(update={"recipe": auto.recipe.model_copy(update={"device": "AUTO"})})
    rows = [on("GPU", 30, 60), on("CPU", 50, 41, 3), auto]
    assert [best(rows, aim) for aim in AIMS] == [1, 1, 1]


def test_few_runs_decide_nothing() -> None:
    """Of rows with two runs none is ahead, be it by half; the only row of a study needs nobody behind it."""
    rows = [found.model_copy(update={"runs": found.runs[:2]}) for found in (on("CPU", 50, 40), on("SIMCPU", 25, 80))]
    assert [best(rows, aim) for aim in AIMS] == [None, None, None]
    assert [best(rows[:1], aim) for aim in AIMS] == [0, 0, 0]


def test_a_disturbed_row_never_wins() -> None:
    """However fast it was, and nobody wins over it who is not ahead of what was quiet of it."""
    noisy = on("SIMCPU", 90, 10)
    noisy = noisy.model_copy(update={"runs": (*noisy.runs[:5], run(90, 10, 6, disturbed=True))})
    assert [best([noisy, on("CPU", 200, 4)], aim) for aim in AIMS] == [1, 1, 1]
    assert [best([noisy, on("CPU", 50, 40)], aim) for aim in AIMS] == [None, None, None]
    assert [best([noisy], aim) for aim in AIMS] == [None, None, None]


@pytest.mark.parametrize(
    ("found", "loss", "may"),
    [
        (original(), None, False),
        (not_measured("failed"), None, False),
        (not_measured("unavailable"), None, False),
        (row(accurate=None), None, True),
        (row(accurate=None, agreement=people(0, 0)), 0.0, True),
        (row(accurate=None, inference="f16"), None, False),
        (row(accurate=None, precision="INT8"), None, False),
        (row(accurate=False, precision="INT8"), 1.0, False),
        (row(accurate=True, precision="INT8"), None, True),
        (row(accurate=True, precision="INT8", agreement=people(100, 3)), 0.03, True),
        (row(accurate=True, precision="INT8", agreement=people(100, 3)), 0.02, False),
        (row(accurate=True, precision="INT8", agreement=people(0, 0)), 0.02, False),
        (row(accurate=True, long_side=512, agreement=people(0, 0)), 0.02, True),
        (row(accurate=True, long_side=256, agreement=people(100, 3)), None, True),
        (row(accurate=False, long_side=256), None, False),
        (row(accurate=None, long_side=256), None, False),
    ],
)
def test_what_may_be_chosen(found: Row, loss: float | None, may: bool) -> None:
    """FP32 needs nobody in view; all else has to have passed the bar, and a tighter limit where one is given.

    That a small input sees less is no excuse: only the largest of a sweep needs nobody in view.
    """
    assert eligible(found, loss) is may


@given(SWEEPS)
def test_every_combination_has_one_row(sweep: Sweep) -> None:
    """The original model first, if asked for; then each device at each precision and hint; affinities for HETERO."""
    found = recipes(sweep, MODEL)
    assert len(set(found)) == len(found)
    ours = [recipe for recipe in found if recipe.engine == "openvino"]
    assert [recipe.engine for recipe in found[: len(found) - len(ours)]] == ["original"] * (sweep.baseline_runs > 0)
    devices = list(dict.fromkeys(str(DeviceString.parse(text)) for text in sweep.devices))
    assert list(dict.fromkeys(recipe.device for recipe in ours)) == devices
    combinations = len(set(sweep.precisions)) * len(set(sweep.hints)) * len(set(sweep.long_sides or (None,)))
    assert {recipe.long_side for recipe in ours} == set(sweep.long_sides or (None,))
    for device in devices:
        affinities = set(sweep.affinities) if device.startswith("HETERO") else {None}
        rows = [recipe for recipe in ours if recipe.device == device]
        assert {recipe.affinity for recipe in rows} == affinities
        fronts = {str(DeviceString.parse(text)) for text in sweep.detectors or (device,)}
        assert {recipe.detector or device for recipe in rows} == fronts
        assert len(rows) == combinations * len(affinities) * len(fronts)


@given(SWEEPS)
def test_a_row_can_be_asked_for(sweep: Sweep) -> None:
    """What the agent is asked in order to run a row names the row's model, device, precision, hint and affinity."""
    for recipe in recipes(sweep, MODEL):
        if recipe.engine == "original":
            continue
        wanted = settings_of(recipe)
        asked = (wanted.model, wanted.device, wanted.precision, wanted.hint, wanted.affinity and wanted.affinity.preset)
        assert asked == (recipe.model, recipe.device, recipe.precision, recipe.hint, recipe.affinity)
        assert (wanted.long_side, wanted.detector) == (recipe.long_side, recipe.detector)
        assert recipe_of(wanted) == recipe.model_copy(update={"long_side": None}), "what runs is what is measured"
        assert not wanted.paused


@pytest.mark.parametrize("text", ["", "CPU,GPU", "MULTI:", "NOPE:CPU,GPU"])
def test_a_device_that_cannot_be(text: str) -> None:
    """A device string that is none is refused before anything is measured."""
    with pytest.raises(CommandError):
        recipes(Sweep.model_construct(**(Sweep().model_dump() | {"devices": (text,)})), MODEL)
