"""`benchmark` and `sweep`: what is sent, and what becomes of the job; a responder stands for the agent."""

import json
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.wire.commands import ARGS, ErrorCode, Job, JobStatus, Reply, ReplyError, ReplyStatus
from agent.wire.study import Study
from controller.terminal.progress import left_s
from tests import samples
from tests.broker import Broker
from tests.controller.conftest import controller, run_inside
from tests.controller.responder import Asked, Responder, job, publish_job, put_member, rejection, reply
from tests.controller.studies import Told, measured, recipe, study
from tests.controller.test_jobs import address, running

FINDINGS = study((measured(recipe("CPU", "FP32"), Told(70.0, 28.0)),), device_id="gym-1")


def told(status: JobStatus = JobStatus.RUNNING, document: Study | None = None, **changes: Any) -> Job:
    """A sweep somewhere on its way."""
    result = document.model_dump(mode="json", by_alias=True) if document else None
    facts = {"id": "sweep-1", "command": "sweep", "step": "CPU FP32, run 2 of 3", "result": result}
    return job("gym-1", status, **(facts | changes))


def box(broker: Broker, *stages: Job, device: str = "gym-1") -> Responder:
    """Stand for an agent that starts a job, which then says these things."""

    def answers(asked: Asked) -> list[Reply]:
        for stage in stages:
            publish_job(broker.port, stage.model_copy(update={"device_id": device}), "sweep-1")
        return [reply(device, asked, ReplyStatus.ACCEPTED, result={"job": "sweep-1"})]

    return Responder(broker.port, device, answers)


DONE = told(JobStatus.SUCCEEDED, FINDINGS, progress=1.0, finished_at=samples.NOW)


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["sweep"], {}),
        (
            ["sweep", "--devices", "cpu/multi:cpu,gpu/HETERO:GPU,CPU", "--devices", "NPU/CPU"],
            {"devices": ["CPU", "MULTI:CPU,GPU", "HETERO:GPU,CPU", "NPU"]},
        ),
        (
            ["sweep", "--precisions", "int8,FP32", "--hints", "latency"],
            {"precisions": ["INT8", "FP32"], "hints": ["latency"]},
        ),
        (["sweep", "--long-sides", "256,512", "--long-sides", "384,256"], {"long_sides": [256, 512, 384]}),
        (["sweep", "--affinity", "split,fallback"], {"affinities": ["split", "fallback"]}),
        (
            ["sweep", "--apply", "best-latency", "--max-accuracy-loss", "0.02", "--baseline-runs", "0"],
            {"apply": "best-latency", "max_accuracy_loss": 0.02, "baseline_runs": 0},
        ),
        (["sweep", "--runs", "3", "--frames", "200", "--clip", "vtest"], {"runs": 3, "frames": 200, "clip": "vtest"}),
        (["benchmark"], {}),
        (
            [
                "benchmark",
                "--device",
                "hetero:gpu,cpu",
                "--precision",
                "int8",
                "--affinity",
                "split",
                "--hint",
                "latency",
            ],
            {"device": "HETERO:GPU,CPU", "precision": "INT8", "affinity": "split", "hint": "latency"},
        ),
        (["benchmark", "--seconds", "30"], {"seconds": 30.0}),
    ],
)
def test_only_what_was_given_is_sent(broker: Broker, words: list[str], args: dict[str, Any]) -> None:
    """The arguments are the wire's, device strings canonical and lists without doubles; the rest is the box's."""
    with box(broker) as agent:
        code, _errors = run_inside(words[0], "gym-1", *words[1:], "--no-wait", *address(broker))
        asked = agent.request()
    assert (code, asked.name, asked.body["args"]) == (0, words[0], args)
    ARGS[words[0]].model_validate(asked.body["args"])


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["sweep", "--devices", "CPU,GPU"], "a slash stands between devices: CPU/MULTI:CPU,GPU"),
        (["sweep", "--devices", "MULTI:CPU,GPU,HETERO:GPU,CPU"], "a slash stands between devices"),
        (["sweep", "--devices", "CPU//GPU"], "the device string is empty"),
        (["sweep", "--precisions", "FP32/INT8"], "is not one of"),
        (["sweep", "--long-sides", "256,16"], "16 is not in the range"),
        (["sweep", "--seconds", "1", "--frames", "100"], "give --seconds or --frames"),
        (["benchmark", "--clip", "../secret"], "clip: "),
        (["benchmark", "--out", "a.txt"], "ending in .json"),
        (["benchmark", "--out", "a.json", "--no-wait"], "--no-wait does not wait"),
    ],
)
def test_slips_cost_nothing(words: list[str], hint: str) -> None:
    """What no box could do is refused here with what was meant, before a broker is looked for."""
    code, errors = run_inside(words[0], "gym-1", *words[1:], "--broker", "127.0.0.1:1")
    assert (code, hint in " ".join(errors.split())) == (2, True), errors


def test_a_sweep_to_its_end(broker: Broker, tmp_path: Path) -> None:
    """The job is followed; at its end the table, what was found, and the file, which is the document of the wire."""
    out = tmp_path / "gym-1.json"
    with box(broker, told(), DONE):
        done = controller("sweep", "gym-1", "--out", str(out), *address(broker))
        as_json = controller("benchmark", "gym-1", "--json", *address(broker))
    assert done.returncode == 0, done.stderr
    assert "CPU FP32: 70.0 frames a second" in done.stdout
    assert json.loads(out.read_text(encoding="utf-8")) == DONE.result
    assert f"controller report {out} --html" in done.stderr
    assert (as_json.returncode, json.loads(as_json.stdout)) == (0, DONE.result)
    assert controller("report", str(out)).returncode == 0


def test_a_sweep_that_is_cut_short(broker: Broker, tmp_path: Path) -> None:
    """What was measured before a failure is shown and written all the same, with the reason; exit 1."""
    out = tmp_path / "gym-1.json"
    error = ReplyError(code=ErrorCode.CANCELLED, message="cancelled in row 5 of 12", hint="")
    unfinished = FINDINGS.model_copy(update={"finished_at": None})
    with box(broker, told(JobStatus.CANCELLED, unfinished, error=error)):
        done = controller("sweep", "gym-1", "--out", str(out), *address(broker))
    assert done.returncode == 1
    assert "cancelled in row 5 of 12" in done.stderr
    assert "The study has not ended" in done.stdout
    assert json.loads(out.read_text(encoding="utf-8"))["finished_at"] is None


def test_a_job_without_a_study(broker: Broker, tmp_path: Path) -> None:
    """Where nothing was measured there is no file: the job's own error is told, or what a refusal says."""
    out = tmp_path / "gym-1.json"
    error = ReplyError(code=ErrorCode.NOT_FOUND, message="no clip called gym", hint="models list")
    with box(broker, told(JobStatus.FAILED, error=error)):
        failed = controller("sweep", "gym-1", "--out", str(out), *address(broker))
        as_json = controller("sweep", "gym-1", "--json", *address(broker))
    with Responder(broker.port, "gym-1", lambda asked: [rejection("gym-1", asked)]):
        refused = controller("sweep", "gym-1", "--out", str(out), *address(broker))
    assert (failed.returncode, as_json.returncode, refused.returncode) == (1, 1, 4)
    assert "no clip called gym" in failed.stderr
    assert json.loads(as_json.stdout)["job"]["error"]["code"] == "not_found"
    assert "rejected" in refused.stderr
    assert not out.exists()


def test_ctrl_c_and_coming_back(broker: Broker, tmp_path: Path) -> None:
    """Ctrl-C leaves the sweep running and says how to come back; there the study is shown and written as well."""
    out = tmp_path / "gym-1.json"
    put_member(broker.port, "gym-1")
    publish_job(broker.port, told(), "sweep-1")
    words = ["job", "gym-1", "sweep-1", "--follow", "--json", "--out", str(out)]
    with running(*words, *address(broker)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _out, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert not out.exists()
    assert f"`controller job gym-1 sweep-1 --follow --out {out}`" in errors
    early = controller("job", "gym-1", "sweep-1", "--out", str(out), *address(broker))
    assert (early.returncode, "has no study to write" in early.stderr) == (1, True)
    publish_job(broker.port, DONE, "sweep-1")
    later = controller("job", "gym-1", "sweep-1", "--follow", "--out", str(out), *address(broker))
    assert later.returncode == 0, later.stderr
    assert "CPU FP32: 70.0 frames a second" in later.stdout
    assert json.loads(out.read_text(encoding="utf-8")) == DONE.result


def test_a_box_that_goes_offline(broker: Broker, tmp_path: Path) -> None:
    """It is told where the sweep stood, exit 3, and nothing is written."""
    out = tmp_path / "gym-1.json"
    put_member(broker.port, "gym-1", availability=b"offline")
    publish_job(broker.port, told(), "sweep-1")
    done = controller("job", "gym-1", "sweep-1", "--follow", "--out", str(out), *address(broker))
    assert (done.returncode, out.exists()) == (3, False)
    assert "gym-1 has gone offline; its job sweep-1 stood at 25%: CPU FP32, run 2 of 3" in done.stderr


def test_the_time_left() -> None:
    """It goes by the box's own clock and by how far the job is; at its start there is nothing to go by."""
    later = samples.NOW + timedelta(minutes=10)
    assert left_s(told(progress=0.25, sent_at=later)) == pytest.approx(1800)
    assert left_s(told(progress=1.0, sent_at=later)) == 0
    assert left_s(told(progress=0.0, sent_at=later)) is None
    assert left_s(told(progress=0.5)) is None


def test_several_boxes_are_measured_one_after_the_other(broker: Broker, tmp_path: Path) -> None:
    """A glob or a group: each box when the one before has ended, each with its file; the worst of them is the code."""
    broken = DONE.model_copy(update={"status": JobStatus.FAILED})
    out = tmp_path / "study.json"
    put_member(broker.port, "gym-3", availability=b"offline")
    with box(broker, DONE) as first, box(broker, broken, device="gym-2") as second:
        done = controller("sweep", "*", "--out", str(out), *address(broker))
        assert (first.request().name, second.request().name) == ("sweep", "sweep")
        assert done.returncode == 1
        assert [file.name for file in sorted(tmp_path.glob("*.json"))] == ["study-gym-1.json", "study-gym-2.json"]
        assert done.stderr.index("gym-1: sweep, 1 of 3.") < done.stderr.index("gym-2: sweep, 2 of 3.")
        again = controller("sweep", "gym-*", "--out", str(out), *address(broker))
        assert (again.returncode, first.asked.empty(), second.asked.empty()) == (2, True, True)
        found = controller("benchmark", "gym-[12]", "--json", *address(broker))
    devices = json.loads(found.stdout)["devices"]
    assert [device["schema"] for device in devices] == ["edgepose.study/1", "edgepose.study/1"]
