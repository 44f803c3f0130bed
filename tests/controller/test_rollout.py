"""Roll-outs as far as they need no broker: who goes first, the way back, and what stands in the file."""

import json
import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from agent.wire.commands import ARGS, Reply
from agent.wire.messages import ModelInfo
from agent.wire.topics import Topics
from controller.client.fleet import Agent
from controller.client.rollout import APPLY, COMMANDS, Box, Rollout, batches_of, doing, read, ready_for, undoing
from controller.commands.files import write
from controller.commands.rollout import alike, change_of, winner_of
from controller.errors import ControllerError, UsageError
from tests import samples
from tests.broker import Broker, publish_all
from tests.controller.conftest import controller, put_agent
from tests.controller.responder import Asked, Responder, put_member, rejection, reply, switched
from tests.controller.studies import study
from tests.controller.test_tune import tuning


def agent(device_id: str, cpu: str = "N100", **requested: Any) -> Agent:
    info, state = samples.info(device_id), samples.state(device_id)
    return Agent(
        device_id,
        "online",
        info.model_copy(update={"host": info.host.model_copy(update={"cpu": cpu})}),
        state.model_copy(update={"requested": state.requested.model_copy(update=requested), "settings": {"a.b": None}}),
    )


def rollout(**changes: Any) -> Rollout:
    boxes = {name: Box(device_id=name) for name in ("a", "b", "c", "d")}
    first = Rollout(
        id="rollout-1",
        prefix="edgepose",
        command="set-precision",
        args={"precision": "INT8"},
        batches=[["a"], ["b", "c"], ["d"]],
        canaries=1,
        max_failures=1,
        min_fps_ratio=0.9,
        soak_s=1,
        answer_s=1,
        boxes=boxes,
    )
    return first.model_copy(update=changes)


def test_canaries_are_of_different_kinds() -> None:
    """One of each kind of box before a second of any, and everybody once."""
    agents = [agent(f"gym-{number}", "N100" if number < 6 else "i7") for number in range(8)]
    batches = batches_of(agents, 3, 4)
    assert batches == [["gym-0", "gym-6", "gym-1"], ["gym-2", "gym-3", "gym-4", "gym-5"], ["gym-7"]]
    assert batches_of(agents[:3], 0, 2) == [["gym-0", "gym-1"], ["gym-2"]]
    assert batches_of(agents[:2], 9, 2) == [["gym-0", "gym-1"]]


@pytest.mark.parametrize(
    ("words", "before", "back"),
    [
        (("set-precision", "INT8"), {"precision": "FP16"}, [("set-precision", {"precision": "FP16"})]),
        (("set-model", "other"), {}, [("set-model", {"model": "movenet-multipose"})]),
        (
            ("set-model", "other"),
            {"long_side": 512},
            [("set-model", {"model": "movenet-multipose"}), ("set-input", {"long_side": 512})],
        ),
        (
            ("set-device", "CPU"),
            {"device": "HETERO:GPU,CPU", "affinity": {"preset": "split"}},
            [("set-device", {"device": "HETERO:GPU,CPU"}), ("set-affinity", {"preset": "split"})],
        ),
        (("set-input", "512"), {}, [("set-input", {"long_side": None})]),
        (
            ("set-hint", "throughput"),
            {"hint": "latency", "streams": 2},
            [("set-hint", {"hint": "latency", "streams": 2, "requests": None})],
        ),
        (
            ("set-device", "GPU"),
            {"device": "GPU", "detector": "CPU"},
            [("set-device", {"device": "GPU", "detector": "CPU"})],
        ),
        (
            ("set-model", "movenet-multipose"),
            {"model": "rtmpose-s", "device": "GPU", "detector": "CPU", "long_side": 320},
            [
                ("set-model", {"model": "rtmpose-s"}),
                ("set-input", {"long_side": 320}),
                ("set-device", {"device": "GPU", "detector": "CPU"}),
            ],
        ),
        (
            ("set", "a.b=1", "c.d=2"),
            {},
            [("unset", {"keys": ["c.d"], "restart": False}), ("set", {"settings": {"a.b": 0}})],
        ),
    ],
)
def test_the_way_back(words: tuple[str, ...], before: dict[str, Any], back: list[Any]) -> None:
    """It leads to what was asked of the box before, by commands that boxes take."""
    name, args = change_of(words)
    found = undoing(agent("gym-1", **before), name, args)
    assert found == back
    for command, given in found:
        ARGS[command].model_validate(given)


@pytest.mark.parametrize("words", [(), ("pause",), ("set-precision",), ("set-precision", "FP8"), ("set", "x")])
def test_what_cannot_be_rolled_out_is_wrong_usage(words: tuple[str, ...]) -> None:
    """What cannot be taken back, and what no box would read."""
    with pytest.raises(UsageError):
        change_of(words)
    assert "pause" not in COMMANDS


def test_the_bound() -> None:
    """As many failures as may be go on, one more does not, and no canary may fail."""
    assert not rollout(boxes={"b": Box(device_id="b", verdict="slow")}).beyond_its_bound
    assert rollout(boxes={each: Box(device_id=each, verdict="vanished") for each in "bc"}).beyond_its_bound
    assert rollout(boxes={"a": Box(device_id="a", verdict="failed")}).beyond_its_bound
    assert not rollout(canaries=0, boxes={"a": Box(device_id="a", verdict="failed")}).beyond_its_bound


def test_the_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is read, forced onto the disk before it takes its place; what is no roll-out is told as such."""
    path = tmp_path / "rollout.json"
    forced: list[int] = []
    sync = os.fsync

    def force(descriptor: int) -> None:
        forced.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", force)
    for each in (rollout(), rollout(phase="undoing")):
        write(path, each.model_dump_json().encode())
    assert len(forced) == 4, "a file and its folder each"
    assert read(path) == rollout(phase="undoing")
    assert [each.name for each in tmp_path.iterdir()] == ["rollout.json"]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(path) == rollout(phase="undoing"), "an editor has put a mark before it, and ends lines in its own way"
    for text, why in (("{}", "no roll-out: id: missing"), ("x", "no roll-out: not JSON")):
        path.write_text(text)
        with pytest.raises(UsageError, match=why):
            read(path)


def test_figures_nobody_looks_at_are_not_waited_for(broker: Broker, tmp_path: Path) -> None:
    """With --min-fps-ratio 0 a box is judged by its answer and its state; its next summary may be an hour away."""
    put_agent(broker.port, "gym-1")
    hourly = samples.metrics("gym-1", window_s=3600.0)
    publish_all(broker.port, {Topics("gym-1").metrics: hourly.encode()}, retain=True)
    words = ("rollout", "gym-1", "set-precision", "INT8", "--soak", "0", "--min-fps-ratio", "0", "--yes")
    with Responder(broker.port, "gym-1", switched("gym-1")):
        done = controller(*words, "--state", str(tmp_path / "r.json"), "--broker", f"127.0.0.1:{broker.port}")
    assert (done.returncode, "done: good 1" in done.stdout) == (0, True), done.stdout + done.stderr


WINNER: dict[str, JsonValue] = {
    "model": "movenet-multipose",
    "precision": "INT8",
    "device": "CPU",
    "affinity": None,
    "hint": "throughput",
    "long_side": None,
}


@pytest.mark.parametrize(
    ("requested", "winner", "steps"),
    [
        ({"precision": "INT8", "device": "CPU", "hint": "throughput"}, {}, []),
        ({"device": "CPU", "hint": "throughput", "long_side": 320}, {}, ["set-precision"]),
        ({"precision": "INT8", "detector": "GPU"}, {"long_side": 320}, ["set-device", "set-input", "set-hint"]),
        ({"precision": "INT8", "detector": "GPU", "hint": "throughput"}, {"detector": "GPU"}, []),
        ({"precision": "INT8", "hint": "throughput"}, {"detector": "GPU"}, ["set-device"]),
        ({"model": "another"}, {}, ["set-model", "set-precision", "set-hint"]),
        # The network is not there at the precision that runs: that is changed first.
        ({"model": "another"}, {"model": "small"}, ["set-precision", "set-model", "set-hint"]),
        ({"precision": "INT8", "hint": "throughput"}, {"device": "HETERO:GPU,CPU", "affinity": "split"}, None),
    ],
)
def test_a_box_is_sent_what_it_lacks_of_a_winner(
    requested: dict[str, Any], winner: dict[str, JsonValue], steps: list[str] | None
) -> None:
    """In an order in which it can take them, and nothing it has; the way back is made of what boxes take, too."""
    box = agent("gym-1", **{"hint": "latency", "device": "CPU"} | requested)
    assert box.info is not None
    networks = (
        ModelInfo(name="movenet-multipose", precisions=("FP32", "INT8")),
        ModelInfo(name="small", precisions=("INT8",)),
    )
    box.info = box.info.model_copy(update={"models": networks})
    wanted = WINNER | winner
    found = doing(box, APPLY, wanted)
    assert [name for name, _args in found] == (["set-device", "set-affinity"] if steps is None else steps)
    assert dict(found).get("set-device", wanted).get("detector") == wanted.get("detector")
    assert ready_for(box, wanted)
    assert not ready_for(box, wanted | {"precision": "FP16"})
    back = [step for each in reversed(found) for step in undoing(box, *each)]
    for command, args in [*found, *back]:
        ARGS[command].model_validate(args)


def test_boxes_of_a_kind() -> None:
    """Processor, devices and network are the same; of a winner, which says the network, the first two."""
    boxes = [agent("gym-1"), agent("gym-2", "i7"), agent("gym-3"), agent("gym-4", model="another")]
    assert [each.device_id for each in alike(boxes, boxes[0], any_network=False)] == ["gym-1", "gym-3"]
    assert [each.device_id for each in alike(boxes, boxes[0], any_network=True)] == ["gym-1", "gym-3", "gym-4"]


def test_a_winner_is_read_from_what_measured_it(tmp_path: Path) -> None:
    """Of a tuning its winner, of a sweep the fastest; where there is none that is said."""
    found, none, sweep = (tmp_path / name for name in ("tune.json", "none.json", "sweep.json"))
    found.write_text(tuning().model_dump_json(by_alias=True))
    none.write_text(tuning(winner=None).model_dump_json(by_alias=True))
    measured = study()
    sweep.write_text(measured.model_dump_json(by_alias=True))
    assert measured.best_throughput is not None
    fastest = measured.rows[measured.best_throughput].recipe
    for path, recipe in ((found, tuning().trials[1].recipe), (sweep, fastest)):
        read_again = winner_of(path)
        assert [read_again[name] for name in ("model", "device", "precision", "hint")] == [
            recipe.model,
            recipe.device,
            recipe.precision,
            recipe.hint,
        ]
    with pytest.raises(ControllerError, match="names no winner"):
        winner_of(none)


def test_a_winner_goes_to_boxes_of_its_kind_or_is_taken_back_as_a_whole(broker: Broker, tmp_path: Path) -> None:
    """Each gets all of it; one that refuses the second half is led back over the first. Others are never asked."""
    file = tmp_path / "tune.json"
    wanted = {"model": "movenet-multipose", "device": "CPU", "precision": "INT8", "long_side": 320, "hint": "latency"}
    best = tuning().trials[1].recipe.model_copy(update=wanted)
    trials = (tuning().trials[0], tuning().trials[1].model_copy(update={"recipe": best}), *tuning().trials[2:])
    file.write_text(tuning(trials=trials).model_dump_json(by_alias=True))

    def answers(device_id: str, asked: Asked) -> list[Reply]:
        if device_id == "gym-2" and asked.body["args"] == {"long_side": 320}:
            return [rejection(device_id, asked)]
        return [reply(device_id, asked)]

    put_agent(broker.port, "gym-3")  # without INT8
    put_member(broker.port, "hall-1", processors=("NPU",))
    with ExitStack() as stack:
        boxes = {name: Responder(broker.port, name, partial(answers, name)) for name in ("gym-1", "gym-2")}
        for box in boxes.values():
            stack.enter_context(box)
        words = ["--kind-of", "gym-1", "--from", str(file), "--canary", "0", "--max-failures", "1", "--soak", "0"]
        words += ["--min-fps-ratio", "0", "--state", str(tmp_path / "state.json"), "--json"]
        done = controller("rollout", *words, "--broker", f"127.0.0.1:{broker.port}")
        asked = {name: [box.asked.get_nowait().name for _ in range(box.asked.qsize())] for name, box in boxes.items()}
    end = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert [(each["device_id"], each["verdict"], each["undo"], each["runs"]) for each in end["boxes"]] == [
        ("gym-1", "good", "", "new"),
        ("gym-2", "broken", "done", "old"),
    ]
    assert asked["gym-1"] == ["set-precision", "set-device", "set-input", "set-hint"]
    refused, back = ["set-precision", "set-device", "set-input"], ["set-device", "set-precision"]
    assert asked["gym-2"] == [*refused, *back], "what was refused has no way back"
