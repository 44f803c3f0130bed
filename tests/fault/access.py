"""Who gets in at the broker: a wrong password, an expired certificate, a hundred at once, and two with one id."""

import math
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from agent.config.tree import Mqtt
from agent.doctor import broker as broker_checks
from agent.doctor.finding import Level
from agent.link import Link
from agent.output.messages import ID_TAKEN
from agent.wire.messages import Event
from agent.wire.topics import Topics
from tests.authority import certify, context, make_authority, tls_lines
from tests.broker import Broker
from tests.fault.rig import TOPICS, Ear, driven, pause
from tests.fault.table import Row, Stage

TOGETHER_S: Final = 60.0
EAR: Final = ("ear", "hears everything")
"""Our own account."""


def crowd(stage: Stage) -> float:
    """Seconds over which nine tenths of so many agents return to a restarted broker: without the first and the last."""
    lock, back = threading.Lock(), []
    restarted = threading.Event()

    def on_state(connected: bool) -> None:
        if connected and restarted.is_set():
            with lock:
                back.append(time.perf_counter())

    with ExitStack() as stack:
        broker = stack.enter_context(Broker(stage.room(), ("allow_anonymous true", "max_connections -1")))
        mqtt = Mqtt(host=broker.host, port=broker.port)
        links = [
            stack.enter_context(Link(mqtt, Topics(f"box-{number}"), on_state=on_state))
            for number in range(stage.scale.agents)
        ]
        until(lambda: all(link.stats().connected for link in links), 60)
        restarted.set()
        broker.kill()
        broker.start()
        up_s = time.perf_counter()
        until(lambda: len(back) >= len(links), 60)
        since = sorted(moment - up_s for moment in back)
        busiest = max(sum(0 <= other - moment < 1 for other in since) for moment in since)
        stage.say(
            f"{len(links)} back after {since[0]:.1f} to {since[-1]:.1f} s, half of them after "
            f"{statistics.median(since):.1f} s, at most {busiest} in one second"
        )
    outside = len(since) // 20
    return since[-1 - outside] - since[outside]


def until(true: Callable[[], bool], timeout_s: float) -> None:
    """Wait until something is so."""
    for _ in range(math.ceil(timeout_s / 0.05)):
        if true():
            return
        pause(0.05)
    raise AssertionError(f"not so after {timeout_s:g} s")


def twins(stage: Stage) -> float:
    """Connections in a minute of two agents with one id, together; each tells of the other."""
    folder = stage.room()
    lines = ("allow_anonymous true", "log_type all", "connection_messages true")
    with (
        Broker(folder, lines) as broker,
        Ear(broker.port) as ear,
        driven(broker.port),
        driven(broker.port),
    ):
        ear.event("broker.taken_over", 0, 60)
        started = connects(folder, broker)
        pause(TOGETHER_S)
        made = connects(folder, broker) - started
        error = next((state.last_error for state in reversed(ear.states()) if state.last_error), None)
        assert error is not None, "no state tells of it"
        assert error.startswith(ID_TAKEN), error
        found = broker_checks.device_id(Mqtt(host=broker.host, port=broker.port), TOPICS)
        assert found.level is Level.FAIL, found
        told = [Event.decode(seen.payload).code for seen in ear.heard if seen.topic == TOPICS.event]
        events = told.count("broker.taken_over")
        stage.say(f"{made} connections, {started} before they knew; {events} events")
    return float(made)


def connects(folder: Path, broker: Broker) -> int:
    """Connections of agents so far, by the broker's own log."""
    log = (folder / f"mosquitto-{broker.port}.log").read_text(encoding="utf-8")
    return len(re.findall(r"New client connected from \S+ as edgepose-demo ", log))


def wrong_password(stage: Stage) -> float:
    """Seconds from the right password in the file to all being told at the broker."""
    folder = stage.room()
    passwords, file = folder / "passwords", folder / "password"
    passwords.touch(0o600)
    for account in (["demo", "right"], EAR):
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), *account], check=True, capture_output=True)
    file.write_text("wrong")
    lines = ("allow_anonymous false", f"password_file {passwords}")
    given = {"EDGEPOSE_MQTT__USERNAME": "demo", "EDGEPOSE_MQTT__PASSWORD_FILE": str(file)}
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder, lines))
        ear = Ear(broker.port)
        ear.client.username_pw_set(*EAR)
        stack.enter_context(ear)
        process = stack.enter_context(driven(broker.port, **given))
        lost = process.wait_log("broker.lost")
        assert lost["cure"], f"no cure in {lost}"
        process.wait_log("engine.ready")
        righted_s = time.perf_counter()
        file.write_text("right")
        back_s = ear.announced(righted_s)
    assert not any("wrong" in line or "right" in line for line in process.errors), "a password stands in the log"
    return back_s


def expired_certificate(stage: Stage) -> float:
    """Seconds from a broker whose certificate was renewed to all being told there again."""
    folder = stage.room()
    make_authority(folder)
    certify(folder, "broker", days=-1)
    tls = {"EDGEPOSE_MQTT__TLS__ENABLED": "true", "EDGEPOSE_MQTT__TLS__CA_FILE": str(folder / "ca.pem")}
    with Broker(folder, tls_lines(folder)) as broker, driven(broker.port, **tls) as process:
        lost = process.wait_log("broker.lost")
        assert "expired" in lost["cause"], f"the log does not name it: {lost}"
        process.wait_log("engine.ready")
        certify(folder, "broker")
        broker.kill()
        broker.start()
        renewed_s = time.perf_counter()
        ear = Ear(broker.port)
        ear.client.tls_set_context(context(folder, None))
        with ear:
            return ear.announced(renewed_s)


ACCESS = "tests/link/test_link_access.py"
LINK = "tests/link/test_link.py"
ROWS = (
    Row(
        "broker.password",
        "A wrong password is told with its cure, and the right one is used without a restart",
        9.0,
        "s",
        wrong_password,
        (f"{ACCESS}::test_a_wrong_password_is_named_and_can_be_put_right",),
    ),
    Row(
        "broker.certificate",
        "An expired certificate of the broker is named as such, and a renewed one needs no restart of the agent",
        9.0,
        "s",
        expired_certificate,
        (f"{ACCESS}::test_an_expired_certificate_is_named",),
    ),
    Row(
        "broker.crowd",
        "A hundred agents return to a broker that was restarted, nine tenths of them spread over",
        5.0,
        "s",
        crowd,
        ("tests/fault/test_broker.py::test_a_crowd_is_spread_by_the_policy",),
        at_least=True,
    ),
    Row(
        "broker.twins",
        "Two agents with one id connect so often in a minute, together; event, state and `agent doctor` tell of it",
        6.0,
        "connects",
        twins,
        (
            f"{LINK}::test_another_client_with_our_id_is_told_and_given_time",
            "tests/doctor/test_doctor.py::test_an_id_that_two_agents_have",
        ),
    ),
)
