"""Promises about which configurations are measured, and which of them may be chosen."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.benchmark.rows import best, eligible, recipes, settings_of
from agent.wire.commands import Agreement, Aim, CommandError, Sweep
from agent.wire.devices import DeviceString
from agent.wire.messages import Effective
from agent.wire.study import Recipe, Row, Spread

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
    baseline_runs=st.integers(0, 2),
)


def row(
    fps: float = 30.0,
    latency_ms: float = 20.0,
    *,
    wide: float = 0.0,
    inference: str = "f32",
    accurate: bool | None = True,
    agreement: Agreement | None = None,
    **recipe: Any,
) -> Row:
    """A measured row whose frames per second are certain to within ``wide``."""
    interval = (fps - wide, fps + wide) if wide else None
    facts = Effective(
        execution_devices=("CPU",),
        model_precision="FP32",
        inference_precision=inference.upper(),
        submodels=None,
        infer_requests=2,
        compile_ms=1.0,
        first_infer_ms=1.0,
        from_cache=False,
        engine=1,
    )
    plain = {"engine": "openvino", "model": MODEL, "device": "CPU", "precision": "FP32", "hint": "throughput"}
    return Row(
        recipe=Recipe.model_validate(plain | recipe),
        status="measured",
        fps=Spread(mean=fps, min=fps, max=fps, deviation=None, interval=interval),
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
def test_each_aim_has_its_winner(rows: list[Row], loss: float | None) -> None:
    """Most frames per second; lowest latency; and the lowest latency of those that may be as fast as the fastest."""
    able = [found for found in rows if eligible(found, loss)]
    chosen = {aim: best(rows, aim, loss) for aim in AIMS}
    assert all((place is None) == (not able) for place in chosen.values())
    fastest, quickest, both = (
        rows[place] if (place := chosen[aim]) is not None else None
        for aim in ("best-throughput", "best-latency", "best")
    )
    if fastest is None or quickest is None or both is None:
        return
    assert fastest.fps is not None
    assert quickest.latency_ms is not None
    assert both.latency_ms is not None
    assert fastest.fps.mean == max(found.fps.mean for found in able if found.fps)
    assert quickest.latency_ms.mean == min(found.latency_ms.mean for found in able if found.latency_ms)
    low = (fastest.fps.interval or (fastest.fps.mean,))[0]
    near = [found for found in able if found.fps and (found.fps.interval or (0, found.fps.mean))[1] >= low]
    assert any(found is both for found in near)
    assert both.latency_ms.mean == min(found.latency_ms.mean for found in near if found.latency_ms)


def test_the_best_of_equals_is_the_quickest() -> None:
    """Where intervals overlap latency decides; a clearly slower row is not chosen however short its latency is."""
    rows = [row(50, 40, wide=3), row(46, 25, wide=2), row(30, 5, wide=2)]
    assert [best(rows, aim) for aim in AIMS] == [1, 0, 2]


def test_single_runs_have_no_interval() -> None:
    """Of rows of a single run each the fastest is the best; only an equal one competes in latency."""
    assert best([row(50, 40), row(49.9, 25)], "best") == 0
    assert best([row(50, 40), row(50, 25)], "best") == 1


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
        assert len(rows) == combinations * len(affinities)


@given(SWEEPS)
def test_a_row_can_be_asked_for(sweep: Sweep) -> None:
    """What the agent is asked in order to run a row names the row's model, device, precision, hint and affinity."""
    for recipe in recipes(sweep, MODEL):
        if recipe.engine == "original":
            continue
        wanted = settings_of(recipe)
        asked = (wanted.model, wanted.device, wanted.precision, wanted.hint, wanted.affinity and wanted.affinity.preset)
        assert asked == (recipe.model, recipe.device, recipe.precision, recipe.hint, recipe.affinity)
        assert wanted.long_side == recipe.long_side
        assert not wanted.paused


@pytest.mark.parametrize("text", ["", "CPU,GPU", "MULTI:", "NOPE:CPU,GPU"])
def test_a_device_that_cannot_be(text: str) -> None:
    """A device string that is none is refused before anything is measured."""
    with pytest.raises(CommandError):
        recipes(Sweep.model_construct(**(Sweep().model_dump() | {"devices": (text,)})), MODEL)
