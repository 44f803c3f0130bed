"""What placing layers on two devices costs: submodels, bytes and time a frame, for each preset.

``make bench-affinity`` prints markdown for docs/affinity.md. Both devices are the same processor
under two names, so that nothing can be won and the whole difference is what cutting costs. The engines take turns; of
each the fastest frame counts, since this box may have other work.
"""

import random
import time
from collections.abc import Mapping
from contextlib import ExitStack

from agent.inference.devices import open_core
from agent.inference.engine import Engine, build_engine
from agent.inference.spec import EngineSpec
from agent.poses.movenet import MoveNetDecoder
from agent.wire.affinity import Affinity, Match, Rule
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir

NETWORK = "movenet-multipose"
SIDE = 256
HETERO = "HETERO:SIMCPU,CPU"
FRAMES = 200
PLACEMENTS: Mapping[str, tuple[str, Affinity | None]] = {
    "CPU alone": ("CPU", None),
    "`fallback`": (HETERO, Affinity(preset="fallback")),
    "`split`": (HETERO, Affinity(preset="split")),
    "`first: 0.5`": (HETERO, Affinity(rules=(Rule(match=Match(first=0.5), device="SIMCPU"),), default="CPU")),
    "`convolutions`": (HETERO, Affinity(preset="convolutions")),
}


def frame_ms(engine: Engine) -> float:
    """One inference, nothing else in flight."""
    slot = engine.acquire(timeout_s=60.0)
    assert slot is not None
    started = time.perf_counter()
    slot.start()
    slot.wait()
    elapsed = time.perf_counter() - started
    engine.release(slot)
    return elapsed * 1e3


def main() -> None:
    store = Store(models_dir())
    card = catalogue.network(NETWORK)
    fetch(card, store)
    core = open_core({"SIMCPU": "CPU"})
    with ExitStack() as engines:
        built = {}
        for name, (device, affinity) in PLACEMENTS.items():
            spec = EngineSpec(NETWORK, device, "FP32", SIDE, SIDE, affinity=affinity)
            xml = store.variant(NETWORK, "FP32")
            built[name] = engines.enter_context(build_engine(core, card, xml, spec, MoveNetDecoder.roles, None))
        times: dict[str, list[float]] = {name: [] for name in built}
        turns = random.Random(1)
        for _ in range(FRAMES):
            for name in turns.sample(list(built), len(built)):
                times[name].append(frame_ms(built[name]))
    print("| placement | submodels | tensors that cross | MiB a frame | ms a frame | compile ms |")
    print("|---|---|---|---|---|---|")
    for name, engine in built.items():
        plan = engine.facts.plan
        crossing = f"{len(plan.boundaries)} | {plan.bytes_moved / 2**20:.2f}" if plan else "0 | 0"
        figures = f"{engine.facts.submodels or 1} | {crossing} | {min(times[name]):.1f} | {engine.facts.compile_ms:.0f}"
        print(f"| {name} | {figures} |")
    for name, engine in built.items():
        if (plan := engine.facts.plan) and plan.expected:
            print(f"\n{name} chose {plan.operations} and expected {plan.expected.model_dump()}")


if __name__ == "__main__":
    main()
