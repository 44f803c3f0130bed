"""`tune` by a real agent: from the wish to the switch, and what ends it before."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from agent.wire.commands import ErrorCode, Job, JobStatus
from agent.wire.messages import Status
from agent.wire.tuning import Tuning
from tests.broker import Broker
from tests.system.study_faults import MODEL, TOPICS, Rig

ALSO: Final = """
import agent.benchmark.choice, agent.benchmark.tune
agent.benchmark.tune.PACED_S = 1.0
agent.benchmark.choice.KEPT = 0.0  # a busy machine finishes fewer frames
"""
ARGS: Final[dict[str, Any]] = {
    "models": [MODEL],
    "devices": ["CPU"],
    "precisions": ["FP32"],
    "hints": ["latency"],
    "long_sides": [256, 384],
    "frames": 10,
    "fps": 0.5,
    "age_ms": 60_000,
}
"""A wish that any machine holds."""


@pytest.fixture
def rig(broker: Broker, tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, broker, also=ALSO) as running:
        yield running


def found(rig: Rig, job_id: str) -> Tuning:
    """What a job that succeeded brought."""
    job = rig.ended(job_id)
    assert job.status is JobStatus.SUCCEEDED, f"it ended with {job}"
    return Tuning.model_validate_json(json.dumps(job.result))


def test_from_a_wish_to_a_switch(rig: Rig) -> None:
    """The frames are held back meanwhile; who finds most and holds the wish is switched to, and runs."""
    rig.flows()
    job = rig.begin("tune", **ARGS, apply=True)
    rig.state(Status.BENCHMARKING)
    tuning = found(rig, job)
    assert [(trial.recipe.long_side, trial.status) for trial in tuning.trials] == [(256, "measured"), (384, "measured")]
    assert tuning.people > 0
    assert tuning.winner == 1, tuning.verdict
    best = tuning.trials[tuning.winner]
    assert best.quality == pytest.approx(1.0, abs=0.01), "it is the reference itself"
    assert best.at_pace is not None
    assert best.at_pace.age_ms_p95 > 0
    assert tuning.trials[0].quality is not None
    assert tuning.trials[0].quality < 0.9, "at 256 pixels fewer are found"
    assert tuning.frontier[0] == 1
    assert (tuning.applied, tuning.nearest, tuning.left_out) == (True, None, 0)
    assert tuning.verdict == f"{MODEL} 384 px FP32 CPU latency holds the wish and finds most"
    rig.told("switch.done")
    state = rig.state(Status.RUNNING)
    assert (state.requested.long_side, state.requested.device, state.version) == (384, "CPU", 1)
    rig.flows()
    told = [Job.decode(payload) for payload in rig.heard.payloads(TOPICS.job(job))]
    assert [news.progress for news in told] == sorted(news.progress for news in told)
    held_back = False
    for seen in list(rig.heard.messages):
        if seen.topic == TOPICS.job(job):
            step = Job.decode(bytes(seen.payload)).step
            held_back = step.startswith(MODEL)
        assert not (held_back and seen.topic == TOPICS.keypoints), "live results came while it measured"


def test_a_wish_that_nothing_holds(rig: Rig) -> None:
    """Nothing is applied; told is which comes nearest, and what of the wish that does not hold."""
    tuning = found(rig, rig.begin("tune", **ARGS | {"cpu_percent": 0.01, "apply": True}))
    assert (tuning.winner, tuning.applied) == (None, False)
    assert tuning.nearest is not None
    near = tuning.trials[tuning.nearest]
    assert near.at_pace is not None
    assert "of a core, where 0.01 may be" in near.fails[0]
    assert tuning.verdict.startswith("nothing holds the wish; ")
    assert rig.state(Status.RUNNING).version == 0
    rig.flows()


def test_what_ends_it_before(rig: Rig) -> None:
    """A cancel ends it and frames flow again; a stop ends the agent at once, and the job is over after it."""
    for name in ("models", "devices"):
        error = rig.heard.ask("tune", **ARGS | {name: ["NOPE" if name == "devices" else "nope"]}).error
        assert error is not None
        assert error.code in {ErrorCode.UNKNOWN_MODEL, ErrorCode.UNKNOWN_DEVICE}
    job = rig.begin("tune", **ARGS | {"frames": 1000})
    rig.wait(lambda news: news.id == job and MODEL in news.step)
    rig.heard.ask("cancel", id=job)
    assert rig.ended(job).status is JobStatus.CANCELLED
    rig.flows()
    job = rig.begin("tune", **ARGS | {"frames": 1000})
    rig.wait(lambda news: news.id == job and MODEL in news.step)
    assert rig.end(signal.SIGTERM, 60) == 0
    rig.start()
    assert rig.ended(job).status is JobStatus.CANCELLED
    rig.flows()
