"""Roll-outs as far as they need no broker: who goes first, the way back, and what stands in the file."""

import os
from pathlib import Path
from typing import Any

import pytest

from agent.wire.commands import ARGS
from agent.wire.topics import Topics
from controller.client.fleet import Agent
from controller.client.rollout import COMMANDS, Box, Rollout, batches_of, read, undoing
from controller.commands.files import write
from controller.commands.rollout import change_of
from controller.errors import UsageError
from tests import samples
from tests.broker import Broker, publish_all
from tests.controller.conftest import controller, put_agent
from tests.controller.responder import Responder, switched


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
    monkeypatch.setattr(os, "fsync", lambda descriptor: (forced.append(descriptor), sync(descriptor)))
    for each in (rollout(), rollout(phase="undoing")):
        write(path, each.model_dump_json().encode())
    assert len(forced) == 4, "a file and its folder each"
    assert read(path) == rollout(phase="undoing")
    assert [each.name for each in tmp_path.iterdir()] == ["rollout.json"]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(path) == rollout(phase="undoing"), "an editor has put a mark before it, and ends lines in its own way"
    for text, why in (("{}", "no roll-out: id: Field required"), ("x", "no roll-out: Invalid JSON")):
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
