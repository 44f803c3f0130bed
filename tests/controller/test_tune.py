"""`tune`: what is sent, and what is shown of what the box has found; a responder stands for the agent."""

import json
import signal
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Final

import pytest

from agent.control.tuning import decision
from agent.wire.commands import ARGS, Job, JobStatus, Reply, ReplyStatus
from agent.wire.messages import HostInfo
from agent.wire.study import Clip
from agent.wire.tuning import Trial, Tuning, Wish
from controller.report.tuned import HEIGHT_PX, as_html, cells, shown
from tests import samples
from tests.broker import Broker
from tests.controller.conftest import controller, run_inside
from tests.controller.responder import Asked, Responder, job, publish_job, put_member, reply
from tests.controller.test_jobs import address, running
from tests.study.trials import UNAVAILABLE, at_pace, recipe, trial
from tests.system.process import ROOT

XHTML: Final = "{http://www.w3.org/1999/xhtml}"
TRIALS: Final = (
    trial(0.52, seen=at_pace(age_ms=40, cpu=31)),
    trial(0.81, fps=14.0, cpu_ms=95, long_side=384, seen=at_pace(age_ms=88, cpu=52), model="rtmpose-s"),
    trial(0.40, fps=12.0, cpu_ms=99, long_side=320),
    trial(0.96, fps=6.0, cpu_ms=160, long_side=512, model="rtmpose-s").model_copy(
        update={"fails": ("6.0 frames a second of 10",)}
    ),
    UNAVAILABLE,
)


def tuning(winner: int | None = 1, nearest: int | None = None, **changes: Any) -> Tuning:
    """What a box has found, with a winner or without."""
    facts: dict[str, Any] = {
        "device_id": "gym-1",
        "started_at": samples.NOW,
        "finished_at": samples.NOW,
        "agent_version": "0.1.0",
        "openvino_version": "2026.4.1",
        "host": HostInfo(hostname="gym-1", os="Debian 12", cpu="Intel N100", cores=4, memory_mb=7800),
        "clip": Clip(name="camera", frames=100, width=1920, height=1080, fps=10.0),
        "wish": Wish(fps=10.0, age_ms=100.0, cpu_percent=60.0),
        "reference": recipe(model="rtmpose-s", long_side=640, hint="throughput"),
        "people": 6.2,
        "asked": {"fps": 10.0},
        "trials": TRIALS,
        "frontier": (3, 1, 0),
        "winner": winner,
        "nearest": nearest,
        "verdict": decision(TRIALS, winner, nearest),
        "left_out": 3,
        "applied": winner is not None,
    }
    return Tuning(**(facts | changes))


def told(status: JobStatus = JobStatus.RUNNING, document: Tuning | None = None, **changes: Any) -> Job:
    """A job somewhere on its way."""
    result = document.model_dump(mode="json", by_alias=True) if document else None
    facts = {"id": "tune-1", "command": "tune", "step": "rtmpose-s 384 px FP32 CPU latency", "result": result}
    return job("gym-1", status, **(facts | changes))


DONE: Final = told(JobStatus.SUCCEEDED, tuning(), progress=1.0, finished_at=samples.NOW)


def box(broker: Broker, *stages: Job) -> Responder:
    """Stand for an agent that starts a job, which then says these things."""

    def answers(asked: Asked) -> list[Reply]:
        for stage in stages:
            publish_job(broker.port, stage, "tune-1")
        return [reply("gym-1", asked, ReplyStatus.ACCEPTED, result={"job": "tune-1"})]

    return Responder(broker.port, "gym-1", answers)


@pytest.mark.parametrize(
    ("words", "args"),
    [
        ([], {}),
        (["--fps", "10", "--age", "100", "--cpu", "60"], {"fps": 10.0, "age_ms": 100.0, "cpu_percent": 60.0}),
        (["--apply", "--seconds", "300", "--frames", "50"], {"apply": True, "seconds": 300.0, "frames": 50}),
        (
            ["--models", "rtmpose-s,movenet-multipose", "--reference", "rtmpose-s", "--long-sides", "320,416"],
            {"models": ["rtmpose-s", "movenet-multipose"], "reference": "rtmpose-s", "long_sides": [320, 416]},
        ),
        (
            ["--devices", "cpu/multi:cpu,gpu", "--precisions", "int8", "--hints", "latency", "--clip", "vtest"],
            {"devices": ["CPU", "MULTI:CPU,GPU"], "precisions": ["INT8"], "hints": ["latency"], "clip": "vtest"},
        ),
    ],
)
def test_only_what_was_given_is_sent(broker: Broker, words: list[str], args: dict[str, Any]) -> None:
    """The arguments are the wire's; the rest is the box's."""
    with box(broker) as agent:
        code, _errors = run_inside("tune", "gym-1", *words, "--no-wait", *address(broker))
        asked = agent.request()
    assert (code, asked.name, asked.body["args"]) == (0, "tune", args)
    ARGS["tune"].model_validate(asked.body["args"])


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--fps", "0"], "--fps"),
        (["--models", "rtmpose-s,,b"], "a name is empty"),
        (["--models", "../secret"], "models"),
        (["--long-sides", "16"], "16 is not in the range"),
        (["--devices", "CPU,GPU"], "a slash stands between devices"),
    ],
)
def test_slips_cost_nothing(words: list[str], hint: str) -> None:
    """What no box could do is refused here, before a broker is looked for."""
    code, errors = run_inside("tune", "gym-1", *words, "--broker", "127.0.0.1:1")
    assert (code, hint in " ".join(errors.split())) == (2, True), errors


def test_what_was_found_is_shown(broker: Broker) -> None:
    """The frontier with the winner in it, what has no figures, what was left out, and the decision; --json as it is."""
    with box(broker, told(), DONE):
        done = controller("tune", "gym-1", *address(broker))
        as_json = controller("tune", "gym-1", "--json", *address(broker))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "Wish: 10.0 frames a second, an age of at most 100 ms, at most 60 % of a core." in lines
    rows = [line.rstrip() for line in lines[:-1] if line.startswith(("rtmpose-s ", "movenet-multipose "))]
    assert [row.split()[:2] for row in rows if "unavailable" not in row] == [
        ["rtmpose-s", "512"],
        ["rtmpose-s", "384"],
        ["movenet-multipose", "256"],
    ]
    assert rows[0].endswith("6.0 frames a second of 10")
    assert rows[1].endswith("winner")
    assert "movenet-multipose 256 px FP32 GPU latency: unavailable: this box has no GPU" in done.stdout
    assert "3 configurations were not looked at" in done.stdout
    assert lines[-1] == (
        "rtmpose-s 384 px FP32 CPU latency holds the wish and finds most. The box was told to switch to it."
    )
    assert (as_json.returncode, json.loads(as_json.stdout)) == (0, DONE.result)


def drawn(page: ET.Element, panel: int) -> dict[str, list[tuple[float, float]]]:
    """The dots of one of the two panels by their class: percent across, pixels down."""
    circles: dict[str, list[tuple[float, float]]] = {}
    for circle in page.findall(f".//{XHTML}svg")[panel].iter(f"{XHTML}circle"):
        place = float(circle.attrib["cx"].rstrip("%")), float(circle.attrib["cy"])
        circles.setdefault(circle.attrib["class"], []).append(place)
    return circles


def test_the_page_draws_what_finding_more_costs() -> None:
    """Every trial with figures is a dot in both panels, better ones higher, dearer and faster ones farther right."""
    page = ET.fromstring(as_html(tuning()))
    trials = [TRIALS[index] for index in (3, 1, 0)]
    for panel, cost in ((0, [each.cpu_ms or 0 for each in trials]), (1, [each.fps or 0 for each in trials])):
        found = drawn(page, panel)
        assert {kind: len(places) for kind, places in found.items()} == {"other": 1, "worth": 3, "winner": 1}
        by_height = sorted(found["worth"], key=lambda place: place[1])
        assert found["winner"] == [by_height[1]], "the ring is around the second best"
        across = [place[0] for place in by_height]
        assert sorted(range(3), key=across.__getitem__) == sorted(range(3), key=cost.__getitem__)
        top, bottom = (place[1] for place in (by_height[0], by_height[-1]))
        assert (bottom - top) / HEIGHT_PX == pytest.approx(0.96 - 0.52, abs=0.01)
    words = " ".join(page.itertext())
    assert "holds the wish and finds most" in words
    assert "this box has no GPU" in words
    assert "6.0 frames a second of 10" in words


def test_a_page_of_nothing_measured_has_no_chart() -> None:
    """Where no trial has figures there is no axis; what a box writes is text, whatever is in it."""
    page = as_html(tuning(None, trials=(UNAVAILABLE,), frontier=(), verdict="<b>nothing</b> & nobody"))
    assert not ET.fromstring(page).findall(f".//{XHTML}svg")
    assert "&lt;b&gt;nothing&lt;/b&gt; &amp; nobody" in page


def test_the_page_is_written_beside_the_table(broker: Broker, tmp_path: Path) -> None:
    """--html of one box: the table is printed all the same, and a file that is there is not replaced."""
    page = tmp_path / "gym.html"
    with box(broker, told(), DONE):
        done = controller("tune", "gym-1", "--html", str(page), *address(broker))
    assert done.returncode == 0, done.stderr
    assert "winner" in done.stdout
    assert page.read_text(encoding="utf-8") == as_html(tuning())
    code, errors = run_inside("tune", "gym-1", "--html", str(page), "--broker", "127.0.0.1:1")
    assert (code, "--force" in errors) == (2, True), errors
    code, errors = run_inside("tune", "--group", "gym", "--html", str(tmp_path / "b.html"), "--broker", "127.0.0.1:1")
    assert (code, "the page of one box" in errors) == (2, True), errors


def test_no_winner_is_an_answer_too(broker: Broker) -> None:
    """The job has succeeded: that nothing holds the wish is what it found, and which comes nearest."""
    document = tuning(None, 3)
    with box(broker, told(JobStatus.SUCCEEDED, document, progress=1.0, finished_at=samples.NOW)):
        done = controller("tune", "gym-1", *address(broker))
    assert done.returncode == 0, done.stderr
    assert "comes nearest: 6.0 frames a second of 10." in done.stdout
    assert "winner" not in done.stdout


def test_ctrl_c_leaves_it_running(broker: Broker) -> None:
    """It says how to come back, where what was found is shown as well, and how to end it."""
    put_member(broker.port, "gym-1")
    publish_job(broker.port, told(), "tune-1")
    words = ["job", "gym-1", "tune-1", "--follow", "--json", *address(broker)]
    with running(*words) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "`controller cancel gym-1 tune-1`" in errors
    assert "Traceback" not in errors
    publish_job(broker.port, DONE, "tune-1")
    later = controller("job", "gym-1", "tune-1", "--follow", *address(broker))
    assert (later.returncode, "holds the wish and finds most" in later.stdout) == (0, True), later.stderr


def test_what_a_row_says() -> None:
    """Whatever a trial lacks is a dash; one that was not tried at the camera's pace is told as such."""
    unknown = Trial(recipe=recipe(long_side=None, hint=None), status="measured")
    assert cells(unknown, chosen=False)[5:] == ["-"] * 8 + ["not tried"]
    assert cells(TRIALS[0], chosen=False)[-1] == "holds"
    assert cells(TRIALS[1], chosen=True)[-1] == "winner"
    assert shown(tuning(frontier=(99, 0))) == [1, 0], "an index from elsewhere shows nothing"


def schema() -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Tuning.model_json_schema(mode="serialization")


def test_the_published_schema_is_that_of_the_document() -> None:
    """docs/tuning.schema.json is what the type says; `python -m tests.controller.test_tune` writes it anew."""
    assert json.loads((ROOT / "docs/tuning.schema.json").read_text(encoding="utf-8")) == schema()


if __name__ == "__main__":
    (ROOT / "docs/tuning.schema.json").write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
