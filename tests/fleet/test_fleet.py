"""Simulated agents on a real broker, few of them; `make bench-fleet` and `make test-rollout` have many."""

import json
import signal
import subprocess
from pathlib import Path

from tests.broker import Broker
from tests.controller.shapes import RolloutEnd
from tests.controller.studies import Told, measured, recipe, study
from tests.fleet.bench import QUEUED, boxes
from tests.fleet.rollouts import CONTROLLER, ROOT, Kinds, carry_out, disturbed, ends, fleet, precisions, requests
from tests.fleet.watch import Watch

WORDS = ["gym-*", "set-precision", "INT8", "--canary", "1", "--batch", "4", "--soak", "4", "--timeout", "60"]
WORDS += ["--min-fps-ratio", "0.3"]


def test_a_fleet_is_what_agents_are_on_the_wire(tmp_path: Path) -> None:
    """All come online, all answer a command to their group, and all say everything again to a broker that lost it."""
    with (
        Broker(tmp_path, ("allow_anonymous true", QUEUED)) as broker,
        Watch(broker.port) as watch,
        boxes(broker.port, 0, 10, tmp_path),
    ):
        watch.all_there(10, 120)
        assert watch.ask_all("pause", 10, 60)["refused"] == 0
        watch.forget()
        broker.kill()
        broker.start()
        watch.all_there(10, 120)
        assert watch.ask_all("set-precision", 10, 60, {"precision": "INT8"})["refused"] == 0


def test_a_roll_out_judges_each_box_and_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """Who fails keeps what it had, who gets slow is taken back, who vanishes is told as unknown; the others have it."""
    kinds = Kinds(8, fail=(2,), slow=(4,), vanish=(6,))
    with fleet(tmp_path, kinds) as port:
        killed, told = disturbed(port, [*WORDS, "--max-failures", "3"], tmp_path / "rollout.json", [3, 4])
        found, asked = ends(told), precisions(port, 8)
    assert (killed, told[-1]["phase"]) == (2, "done")
    RolloutEnd.model_validate_json(json.dumps(told[-1]))
    assert {device: verdict for device, (verdict, *_rest) in found.items()} == {
        device: kinds.verdict(device) for device in asked
    }
    assert found["gym-0004"] == ("slow", "done", "old")
    assert found["gym-0006"] == ("vanished", "", "unknown")
    wanted = {"new": "INT8", "old": "FP32"}
    assert {device: asked[device] for device in asked if device != "gym-0006"} == {
        device: wanted[runs] for device, (_verdict, _undo, runs) in found.items() if device != "gym-0006"
    }


def test_a_winner_goes_to_all_of_a_kind_as_a_whole(tmp_path: Path) -> None:
    """Of a sweep's file: who bears it has all of it, who does not is back to all it had; also over a kill."""
    file = tmp_path / "sweep.json"
    plain, fast = recipe("CPU", "FP32"), recipe("CPU", "INT8", long_side=320)
    found = study((measured(plain, Told(20.0, 30.0)), measured(fast, Told(60.0, 20.0))))
    file.write_text(found.model_dump_json(by_alias=True))
    words: list[str | Path] = ["--kind-of", "gym-0000", "--from", file, "--canary", "1", "--max-failures", "2"]
    words += ["--soak", "4", "--timeout", "60", "--min-fps-ratio", "0.3"]
    with fleet(tmp_path, Kinds(4, fail=(2,), slow=(3,))) as port:
        before = requests(port, 4)
        _killed, told = disturbed(port, words, tmp_path / "rollout.json", [3])
        ended, after = ends(told), requests(port, 4)
    changed = {"precision": "INT8", "hint": "throughput", "long_side": 320}
    wanted = {device: each.model_copy(update=changed) for device, each in before.items()}
    assert ended == {
        "gym-0000": ("good", "", "new"),
        "gym-0001": ("good", "", "new"),
        "gym-0002": ("failed", "", "old"),
        "gym-0003": ("slow", "done", "old"),
    }
    assert after == {device: (wanted if runs == "new" else before)[device] for device, (*_, runs) in ended.items()}


def test_too_many_failures_stop_it_and_take_all_back(tmp_path: Path) -> None:
    """Beyond the bound every box is as before, and who was not reached was never asked."""
    with fleet(tmp_path, Kinds(8, fail=(1, 2))) as port:
        code, told = carry_out(port, [*WORDS, "--max-failures", "1", "--state", tmp_path / "rollout.json"])
        found, asked = ends(told), precisions(port, 8)
    assert (code, told[-1]["phase"]) == (1, "stopped")
    assert set(asked.values()) == {"FP32"}
    assert [found[device][0] for device in sorted(found)] == [
        "good",
        "failed",
        "failed",
        "good",
        "good",
        *["waiting"] * 3,
    ]
    assert {runs for _verdict, _undo, runs in found.values()} == {"old"}


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    """It ends with 130, names the file, and the file is one that can be gone on with."""
    file = tmp_path / "rollout.json"
    with fleet(tmp_path, Kinds(2)) as port:
        words: list[str | Path] = [CONTROLLER, "--broker", f"127.0.0.1:{port}", "rollout", "gym-*", "--json"]
        words += ["set-precision", "INT8", "--soak", "3600", "--state", file]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                if json.loads(line)["event"] == "soak":
                    break
            process.send_signal(signal.SIGINT)
            errors = process.stderr.read()
            assert process.wait(60) == 130
        assert str(file) in errors
        assert json.loads(file.read_text())["boxes"]["gym-0000"]["verdict"] == "soaking"
