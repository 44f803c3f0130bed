"""What goes wrong around a real agent amid a sweep, and what the sweep makes of it.

``python -m tests.system.study_faults`` prints what it saw. After each fault the sweep goes on where it was, or ends
with a stated reason; no row is measured twice, what had been measured stays as it was, and live publishing is back at
the end. The first violation ends it with exit code 1. With ``--quantize`` it takes the way from frames of people to an
INT8 network in use instead, which needs some minutes.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from agent.benchmark.rows import recipes
from agent.control.studying import Ledger
from agent.wire.commands import ErrorCode, Job, JobStatus, ReplyStatus, Sweep
from agent.wire.messages import Event, Info, State, Status
from agent.wire.study import Study
from agent.wire.topics import Topics
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.broker import Broker, Listener
from tests.capture.mjpeg import MjpegCamera
from tests.commander import Commander
from tests.system.process import DEMO, Born, Process

TOPICS: Final = Topics("demo")
MODEL: Final = "movenet-multipose"
JOB_S: Final = 240.0
STOPPED_S: Final = 15.0
"""Promised are two seconds, of a machine that has nothing else to do. What would be waited for takes longer."""
QUANTIZE_S: Final = 1800.0
LOG_LINES: Final = 30
FIVE: Final[dict[str, Any]] = {
    "devices": ("CPU", "SIMCPU"),
    "precisions": ("FP32", "FP16"),
    "baseline_runs": 1,
    "runs": 1,
    "frames": 10,
}
"""What a sweep of five rows is asked for."""
FOUR: Final[dict[str, Any]] = FIVE | {"baseline_runs": 0}
"""The same without the original network, which takes longest."""
TWELVE: Final[dict[str, Any]] = FIVE | {
    "devices": ("CPU", "SIMCPU", "MULTI:SIMCPU,CPU", "HETERO:SIMCPU,CPU"),
    "precisions": ("FP32", "FP16", "INT8"),
    "affinities": ("fallback",),
    "baseline_runs": 0,
}
BRIEF: Final = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))  # threads that imports start inherit it
import agent.benchmark.limit, agent.benchmark.sweep
agent.benchmark.sweep.LIMIT_S = agent.benchmark.limit.PEAK_ROUND_S = 0.02
import agent.benchmark.load
agent.benchmark.load.OTHERS_MAX = 101.0  # nothing disturbs: no run is made twice
import agent.control.quantizing
{also}
from agent.cli import main
main()
"""
"""The agent, but for how long it measures each row's limit, what disturbs it, and what else a test changes."""


class Rig:
    """An agent on its broker that can be killed and started again; a context manager.

    What is waited for is what was said since the last start.
    """

    def __init__(
        self, folder: Path, broker: Broker, *, also: str = "", config: str = str(DEMO), **variables: str
    ) -> None:
        self._program = BRIEF.format(also=also)
        self._config = config
        self.folder = folder
        self.state_folder = folder / "state"
        self.broker = broker
        self._variables = {
            "EDGEPOSE_MQTT__HOST": "127.0.0.1",
            "EDGEPOSE_MQTT__PORT": str(broker.port),
            "EDGEPOSE_PATHS__STATE": str(self.state_folder),
            "EDGEPOSE_PATHS__CACHE": str(folder / "cache"),
            "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "128",
            "EDGEPOSE_SWITCH__MEASURE_S": "0.3",
            **variables,
        }
        self.heard = Commander(broker.port, TOPICS)
        self.process: Process | None = None
        self.job = ""
        """Id of the last job."""

    def __enter__(self) -> Self:
        self.heard.__enter__()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.__exit__(kind, error, trace)
        self.heard.__exit__(kind, error, trace)

    def start(self) -> None:
        """Start the agent; what was heard of an earlier one is forgotten."""
        mark = f"{TOPICS.prefix}/{TOPICS.device_id}/mark"
        self.heard.client.publish(mark, str(time.monotonic_ns()), 1)
        self.heard.wait(lambda seen: seen.topic == mark)
        self.heard.messages.clear()
        agent = Born([sys.executable, "-c", self._program, "run", "--config", self._config], **self._variables)
        self.process = agent.__enter__()
        self.told("agent.started")

    def end(self, number: signal.Signals, timeout_s: float = 10.0) -> int:
        """End the agent with a signal, and wait for its exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        process.signal(number)
        try:
            return process.end(timeout_s)
        finally:
            process.__exit__(None, None, None)

    def kill(self) -> Ledger:
        """Kill -9 the agent; what it had measured."""
        self.end(signal.SIGKILL)
        return self.ledger()

    def ledger(self) -> Ledger:
        """What stands on the disk of the study."""
        return Ledger.model_validate_json((self.state_folder / "demo-study.json").read_bytes())

    def log(self) -> str:
        """The last lines of the agent's standard error."""
        return "\n".join(self.process.errors[-LOG_LINES:]) + "\n" if self.process is not None else ""

    def begin(self, command: str, **args: Any) -> str:
        """Begin a job; its id."""
        reply = self.heard.ask(command, **args)
        assert reply.status is ReplyStatus.ACCEPTED, f"{command} is told {reply}"
        assert reply.result is not None
        self.job = str(reply.result["job"])
        return self.job

    def wait(self, wanted: Callable[[Job], bool], timeout_s: float = JOB_S) -> Job:
        """The first that is told of a job and is wanted, since the last start."""
        found = self.heard.wait(
            lambda seen: "/job/" in seen.topic and wanted(Job.decode(bytes(seen.payload))), timeout_s=timeout_s
        )
        return Job.decode(bytes(found.payload))

    def at(self, row: int, step: str = "") -> None:
        """Wait until the job is at a row, and there at a step."""
        self.wait(lambda job: job.id == self.job and job.step.startswith(f"row {row} of ") and step in job.step)

    def ended(self, job_id: str) -> Job:
        """How the job ended."""
        return self.wait(lambda job: job.id == job_id and job.status in Job.FINAL)

    def study(self, job_id: str) -> Study:
        """What a job that succeeded brought."""
        job = self.ended(job_id)
        assert job.status is JobStatus.SUCCEEDED, f"it ended with {job}"
        return Study.model_validate_json(json.dumps(job.result))

    def steps(self) -> list[str]:
        """What the last job has done since the last start."""
        return [Job.decode(payload).step for payload in self.heard.payloads(TOPICS.job(self.job))]

    def told(self, code: str) -> None:
        """Wait for an event."""
        self.heard.wait(
            lambda seen: seen.topic == TOPICS.event and Event.decode(bytes(seen.payload)).code == code, timeout_s=120
        )

    def state(self, status: Status) -> State:
        """Wait until this is the last that was said of the state."""
        return self._last(lambda state: state.status is status)

    def _last(self, wanted: Callable[[State], bool]) -> State:
        def last() -> State:
            return State.decode(self.heard.payloads(TOPICS.state)[-1])

        self.heard.wait(lambda _: bool(self.heard.payloads(TOPICS.state)) and wanted(last()), timeout_s=120)
        return last()

    def runs(self, wanted: Callable[[State], bool]) -> State:
        """Wait until the agent runs, and the last that was said of its state is so."""
        return self._last(lambda state: state.status is Status.RUNNING and wanted(state))

    def flows(self) -> None:
        """See keypoints come, from now on."""
        topic, count = TOPICS.keypoints, len(self.heard.payloads(TOPICS.keypoints)) + 3
        self.heard.wait(lambda seen: seen.topic == topic and len(self.heard.payloads(topic)) >= count, timeout_s=60)


def killed(rig: Rig, args: dict[str, Any], row: int) -> Study:
    """Kill -9 in a row: after the restart the sweep goes on there, and what had been measured stays."""
    job = rig.begin("sweep", **args)
    rig.at(row, "run 1")
    before = rig.kill()
    assert (len(before.study.rows), before.begun) == (row - 1, row - 1), f"on the disk stands {before}"
    rig.start()
    study = rig.study(job)
    goes_on_whole(rig, args, row, before, study)
    return study


def goes_on_whole(rig: Rig, args: dict[str, Any], row: int, before: Ledger, study: Study) -> None:
    """It went on at the row it was in, nothing was counted twice or lost, and live publishing is back."""
    goes_on(rig, row)
    unchanged(before, study)
    each_once(study, args)
    assert not [found for found in study.rows if found.status == "failed"], f"rows failed: {study.rows}"
    back(rig)


def killed_again(rig: Rig, args: dict[str, Any], row: int) -> Study:
    """Killed twice in a row, the sweep gives that row up, with the reason, and goes on with the next."""
    job = rig.begin("sweep", **args)
    for _ in range(2):
        rig.at(row)
        before = rig.kill()
        rig.start()
    study = rig.study(job)
    goes_on(rig, row + 1)
    unchanged(before, study)
    each_once(study, args)
    failed = [place for place, found in enumerate(study.rows, 1) if found.status == "failed"]
    assert failed == [row], f"these failed: {failed}"
    assert "died each time" in study.rows[row - 1].reason, study.rows[row - 1].reason
    back(rig)
    return study


def stopped(rig: Rig, args: dict[str, Any], row: int) -> Study:
    """SIGTERM ends the agent at once, and the row is measured after a restart, however often that happens."""
    job = rig.begin("sweep", **args)
    for _ in range(2):
        rig.at(row)
        code = rig.end(signal.SIGTERM, STOPPED_S)
        assert code == 0, f"its exit code is {code}"
        before = rig.ledger()
        rig.start()
    study = rig.study(job)
    goes_on_whole(rig, args, row, before, study)
    return study


def cancelled(rig: Rig, args: dict[str, Any], row: int) -> Job:
    """A cancelled sweep ends as such, says why, and leaves the agent as it was."""
    job_id = rig.begin("sweep", **args)
    rig.at(row)
    reply = rig.heard.ask("cancel", id=job_id)
    assert reply.status is ReplyStatus.SUCCEEDED, f"cancel is told {reply}"
    job = rig.ended(job_id)
    assert (job.status, job.error and job.error.code) == (JobStatus.CANCELLED, ErrorCode.CANCELLED), f"it ended: {job}"
    back(rig)
    return job


def cancelled_and_killed(rig: Rig, args: dict[str, Any], row: int) -> Job:
    """Kill -9 right after the reply to a cancel: after the restart the sweep is cancelled, and does not go on."""
    job_id = rig.begin("sweep", **args)
    rig.at(row, "compiling")
    reply = rig.heard.ask("cancel", id=job_id)
    rig.end(signal.SIGKILL)
    assert reply.status is ReplyStatus.SUCCEEDED, f"cancel is told {reply}"
    rig.start()
    job = rig.ended(job_id)
    assert (job.status, job.error and job.error.code) == (JobStatus.CANCELLED, ErrorCode.CANCELLED), f"it ended: {job}"
    back(rig)
    again = [step for step in rig.steps() if step.startswith("row ")]
    assert not again, f"it went on: {again}"
    return job


def outages(rig: Rig, args: dict[str, Any], row: int, camera: MjpegCamera) -> Study:
    """Broker and camera go away amid a sweep over a clip: it goes on; both come back and are told as ever."""
    job = rig.begin("sweep", clip="vtest", **args)
    rig.at(row)
    camera.refuse()
    rig.told("camera.lost")
    rig.broker.kill()
    rig.heard.messages.clear()
    rig.broker.start()
    rig.wait(lambda news: news.id == job)
    with Listener(rig.broker.port, TOPICS.job(job)) as late:
        assert late.wait(lambda seen: seen.topic == TOPICS.job(job)).retain
    study = rig.study(job)
    each_once(study, args)
    assert not [found for found in study.rows if found.status == "failed"], f"rows failed: {study.rows}"
    rig.state(Status.CAMERA_LOST)
    camera.listen()
    rig.told("camera.back")
    back(rig)
    return study


def quantised(rig: Rig) -> Job:
    """A quantisation ends with INT8 on offer, and with no picture on the disk; the agent judges it before it runs."""
    rig.flows()
    job_id = rig.begin("quantize", frames=80, seconds=120)
    job = rig.wait(lambda news: news.id == job_id and news.status in Job.FINAL, QUANTIZE_S)
    assert not (rig.state_folder / "demo-calibration").exists(), "pictures were left"
    assert job.status is JobStatus.SUCCEEDED, f"it ended with {job}"
    assert (job.result or {}).get("installed") is True, f"it brought {job.result}"
    rig.heard.ask("jobs")  # whatever was to be told of the end has been told before
    offered = {model.name: model.precisions for model in Info.decode(rig.heard.payloads(TOPICS.info)[-1]).models}
    assert "INT8" in offered[MODEL], f"on offer is {offered}"
    reply = rig.heard.ask("set-precision", precision="INT8", timeout_s=120)
    if reply.status is ReplyStatus.SUCCEEDED:
        assert rig.state(Status.RUNNING).requested.precision == "INT8"
    else:
        assert reply.error is not None
        assert reply.error.code is ErrorCode.ACCURACY_FAILED, f"it is told {reply}"
        assert any(letter.isdigit() for letter in reply.error.message), f"no figures: {reply.error}"
    rig.flows()
    return job


def back(rig: Rig) -> None:
    """The agent is as it was: the same is asked of it and runs, and keypoints come."""
    state = rig.state(Status.RUNNING)
    asked = (state.version, state.requested.device, state.requested.precision)
    assert asked == (0, "CPU", "FP32"), f"it is {state}"
    assert state.effective is not None
    assert state.effective.engine == 1, f"it is {state}"
    rig.flows()


def goes_on(rig: Rig, row: int) -> None:
    """Since the last start no row before this one was begun."""
    earlier = tuple(f"row {number} of " for number in range(1, row))
    again = [step for step in rig.steps() if step.startswith(earlier)]
    assert not again, f"measured again: {again}"


def each_once(study: Study, args: dict[str, Any]) -> None:
    """Every configuration that was asked for has its row, in order."""
    wanted = recipes(Sweep.model_validate(args), MODEL)
    assert tuple(row.recipe for row in study.rows) == wanted, f"rows {study.rows} of {wanted}"


def unchanged(before: Ledger, study: Study) -> None:
    """What had been measured is still what it was."""
    rows = before.study.rows
    assert study.rows[: len(rows)] == rows, f"rows were {rows}, are {study.rows}"


def main() -> int:
    """Print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quantize", action="store_true")
    options = parser.parse_args()
    for name in (MODEL, "vtest"):
        fetch(catalogue.card(name), Store(models_dir()))
    with tempfile.TemporaryDirectory() as scratch, MjpegCamera() as camera:
        if options.quantize:
            shutil.copytree(models_dir(), Path(scratch) / "models")
            own = {"EDGEPOSE_PATHS__MODELS": str(Path(scratch) / "models"), "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "512"}
            violation = _violation(Path(scratch), quantised, **own)
            sys.stdout.write(f"quantised: {violation or 'held'}\n")
            return 1 if violation else 0
        faults: dict[str, Callable[[Rig], object]] = {
            "kill -9 in row 5 of 12": lambda rig: killed(rig, TWELVE, 5),
            "kill -9 twice in row 5": lambda rig: killed_again(rig, TWELVE, 5),
            "SIGTERM twice in row 5": lambda rig: stopped(rig, TWELVE, 5),
            "cancelled in row 5": lambda rig: cancelled(rig, TWELVE, 5),
            "cancelled in row 5, kill -9 right after": lambda rig: cancelled_and_killed(rig, TWELVE, 5),
            "broker and camera lost in row 5": lambda rig: outages(rig, TWELVE, 5, camera),
        }
        for name, fault in faults.items():
            live = live_from(camera) if "camera" in name else {}
            violation = _violation(Path(scratch), fault, **live)
            sys.stdout.write(f"{name}: {violation or 'held'}\n")
            sys.stdout.flush()
            if violation:
                return 1
    return 0


def live_from(camera: MjpegCamera) -> dict[str, str]:
    """Environment of an agent that looks at this camera."""
    return {"EDGEPOSE_CAMERA__SOURCE": camera.url, "EDGEPOSE_CAMERA__LOOP": "false"}


def _violation(scratch: Path, fault: Callable[[Rig], object], **variables: str) -> str:
    """What did not hold, with the last of the agent's log; nothing where all did."""
    with tempfile.TemporaryDirectory(dir=scratch) as own, Broker(Path(own)) as broker:
        rig = Rig(Path(own), broker, EDGEPOSE_PATHS__CACHE=str(scratch / "cache"), **variables)
        with rig:
            try:
                fault(rig)
            except AssertionError as error:
                return f"violation: {error}\n{rig.log()}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
