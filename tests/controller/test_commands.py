"""The commands as a person or a script runs them, against a real broker."""

import json
import re
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.wire.messages import Info, Metrics, State
from agent.wire.topics import Topics
from controller.terminal.tables import ago
from tests import samples
from tests.authority import make_authority, tls_lines
from tests.broker import Broker, free_port, publish, publish_all
from tests.controller.conftest import controller, put_agent

LISTED = {
    "device_id": "edge-1",
    "availability": "online",
    "status": "running",
    "model": "movenet-multipose",
    "device": "CPU",
    "precision": "FP32",
    "fps": 29.7,
    "latency_ms_p50": 12.4,
    "persons": 2.5,
    "last_seen": "2026-01-31T06:30:00.125Z",
    "agent_version": "0.1.0",
}


def test_list_shows_every_agent(fleet: str) -> None:
    """The list names every agent by id; what an offline one did last is not told as if it did it now."""
    done = controller("list", "--json", "--broker", fleet)
    assert (done.returncode, done.stderr) == (0, "")
    unknown = dict.fromkeys(("status", "model", "device", "precision", "fps", "latency_ms_p50", "persons"))
    assert json.loads(done.stdout)["devices"] == [
        LISTED,
        LISTED | unknown | {"device_id": "edge-2", "availability": "offline"},
    ]


def test_list_as_a_table(fleet: str) -> None:
    """Without --json the list is a table, whole lines even into a pipe."""
    done = controller("list", "--broker", fleet)
    header, first, second = (re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines())
    assert header[:3] == ["device id", "availability", "status"]
    assert first[:6] == ["edge-1", "online", "running", "movenet-multipose", "CPU", "FP32"]
    assert first[6:] == ["29.7", "12.4", "2.5", "now", "0.1.0"]
    assert second[:3] == ["edge-2", "offline", "-"]
    assert second[-2].endswith(" d ago")


def test_an_offline_box_is_told_with_when_it_was_last_seen(fleet: str) -> None:
    """Its status begins with the time of the newest that is known of it; one that is online has no such line."""
    gone, there = controller("status", "edge-2", "--broker", fleet), controller("status", "edge-1", "--broker", fleet)
    (line,) = [line for line in gone.stdout.splitlines() if line.startswith("last seen")]
    assert f"{samples.NOW.astimezone():%Y-%m-%d %H:%M:%S}" in line
    assert "last seen" not in there.stdout


PAST = [(-5, "0 s ago"), (119, "119 s ago"), (170, "2 min ago"), (7200, "2 h ago"), (1e6, "11 d ago")]


@pytest.mark.parametrize(("past_s", "told"), PAST)
def test_how_long_ago(past_s: float, told: str) -> None:
    """In the largest unit of which there are two; what a clock that is ahead says was just now."""
    now = datetime.now(UTC)
    assert ago(now - timedelta(seconds=past_s), now) == told


def test_list_of_an_empty_broker(broker: Broker) -> None:
    """A broker without agents is not an error: an empty list, or a sentence."""
    address = f"127.0.0.1:{broker.port}"
    assert json.loads(controller("list", "--json", "--broker", address).stdout)["devices"] == []
    done = controller("list", "--broker", address)
    assert done.returncode == 0
    assert "No agent" in done.stderr


def test_many_agents_are_all_listed(broker: Broker) -> None:
    """The list waits for all that is retained, also when it is much."""
    ids = [f"edge-{number:02}" for number in range(60)]
    messages = {Topics(device_id).info: samples.info(device_id).encode() for device_id in ids}
    publish_all(broker.port, messages | {Topics(device_id).availability: b"online" for device_id in ids}, retain=True)
    rows = json.loads(controller("list", "--json", "--broker", f"127.0.0.1:{broker.port}").stdout)["devices"]
    assert [row["device_id"] for row in rows] == ids
    assert all(row["agent_version"] for row in rows)


def test_status_and_describe(fleet: str) -> None:
    """They give the retained messages as they stood on the wire, below the device's id and availability."""
    status = json.loads(controller("status", "edge-1", "--json", "--broker", fleet).stdout)
    assert (status["device_id"], status["availability"]) == ("edge-1", "online")
    assert State.decode(json.dumps(status["state"]).encode()) == samples.state()
    assert Metrics.decode(json.dumps(status["metrics"]).encode()) == samples.metrics()
    described = json.loads(controller("describe", "edge-1", "--json", "--broker", fleet).stdout)
    assert Info.decode(json.dumps(described["info"]).encode()) == samples.info()


def test_status_and_describe_as_tables(fleet: str) -> None:
    """With --all, and of what the box is without --json, they print one fact per line."""
    shown = controller("status", "edge-1", "--all", "--broker", fleet).stdout
    assert re.search(r"^effective.inference_precision +bf16 *$", shown, re.MULTILINE)
    assert re.search(r"^fps_mean +29\.7 *$", shown, re.MULTILINE)
    shown = controller("describe", "edge-1", "--broker", fleet).stdout
    assert re.search(r"^devices.0.capabilities +FP32, INT8 *$", shown, re.MULTILINE)


def test_a_state_without_metrics_is_a_status(broker: Broker) -> None:
    """An agent that has just started has no metrics yet; its status is told all the same."""
    publish(broker.port, Topics("new").availability, b"online", retain=True)
    publish(broker.port, Topics("new").state, samples.state("new").encode(), retain=True)
    done = controller("status", "new", "--json", "--broker", f"127.0.0.1:{broker.port}")
    assert (done.returncode, json.loads(done.stdout)["metrics"]) == (0, None)


def test_an_unknown_device(fleet: str) -> None:
    """A device nobody has heard of: exit 3, with the nearest id and all those seen."""
    for command in ("status", "describe", "watch"):
        done = controller(command, "edge-11", "--broker", fleet)
        assert (done.returncode, done.stdout) == (3, "")
        assert "did you mean edge-1?" in done.stderr
        assert "seen: edge-1, edge-2" in done.stderr


def test_a_silent_device(broker: Broker) -> None:
    """A device that is there but never says what is asked for: exit 3 after the time-out."""
    publish(broker.port, Topics("mute").availability, b"online", retain=True)
    done = controller("status", "mute", "--timeout", "0.5", "--broker", f"127.0.0.1:{broker.port}")
    assert done.returncode == 3
    assert "mute is online and has not published its state" in done.stderr


def test_no_broker() -> None:
    """A broker that is not there: exit 5, its address, the cause and the cure."""
    port = free_port()
    done = controller("list", "--broker", f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (5, "")
    assert f"127.0.0.1:{port}" in done.stderr
    assert "nothing listens there" in done.stderr
    assert "Hint: start the broker" in done.stderr


def test_a_black_hole() -> None:
    """Somebody who takes the connection and never answers: exit 5 after the time-out."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        done = controller("list", "--timeout", "0.5", "--broker", f"127.0.0.1:{hole.getsockname()[1]}")
    assert done.returncode == 5
    assert "no MQTT answer within 0.5 s" in done.stderr


def test_a_refusal(tmp_path: Path) -> None:
    """A broker that wants a password: exit 5, and no traceback."""
    with Broker(tmp_path, ["allow_anonymous false"]) as broker:
        done = controller("list", EDGEPOSE_BROKER=f"mqtt://me:secret@127.0.0.1:{broker.port}")
    assert done.returncode == 5
    assert "not authorised" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    """A CA file turns TLS on, our certificate opens a broker that wants one, and without them the cause is told."""
    make_authority(tmp_path)
    with Broker(tmp_path, [*tls_lines(tmp_path), "require_certificate true"]) as broker:
        files = {"--cafile": "ca.pem", "--cert": "agent.pem", "--key": "agent.key"}
        options = [word for option, name in files.items() for word in (option, str(tmp_path / name))]
        done = controller("list", "--json", "--broker", f"127.0.0.1:{broker.port}", *options)
        assert (done.returncode, json.loads(done.stdout)["devices"]) == (0, [])
        untrusted = controller("list", "--broker", f"mqtts://127.0.0.1:{broker.port}")
        uncertified = controller("list", "--broker", f"127.0.0.1:{broker.port}", *options[:2])
    assert (untrusted.returncode, uncertified.returncode) == (5, 5)
    assert "certificate is not trusted" in untrusted.stderr
    assert "client certificate" in uncertified.stderr


def test_a_password_file(tmp_path: Path) -> None:
    """The password of --password-file or of the variable is the one that is sent."""
    passwords, ours = tmp_path / "passwords", tmp_path / "ours"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "me", "correct horse"], check=True)
    ours.write_text("correct horse\n")
    with Broker(tmp_path, ["allow_anonymous false", f"password_file {passwords}"]) as broker:
        me = ["--json", "--username", "me", "--broker", f"127.0.0.1:{broker.port}"]
        assert controller("list", *me, "--password-file", str(ours)).returncode == 0
        assert controller("list", *me, EDGEPOSE_BROKER_PASSWORD="correct horse").returncode == 0
        assert controller("list", *me, EDGEPOSE_BROKER_PASSWORD="wrong horse").returncode == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["status"],
        ["status", "No Such Id"],
        ["list", "--timeout", "-1"],
        ["list", "--prefix", "#"],
        ["list", "--cafile", "/does/not/exist"],
        ["watch", "edge-1", "--count", "0"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    """What cannot be meant: exit 2, said before the broker is asked."""
    done = controller(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error" in done.stderr


@pytest.mark.parametrize("broker", ["http://localhost", "localhost:many", "localhost:99999", "mqtt://u:hush@h/path"])
def test_an_address_that_is_none(broker: str) -> None:
    """An address that cannot be read is wrong usage, says what was expected and repeats no password."""
    done = controller("list", "--broker", broker)
    assert done.returncode == 2
    assert "--broker" in done.stderr
    assert "hush" not in done.stderr


def test_options_before_and_after(fleet: str) -> None:
    """An option may stand before the command or after it; after wins over before, and before over the environment."""
    before = controller("--broker", fleet, "--json", "list", EDGEPOSE_BROKER="127.0.0.1:1")
    after = controller("--broker", "127.0.0.1:1", "list", "--json", "--broker", fleet)
    environment = controller("list", "--json", EDGEPOSE_BROKER=f"mqtt://{fleet}")
    assert before.stdout == after.stdout == environment.stdout
    assert len(json.loads(after.stdout)["devices"]) == 2


def test_another_prefix_is_another_fleet(broker: Broker) -> None:
    """Agents of another prefix are neither listed nor found."""
    put_agent(broker.port, "edge-1")
    put_agent(broker.port, "plant-1", prefix="plant/hall-2")
    address = f"127.0.0.1:{broker.port}"
    ours = json.loads(controller("list", "--json", "--broker", address).stdout)["devices"]
    theirs = json.loads(controller("list", "--json", "--broker", address, "--prefix", "plant/hall-2").stdout)["devices"]
    assert [row["device_id"] for row in ours] == ["edge-1"]
    assert [row["device_id"] for row in theirs] == ["plant-1"]
    assert controller("status", "plant-1", "--broker", address).returncode == 3


def test_garbage_is_named_and_skipped(fleet: str, broker: Broker) -> None:
    """Payloads that make no sense are named on standard error; the others are listed and the JSON stays valid."""
    garbage = {
        "edgepose/g-1/state": (b"\xff\xfe", "not JSON"),
        "edgepose/g-2/state": ("Ünïcødé".encode(), "not JSON"),
        "edgepose/g-3/state": (samples.info("g-3").encode(), "edgepose.state/1"),
        "edgepose/g-4/metrics": (b'{"schema": "edgepose.metrics/1"}', "device_id: missing"),
        "edgepose/g-5/info": (samples.info("edge-1").encode(), "names another device, 'edge-1'"),
        "edgepose/g-6/availability": (b"perhaps", "expected 'online' or 'offline'"),
        "edgepose/Gerät 7/state": (b"{}", "not the topic of a device"),
    }
    publish_all(broker.port, {topic: payload for topic, (payload, _) in garbage.items()}, retain=True)
    done = controller("list", "--json", "--broker", fleet)
    assert done.returncode == 0
    assert [row["device_id"] for row in json.loads(done.stdout)["devices"]] == ["edge-1", "edge-2"]
    warnings = done.stderr.splitlines()
    assert len(warnings) == len(garbage)
    for topic, (_, reason) in garbage.items():
        (warning,) = (line for line in warnings if line.startswith(f"Warning: {topic}: not understood"))
        assert reason in warning


def test_a_newer_agent_is_understood(broker: Broker) -> None:
    """Keys of a newer minor version do not disturb."""
    newer = json.loads(samples.state("edge-9").encode()) | {"mood": "good"}
    publish(broker.port, Topics("edge-9").availability, b"online", retain=True)
    publish(broker.port, Topics("edge-9").state, json.dumps(newer).encode(), retain=True)
    done = controller("list", "--json", "--broker", f"127.0.0.1:{broker.port}")
    assert json.loads(done.stdout)["devices"][0]["status"] == "running"
    assert done.stderr == ""


def test_a_cleared_topic_is_silence(fleet: str, broker: Broker) -> None:
    """An agent whose retained topics were cleared is gone from the list."""
    leaves = ("availability", "info", "state", "metrics")
    publish_all(broker.port, {f"edgepose/edge-2/{leaf}": b"" for leaf in leaves}, retain=True)
    done = controller("list", "--json", "--broker", fleet)
    assert [row["device_id"] for row in json.loads(done.stdout)["devices"]] == ["edge-1"]
    assert done.stderr == ""


def test_text_of_others_cannot_steer_the_terminal(broker: Broker) -> None:
    """Escape sequences and markup in what an agent says are shown, not obeyed."""
    evil = samples.state("edge-1", last_error="\x1b]0;owned\x07[red]boo[/red]\n")
    publish(broker.port, Topics("edge-1").availability, b"online", retain=True)
    publish(broker.port, Topics("edge-1").state, evil.encode(), retain=True)
    shown = controller("status", "edge-1", "--broker", f"127.0.0.1:{broker.port}").stdout
    assert "�]0;owned�[red]boo[/red]�" in shown
    assert "\x1b" not in shown


def test_help_names_commands_codes_and_variables() -> None:
    """--help says in one page what there is, what the exit codes mean and which variables are read."""
    shown = controller("--help").stdout
    for wanted in ("list", "status", "watch", "describe", "EDGEPOSE_BROKER_PASSWORD", "broker unreachable"):
        assert wanted in shown
    assert "..." not in "".join(re.findall(r"^  (?:list|status|watch|describe) .*$", shown, re.MULTILINE))


def test_completion_knows_the_devices(fleet: str, broker: Broker) -> None:
    """DEVICE completes to the ids on the broker, and to nothing, silently, without one."""
    request = {"_CONTROLLER_COMPLETE": "bash_complete", "COMP_CWORD": "2"}
    done = controller(EDGEPOSE_BROKER=fleet, COMP_WORDS="controller status edge", **request)
    assert done.stdout.split() == ["plain,edge-1", "plain,edge-2"]
    broker.stop()
    done = controller(EDGEPOSE_BROKER=fleet, COMP_WORDS="controller status edge", **request)
    assert (done.stdout.strip(), done.stderr) == ("", "")
