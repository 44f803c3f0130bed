"""``agent doctor`` on real files, real sockets, a real broker and real OpenVINO."""

import io
import json
import re
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import SecretStr
from rich.console import Console

from agent.config.tree import Camera, Config, Devices, Inference, Model, Mqtt, Paths
from agent.doctor import broker as broker_checks
from agent.doctor import checks as doctor
from agent.doctor.finding import Check, Level
from agent.doctor.unit import Unit, service
from agent.errors import EngineError, ModelError
from agent.output.messages import ID_TAKEN
from agent.wire.limits import Limits
from agent.wire.messages import CameraState, Requested, State, Status
from agent.wire.topics import Topics
from tests.broker import Broker, Listener, publish
from tests.strict import StrictBroker

GOOD = Check("good", Level.OK, "fine")


def test_a_check_that_raises_is_a_failed_check_and_the_others_stand() -> None:
    """One check's error is its own finding, with the cure it names or the request to report it."""

    def known() -> Check:
        raise ModelError("the network is damaged", hint="models fetch it")

    def defect() -> Check:
        raise ZeroDivisionError("rtsp://user:geheim@camera.lan")

    found = doctor.examine({"known": known, "good": lambda: GOOD, "defect": defect})
    assert found[0] == Check("known", Level.FAIL, "the network is damaged", "models fetch it")
    assert found[1] == GOOD
    assert (found[2].level, found[2].finding) == (Level.FAIL, "ZeroDivisionError: rtsp://***@camera.lan")


def test_a_check_that_hangs_fails_and_holds_up_nothing() -> None:
    """A check that does not answer in time is a failed check, and the others keep their answers and order."""
    end = threading.Event()

    def hangs() -> Check:
        end.wait()
        return GOOD

    found = doctor.examine({"hangs": hangs, "good": lambda: GOOD}, limit_s=0.2)
    end.set()
    assert [(check.name, check.level) for check in found] == [("hangs", Level.FAIL), ("good", Level.OK)]
    assert found[0].finding == "no answer within 0.2 s"


def test_exit_code_is_one_for_a_failure_alone() -> None:
    """Warnings do not fail a box, failures do."""
    warn, fail = Check("a", Level.WARN, "hm"), Check("b", Level.FAIL, "no")
    assert [doctor.exit_code(checks) for checks in ([], [GOOD, warn], [GOOD, fail, warn])] == [0, 0, 1]


def test_findings_are_shown_whole_to_people_and_to_programs() -> None:
    """The table holds every finding and cure, square brackets included; the JSON is a list of objects."""
    check = Check("camera", Level.FAIL, "no frame from [front]", "check [the cable]")
    console = Console(width=200, file=io.StringIO())
    with console.capture() as capture:
        console.print(doctor.as_table([check]))
    assert all(text in capture.get() for text in ("fail", "no frame from [front]", "check [the cable]"))
    assert json.loads(doctor.as_json([check])) == [
        {"name": "camera", "level": "fail", "finding": "no frame from [front]", "cure": "check [the cable]"}
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_word_is_broken(width: int) -> None:
    """On a narrow terminal too; the cure stands below what it cures, and there is no empty column beside it."""
    finding, cure = "localhost:1883: nothing listens there", "start the broker, or check host and port"
    checks = [Check("device id", Level.FAIL, finding, cure), Check("model", Level.OK, "movenet-multipose is undamaged")]
    console = Console(width=width, file=io.StringIO())
    with console.capture() as capture:
        console.print(doctor.as_table(checks))
    assert set(f"{finding} cure: {cure} movenet-multipose is undamaged".split()) <= set(capture.get().split())
    assert all(len(line.rstrip()) <= width for line in capture.get().splitlines())


def test_every_check_answers_on_this_machine(tmp_path: Path) -> None:
    """A whole examination ends with one answer of each check, whatever the machine has."""
    config = Config(
        camera=Camera(source=str(tmp_path / "none.mp4")),
        paths=Paths(models=tmp_path, cache=tmp_path),
        mqtt=closed_port(),
    )
    found = doctor.run(config)
    assert [check.name for check in found] == [
        "camera", "gpu", "npu", "devices", "broker", "device id", "model", "disk", "state", "service", "clock",
        "processor",
    ]  # fmt: skip
    by_name = {check.name: check for check in found}
    assert {name for name, check in by_name.items() if check.level is Level.FAIL} >= {"camera", "broker", "model"}
    assert all(check.cure for check in found if check.name in {"broker", "model"})


def closed_port() -> Mqtt:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return Mqtt(host="127.0.0.1", port=server.getsockname()[1])


def test_camera_tells_size_and_rate_of_a_folder(tmp_path: Path) -> None:
    """A source that works is described by what came out of it."""
    for n in range(20):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.full((48, 64, 3), 12 * n, np.uint8))
    check = doctor.camera(Camera(source=str(tmp_path), folder_fps=10), Paths())
    assert check.level is Level.OK
    assert f"{tmp_path}: 64x48, " in check.finding


def test_camera_that_is_not_there_is_a_failure_without_its_password() -> None:
    """A camera nobody answers for fails with a cure, and its account is not shown."""
    source = f"http://user:geheim@127.0.0.1:{closed_port().port}/video"
    check = doctor.camera(Camera(source=source, open_timeout_s=1), Paths())
    assert check.level is Level.FAIL
    assert check.cure
    assert "geheim" not in check.finding


def test_devices_are_openvinos_own_with_aliases() -> None:
    """The devices are those OpenVINO lists, an alias among them; one that is not there is an error."""
    check = doctor.devices(Inference(device="SIMCPU"), Devices(aliases={"SIMCPU": "CPU"}))
    assert check.level is Level.OK
    assert "CPU (" in check.finding
    assert "SIMCPU (" in check.finding
    with pytest.raises(EngineError, match="NOPE"):
        doctor.devices(Inference(device="AUTO:NOPE,CPU"), Devices())


def test_broker_that_lets_us_in(tmp_path: Path) -> None:
    """A running broker that accepts the agent is found well."""
    with Broker(tmp_path) as broker:
        check = broker_checks.broker(Mqtt(host=broker.host, port=broker.port), "box")
    assert check == Check("broker", Level.OK, f"127.0.0.1:{broker.port} accepts this agent")


def test_broker_is_met_as_the_agent_meets_it(tmp_path: Path) -> None:
    """What a broker lacks is told though it can be lived with; a topic that may not be written is a failure."""
    for lines, words in (
        (("retain_available false",), "nothing retained"),
        (("max_qos 0",), "QoS 0 alone"),
        (("max_packet_size 20000",), "packets up to 20000 bytes"),
    ):
        with Broker(tmp_path, ("allow_anonymous true", *lines)) as broker:
            check = broker_checks.broker(Mqtt(host=broker.host, port=broker.port), "box")
        assert (check.level, bool(check.cure)) == (Level.WARN, True), check
        assert words in check.finding
    access = tmp_path / "access"
    access.write_text("topic write edgepose/box/+\ntopic write edgepose/box/job/+\ntopic deny edgepose/box/event\n")
    access.chmod(0o644)
    with Broker(tmp_path, ("allow_anonymous true", f"acl_file {access}")) as broker:
        check = broker_checks.broker(Mqtt(host=broker.host, port=broker.port), "box")
    assert check.level is Level.FAIL
    assert "edgepose/box/event" in check.finding


def test_nothing_is_left_at_the_broker(tmp_path: Path) -> None:
    """What doctor said is empty or cleared again, and an agent that runs keeps its state."""
    with Broker(tmp_path) as broker:
        publish(broker.port, "edgepose/box/state", b"running", retain=True)
        assert broker_checks.broker(Mqtt(host=broker.host, port=broker.port), "box").level is Level.OK
        with Listener(broker.port) as listener:
            publish(broker.port, "end", b"x")
            listener.wait_for("end", b"x")
        assert {(seen.topic, bytes(seen.payload)) for seen in listener.messages} == {
            ("edgepose/box/state", b"running"),
            ("end", b"x"),
        }


def test_a_strict_broker_is_met_without_an_offence() -> None:
    """Doctor itself keeps to what the broker announces."""
    with StrictBroker(Limits(packet_bytes=1000, in_flight=1)) as broker:
        check = broker_checks.broker(Mqtt(host=broker.host, port=broker.port), "box")
        assert broker.offences == []
    assert check.level is Level.WARN
    assert "1 in flight" in check.finding


def test_broker_that_refuses_the_account(tmp_path: Path) -> None:
    """A port that answers is not enough: an account the broker refuses is a failure with a cure."""
    with Broker(tmp_path, ("allow_anonymous false",)) as broker:
        check = broker_checks.broker(
            Mqtt(host=broker.host, port=broker.port, username="me", password=SecretStr("geheim")), "box"
        )
    assert check.level is Level.FAIL
    assert check.cure
    assert "geheim" not in check.finding


def test_broker_that_is_not_there() -> None:
    """Nothing at the port, or no such host, each fail in their own words."""
    nobody = broker_checks.broker(closed_port(), "box")
    nowhere = broker_checks.broker(Mqtt(host="no-such-host.invalid"), "box")
    assert nobody.level is nowhere.level is Level.FAIL
    assert nobody.cure
    assert "no-such-host.invalid" in nowhere.finding


@pytest.mark.parametrize(
    ("last_error", "level", "finding"),
    [(f"{ID_TAKEN}: so it seems", Level.FAIL, ID_TAKEN), (None, Level.OK, "box is one agent's")],
)
def test_an_id_that_two_agents_have(tmp_path: Path, last_error: str | None, level: Level, finding: str) -> None:
    """What the agent that runs tells of another one is found in its state, with the cure."""
    topics = Topics("box")
    now = datetime.now(UTC)
    state = State(
        device_id="box",
        sent_at=now,
        version=0,
        status=Status.RUNNING,
        requested=Requested(model="m", device="CPU", precision="FP32"),
        effective=None,
        camera=CameraState(status="live", source="clip:vtest"),
        last_error=last_error,
        since=now,
    )
    with Broker(tmp_path) as broker:
        mqtt = Mqtt(host=broker.host, port=broker.port)
        assert "no agent has told its state" in broker_checks.device_id(mqtt, topics).finding
        publish(broker.port, topics.state, state.encode(), retain=True)
        check = broker_checks.device_id(mqtt, topics)
    assert check.level is level
    assert finding in check.finding
    assert ("device_id of its own" in check.cure) is (level is Level.FAIL)


def test_network_that_is_not_installed(tmp_path: Path) -> None:
    """A network that was never fetched is told with the command that fetches it."""
    with pytest.raises(ModelError) as caught:
        doctor.model(Model(), Inference(), Paths(models=tmp_path, cache=tmp_path))
    assert "models fetch movenet-multipose" in caught.value.hint


def test_disk_looks_at_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    """Folders that are yet to be made are judged by where they will be."""
    check = doctor.disk(Paths(models=tmp_path / "a/b", cache=tmp_path / "c", state=tmp_path / "d"))
    assert str(tmp_path) in check.finding or check.level is not Level.OK


@pytest.mark.parametrize(
    ("year", "synchronised", "level"),
    [(1970, True, Level.FAIL), (2030, None, Level.OK), (2030, False, Level.WARN), (2030, True, Level.OK)],
)
def test_clock_is_judged(year: int, synchronised: bool | None, level: Level) -> None:
    """A clock that was never set fails, one that nobody keeps warns, and not knowing is said and no fault."""
    check = doctor.clock(datetime(year, 1, 1, tzinfo=UTC), synchronised)
    assert check.level is level
    assert bool(check.cure) is (level is not Level.OK)
    assert ("unknown" in check.finding) is (synchronised is None)


def test_the_page_lists_the_checks_in_their_order(tmp_path: Path) -> None:
    """The documented form of --json: each check of the page, in its order, with four texts."""
    page = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    table = page[page.index("| check |") : page.index("## What the agent itself says")]
    paths = Paths(models=tmp_path, cache=tmp_path, state=tmp_path)
    found = doctor.run(Config(camera=Camera(source=str(tmp_path / "none.mp4")), paths=paths, mqtt=closed_port()))
    told = json.loads(doctor.as_json(found))
    assert [each["name"] for each in told] == re.findall(r"^\| `([a-z ]+)` \|", table, re.MULTILINE)
    for each in told:
        assert each.keys() == {"name", "level", "finding", "cure"}
        assert all(isinstance(value, str) for value in each.values())


def test_state_that_cannot_be_kept_is_a_warning(tmp_path: Path) -> None:
    """A state folder that can be written is left as it was, yet to be made or not; one that cannot is told."""
    assert doctor.state(Paths(state=tmp_path / "yet" / "to come")).level is Level.OK
    assert list(tmp_path.iterdir()) == []
    found = doctor.state(Paths(state=Path("/proc/1/no-folder")))
    assert (found.level, bool(found.cure)) == (Level.WARN, True)


@pytest.mark.parametrize(
    ("told", "level", "words"),
    [
        ("LoadState=not-found\nActiveState=inactive\nNRestarts=0\n", Level.OK, "not installed"),
        ("LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=1\n", Level.OK, "active (running)"),
        ("LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=7\n", Level.WARN, "7 restarts"),
        ("LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=watchdog\n", Level.WARN, "watchdog"),
        ("LoadState=loaded\nActiveState=inactive\nSubState=dead\n", Level.WARN, "inactive"),
        ("LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\n", Level.FAIL, "exit-code"),
    ],
)
def test_the_service_is_judged_by_what_systemd_says(told: str, level: Level, words: str) -> None:
    """A service that has failed fails, one that is down or keeps falling warns, and none at all is no fault."""
    found = service(Unit.parse("edgepose-agent@hall.service", told))
    assert found.level is level
    assert words in found.finding
    assert bool(found.cure) is (level is not Level.OK)


def test_a_box_without_systemd_is_none_the_worse() -> None:
    """Where nobody can be asked there is no service to judge."""
    assert service(None).level is Level.OK
