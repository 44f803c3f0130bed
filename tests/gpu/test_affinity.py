"""Promises of affinities between the card and the processor: the plan is what runs, and two names are one card."""

from typing import Any, Final

import pytest

from agent.inference.engine import Engine
from agent.wire.affinity import Affinity, Match, Rule
from tests.gpu.matrix import Bench, alike
from tests.gpu.small import Small

HETERO: Final = "HETERO:GPU,CPU"


def rules(device: str, default: str | None = None, **match: Any) -> Affinity:
    return Affinity(rules=(Rule(match=Match(**match), device=device),), default=default)


def as_planned(engine: Engine) -> bool:
    """Whether OpenVINO has made of the network what the plan said."""
    plan = engine.facts.plan
    assert plan is not None
    return engine.facts.submodels == plan.submodels and set(engine.facts.execution_devices) == set(plan.operations)


AFFINITIES: Final[dict[str, tuple[Affinity, set[str]]]] = {
    "fallback": (Affinity(preset="fallback"), {"GPU"}),
    "convolutions": (Affinity(preset="convolutions"), {"GPU", "CPU"}),
    "split": (Affinity(preset="split"), set()),  # which one wins is the box's business
    "type": (rules("GPU", type="Convolution"), {"GPU"}),
    "type, default": (rules("GPU", "CPU", type="Convolution"), {"GPU", "CPU"}),
    "type, GPU.0": (rules("gpu.0", "cpu", type="Convolution"), {"GPU", "CPU"}),
    "name": (rules("CPU", name="Convolution_*"), {"GPU", "CPU"}),
    "name, default": (rules("CPU", "GPU.0", name="Convolution_*"), {"GPU", "CPU"}),
    "first": (rules("CPU", first=0.4), {"GPU", "CPU"}),
    "first, default": (rules("GPU", "CPU", first=0.4), {"GPU", "CPU"}),
    "heaviest": (rules("CPU", heaviest=2), {"GPU", "CPU"}),
    "heaviest, default": (rules("GPU.0", "CPU", heaviest=2), {"GPU", "CPU"}),
}


CORE: Final = ("fallback", "convolutions", "split", "type", "type, GPU.0")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in CORE else [pytest.mark.whole]) for kind in AFFINITIES]
)
def test_an_affinity_is_what_was_planned(small: Small, kind: str) -> None:
    """Submodels and devices are those of the plan; the engine computes what the processor does; cold or warm."""
    affinity, devices = AFFINITIES[kind]
    facts = []
    for _ in range(2):
        with small.engine(HETERO, affinity=affinity) as engine:
            assert as_planned(engine)
            facts.append(engine.facts)
    cold, warm = facts
    assert (cold.from_cache, warm.from_cache) == (False, True)
    assert alike(cold, warm)
    assert cold.inference_precision == "F32"
    if devices:
        assert set(cold.execution_devices) == devices


def test_a_rule_for_the_card_alone_cuts_nothing(small: Small) -> None:
    """What a rule gives to GPU, and what OpenVINO by itself gives to GPU.0, is on one device and in one piece."""
    with small.engine(HETERO, affinity=rules("GPU", type="Convolution")) as engine:
        plan = engine.facts.plan
        assert plan is not None
        assert set(plan.operations) == {"GPU"}
        assert (plan.submodels, plan.bytes_moved) == (1, 0)


@pytest.mark.whole
@pytest.mark.timeout(300)
def test_the_real_network_in_pieces(bench: Bench) -> None:
    """Cut in many pieces, compiled or from the cache: the precision that runs is known, and people are where they are.

    Of such a network taken from the cache OpenVINO itself does not say in which precision it runs.
    """
    affinity = rules("GPU", "CPU", type="Clamp")
    facts = []
    for _ in range(2):
        with bench.engine(HETERO, affinity=affinity) as engine:
            assert as_planned(engine)
            assert engine.facts.inference_precision == "F32"
            facts.append(engine.facts)
    assert [one.from_cache for one in facts] == [False, True]
    assert alike(*facts)
