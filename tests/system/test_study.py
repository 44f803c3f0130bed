"""Benchmarks and sweeps by a real agent: what they bring, what they leave, and what may go wrong meanwhile."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.wire.commands import ErrorCode, Job, JobStatus, ReplyStatus
from agent.wire.messages import Status
from tests.broker import Broker
from tests.capture.mjpeg import MjpegCamera
from tests.system import study_faults
from tests.system.study_faults import FIVE, FOUR, TOPICS, Rig, back, each_once, live_from

REFUSED: dict[str, dict[str, Any]] = {
    "set-device": {"device": "SIMCPU"},
    "set-precision": {"precision": "FP16"},
    "plan-affinity": {"preset": "split"},
    "pause": {},
    "benchmark": {},
    "sweep": {},
    "quantize": {},
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled networks, for all of these agents."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def rig(broker: Broker, tmp_path: Path, cache: Path) -> Iterator[Rig]:
    with Rig(tmp_path, broker, EDGEPOSE_PATHS__CACHE=str(cache)) as running:
        yield running


def test_a_benchmark(rig: Rig) -> None:
    """Told step by step, it brings a study of one row; meanwhile changes are refused and live publishing stops."""
    rig.flows()
    job = rig.begin("benchmark", runs=2, frames=20)
    rig.at(1, "warming up")
    assert rig.state(Status.BENCHMARKING).requested.device == "CPU"
    for name, args in REFUSED.items():
        error = rig.heard.ask(name, **args).error
        assert (name, error and error.code) == (name, ErrorCode.BUSY)
    assert rig.heard.ask("describe").status is ReplyStatus.SUCCEEDED
    result = rig.heard.ask("jobs").result or {}
    assert [(known["id"], known["status"]) for known in result["jobs"]] == [(job, "running")]  # type: ignore[union-attr, index, call-overload]
    study = rig.study(job)
    (row,) = study.rows
    assert (row.status, row.recipe.device, row.recipe.precision, row.accurate) == ("measured", "CPU", "FP32", True)
    assert [run.frames for run in row.runs] == [20, 20]
    assert study.finished_at is not None
    told = [Job.decode(bytes(seen.payload)) for seen in list(rig.heard.messages) if "/job/" in seen.topic]
    assert [news.progress for news in told] == sorted(news.progress for news in told)
    assert [news.status for news in told] == [JobStatus.RUNNING] * (len(told) - 1) + [JobStatus.SUCCEEDED]
    silent = False
    for seen in list(rig.heard.messages):
        if "/job/" in seen.topic:
            silent = "row 1" in Job.decode(bytes(seen.payload)).step
        assert not (silent and seen.topic == TOPICS.keypoints), "live results came while it measured"
    back(rig)


def test_a_benchmark_while_paused(rig: Rig) -> None:
    """Who was paused is paused afterwards, be the benchmark cancelled or at its end."""
    rig.heard.ask("pause")
    for steps in ("run 1", None):
        job = rig.begin("benchmark", runs=2, frames=20)
        rig.state(Status.BENCHMARKING)
        if steps:
            rig.at(1, steps)
            rig.heard.ask("cancel", id=job)
        assert rig.ended(job).status is (JobStatus.CANCELLED if steps else JobStatus.SUCCEEDED)
        assert rig.state(Status.PAUSED).version == 1
    began = rig.heard.messages.index(rig.heard.wait(lambda seen: seen.topic == TOPICS.job(job)))
    assert rig.heard.ask("describe").status is ReplyStatus.SUCCEEDED
    assert TOPICS.keypoints not in [seen.topic for seen in rig.heard.messages[began:]]
    rig.heard.ask("resume")
    rig.flows()


def test_a_sweep(rig: Rig) -> None:
    """What this box lacks is unavailable, the rest measured, in order; of a single run each nobody wins."""
    args: dict[str, Any] = FIVE | {"devices": ("CPU", "GPU", "HETERO:SIMCPU,CPU"), "precisions": ("FP32",)}
    args |= {"affinities": ("fallback", "split"), "frames": 20}
    rig.flows()
    study = rig.study(rig.begin("sweep", **args))
    each_once(study, args)
    original, *others = study.rows
    assert (original.status, original.speedup, original.limit) == ("measured", 1.0, None)
    for row in others:
        if row.recipe.device == "GPU":
            assert row.status == "unavailable"
            assert "devices here: CPU, SIMCPU" in row.reason
            continue
        assert row.status == "measured", row.reason
        assert row.effective is not None
        assert row.agreement is not None
        assert row.limit is not None
        assert row.agreement.frames == 20
        assert row.accurate
        assert row.limit.raw_fps > 0
        assert row.speedup is not None
        # Where a network is cut is `split`'s to choose; both devices being one, that may be nowhere.
        assert (row.effective.submodels, row.bytes_moved) != (None, None) or row.recipe.affinity is None
    assert (study.best_throughput, study.best_latency, study.applied) == (None, None, None)
    back(rig)


def test_a_sweep_that_applies_the_best(rig: Rig) -> None:
    """The winner is asked for and runs: the only row here that can be measured."""
    args: dict[str, Any] = FOUR | {"devices": ("SIMCPU", "GPU"), "precisions": ("FP32",), "apply": "best"}
    rig.flows()
    study = rig.study(rig.begin("sweep", **args))
    assert study.applied == study.best_throughput == 0
    winner = study.rows[study.applied].recipe
    rig.told("switch.done")
    state = rig.state(Status.RUNNING)
    asked = state.requested
    assert (asked.device, asked.precision, asked.hint) == (winner.device, winner.precision, winner.hint)
    assert (asked.affinity or {}).get("preset") == winner.affinity
    assert state.version == 1
    rig.flows()


def test_kills(rig: Rig) -> None:
    """Kill -9 in row 2 of 4: it goes on there, with nothing measured twice; row 3, killed twice, is given up."""
    study_faults.killed(rig, FOUR, 2)
    study_faults.killed_again(rig, FOUR, 3)


def test_stop_and_cancel(rig: Rig) -> None:
    """A stop in row 2 of 4 ends the agent at once and the row is measured later; a cancel ends the sweep for good."""
    study_faults.stopped(rig, FOUR, 2)
    study_faults.cancelled(rig, FOUR, 2)
    study_faults.cancelled_and_killed(rig, FOUR, 2)


def test_outages(broker: Broker, tmp_path: Path, cache: Path) -> None:
    """A sweep over a clip minds neither a broker that dies nor a camera that is lost."""
    with (
        MjpegCamera() as camera,
        Rig(tmp_path, broker, EDGEPOSE_PATHS__CACHE=str(cache), **live_from(camera)) as rig,
    ):
        rig.flows()
        study_faults.outages(rig, FOUR, 2, camera)


def test_a_clip_of_the_camera(broker: Broker, tmp_path: Path, cache: Path) -> None:
    """Recorded where that is allowed, looked at again after a stop and after kill -9, and deleted at the end.

    Also where the agent is killed before it could: what was cancelled is not looked at again.
    """
    with MjpegCamera() as camera:
        live = live_from(camera) | {"EDGEPOSE_BENCHMARK__RECORD_FROM_CAMERA": "true"}
        with Rig(tmp_path, broker, EDGEPOSE_PATHS__CACHE=str(cache), **live) as rig:
            rig.flows()
            clip = rig.state_folder / "demo-clip"
            job = rig.begin("benchmark", runs=20, frames=20)
            rig.at(1)
            recorded = {path: path.stat().st_mtime_ns for path in clip.iterdir()}
            assert clip.stat().st_mode & 0o777 == 0o700
            rig.end(signal.SIGTERM)
            rig.start()
            rig.at(1)
            rig.kill()
            rig.start()
            rig.at(1)
            assert {path: path.stat().st_mtime_ns for path in clip.iterdir()} == recorded
            rig.heard.ask("cancel", id=job)
            assert rig.ended(job).status is JobStatus.CANCELLED
            assert not clip.exists()
            back(rig)
            job = rig.begin("benchmark", runs=20, frames=20)
            rig.at(1, "compiling")
            rig.heard.ask("cancel", id=job)
            rig.end(signal.SIGKILL)
            rig.start()
            assert rig.ended(job).status is JobStatus.CANCELLED
            assert not clip.exists()
