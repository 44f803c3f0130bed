"""The link against a real broker that comes, goes and comes back."""

import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tenacity.wait import wait_base, wait_none

from agent.config.tree import Mqtt
from agent.errors import LinkError
from agent.link import Dropped, Link, link
from agent.policies import RECONNECT_TAKEN_OVER
from agent.wire.broker import BrokerError
from agent.wire.messages import CameraState, Requested, State, Status
from tests.broker import Broker, Listener, free_port, publish
from tests.link.conftest import TOPICS, Logs, States, link_to
from tests.link.proxy import Proxy

PUBLISHER = """
import sys, threading
from agent.config.tree import Mqtt
from agent.link import Link
from agent.wire.topics import Topics
with Link(Mqtt(host="127.0.0.1", port=int(sys.argv[1])), Topics("edge-1")) as link:
    link.announce(Topics("edge-1").state, b"running")
    threading.Event().wait()
"""


def test_every_topic_has_its_retain_flag_and_qos(broker: Broker) -> None:
    """Availability and what is announced are retained, events and keypoints are not; keypoints alone go with QoS 0."""
    connected = States()
    with Listener(broker.port) as listener, link_to(broker.port, connected) as link:
        link.announce(TOPICS.state, b"s")
        link.event(b"e")
        connected.wait(True)
        link.keypoints(b"k")
        seen = {
            topic: (message.retain, message.qos)
            for topic, payload in [
                (TOPICS.availability, b"online"),
                (TOPICS.state, b"s"),
                (TOPICS.event, b"e"),
                (TOPICS.keypoints, b"k"),
            ]
            for message in [listener.wait_for(topic, payload)]
        }
    assert seen == {
        TOPICS.availability: (True, 1),
        TOPICS.state: (True, 1),
        TOPICS.event: (False, 1),
        TOPICS.keypoints: (False, 0),
    }


def test_leaving_says_offline_once(broker: Broker) -> None:
    """A closed link leaves a retained `offline`, published by itself and not a second time by its last will."""
    with Listener(broker.port) as listener:
        for state in (b"first", b"second"):
            with link_to(broker.port) as link:
                link.announce(TOPICS.state, state)
                listener.wait_for(TOPICS.state, state)
        publish(broker.port, "end", b"")
        listener.wait_for("end", b"")
        assert listener.payloads(TOPICS.availability) == [b"online", b"offline"] * 2
    with Listener(broker.port) as late:
        assert late.wait_for(TOPICS.availability, b"offline").retain


def test_a_killed_agent_is_offline(broker: Broker) -> None:
    """SIGKILL of the process leaves a retained `offline`, by the last will."""
    with Listener(broker.port) as listener:
        process = subprocess.Popen([sys.executable, "-c", PUBLISHER, str(broker.port)], stdout=subprocess.DEVNULL)
        try:
            listener.wait_for(TOPICS.state, b"running")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert listener.wait_for(TOPICS.availability, b"offline").retain


def test_the_broker_may_come_later(tmp_path: Path, states: States, logs: Logs) -> None:
    """Without a broker the link starts all the same, says so once with the cure, and announces when one comes."""
    with Broker(tmp_path, start=False) as broker, link_to(broker.port, states) as link:
        link.announce(TOPICS.state, b"starting")
        link.announce(TOPICS.state, b"running")
        link.event(b"e")
        lost = logs.wait("broker.lost")
        assert not link.stats().connected
        broker.start()
        states.wait(True)
        with Listener(broker.port) as listener:
            listener.wait_for(TOPICS.availability, b"online")
            assert listener.wait_for(TOPICS.state, b"running")
    assert (lost["cause"], lost["cure"]) == ("nothing listens there", "start the broker, or check host and port")
    assert len(logs.of("broker.lost")) == 1


def test_a_killed_broker_hears_everything_again(broker: Broker, states: States) -> None:
    """After SIGKILL of the broker the newest of every retained topic arrives; old states and old keypoints do not."""
    with link_to(broker.port, states) as link:
        link.announce(TOPICS.info, b"born")
        link.announce(TOPICS.state, b"old")
        states.wait(True)
        broker.kill()
        states.wait(True, False)
        link.announce(TOPICS.state, b"new")
        link.keypoints(b"past")
        broker.start()
        # No wait for the link here: it must not matter whether it or the listener is back first.
        with Listener(broker.port) as listener:
            listener.wait_for(TOPICS.availability, b"online")
            listener.wait_for(TOPICS.info, b"born")
            listener.wait_for(TOPICS.state, b"new")
            states.wait(True, False, True)
            link.keypoints(b"present")
            listener.wait_for(TOPICS.keypoints, b"present")
            assert listener.payloads(TOPICS.state) == [b"new"]
            assert listener.payloads(TOPICS.keypoints) == [b"present"]
        assert link.stats().reconnects == 1


def test_events_of_the_gap_arrive_in_order(broker: Broker) -> None:
    """Events raised without a connection arrive when it comes: all, in order, also beyond what may be in flight."""
    wanted = [b"%d" % number for number in range(200)]
    door = free_port()
    with Listener(broker.port, TOPICS.event) as listener, link_to(door) as link:
        for payload in wanted:
            link.event(payload)
        with Proxy(broker.port, port=door):
            listener.wait_for(TOPICS.event, wanted[-1])
            assert listener.payloads(TOPICS.event) == wanted


def test_a_callback_that_raises_does_not_deafen(broker: Broker, logs: Logs) -> None:
    """A fault in the link's thread is logged with its traceback, and the link connects again and goes on."""
    faults = iter([RuntimeError("a defect")])

    def on_state(connected: bool) -> None:
        if connected and (fault := next(faults, None)):
            raise fault

    with Listener(broker.port) as listener, link_to(broker.port, on_state) as link:
        crash = logs.wait("link.crashed")
        link.announce(TOPICS.state, b"alive")
        listener.wait_for(TOPICS.state, b"alive")
        assert link.stats().reconnects == 1
    assert crash["exc_info"]


def test_the_brokers_reason_is_told(logs: Logs) -> None:
    """When the broker says why it throws us out, the log says it too, with the cure."""
    with socket.create_server(("127.0.0.1", 0)) as broker, link_to(broker.getsockname()[1]):
        taken, _address = broker.accept()
        with taken:
            taken.recv(4096)
            taken.sendall(b"\x20\x03\x00\x00\x00" + b"\xe0\x01\x8e")  # CONNACK, then DISCONNECT: session taken over
            lost = logs.wait("broker.lost")
    assert lost["cause"] == "another client came with our client id"
    assert "device_id" in lost["cure"]


def test_packets_of_many_threads_do_not_mix(broker: Broker, states: States) -> None:
    """Keypoints, events and announcements from several threads at once all arrive whole."""
    count = 400
    # The proxy's small buffers make partial writes common.
    with Listener(broker.port) as listener, Proxy(broker.port) as proxy, link_to(proxy.port, states) as link:
        states.wait(True)

        def send(letter: bytes) -> None:
            for _ in range(count):
                link.keypoints(letter * 4000)
                link.announce(TOPICS.metrics, letter * 2000)

        threads = [threading.Thread(target=send, args=(letter,)) for letter in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        link.announce(TOPICS.state, b"done")
        listener.wait_for(TOPICS.state, b"done")
        assert link.stats().reconnects == 0
        for topic, size in [(TOPICS.keypoints, 4000), (TOPICS.metrics, 2000)]:
            assert set(listener.payloads(topic)) <= {letter * size for letter in (b"a", b"b", b"c")}


def test_a_cause_is_told_once(logs: Logs) -> None:
    """However often it is tried in vain, one cause is one line of the log."""
    with socket.create_server(("127.0.0.1", 0)) as impostor, link_to(impostor.getsockname()[1]):
        for _ in range(4):
            impostor.accept()[0].close()
    assert len(logs.of("broker.lost")) == 1


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x02\x00\x01", b"\x20\x03\x00\x86\x00", b"\x20\x00", b"\xff" * 64, b""],
)
def test_any_answer_to_connect_is_survived(tmp_path: Path, logs: Logs, answer: bytes) -> None:
    """Whatever answers instead of an MQTT 5 broker, the link names a cause and connects once a real one is there."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as impostor, link_to(port):
        impostor.settimeout(20)
        taken, _address = impostor.accept()
        with taken:
            taken.recv(4096)
            taken.sendall(answer)
        impostor.close()
        assert logs.wait("broker.lost")["cause"]
        with Broker(tmp_path, port=port):
            logs.wait("broker.connected")
    assert not logs.of("link.crashed")


def test_unusable_files_are_named_at_once(tmp_path: Path) -> None:
    """A CA file that is none is an error of the configuration, not a broker that never comes."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("not a certificate")
    with pytest.raises(LinkError, match="TLS files cannot be used") as caught:
        link_to(1, tls={"enabled": True, "ca_file": ca_file})
    assert caught.value.hint


class Pauses:
    """Waits as told for another client with our id, else not at all, and notes which it was."""

    def __init__(self) -> None:
        self.seen: list[wait_base] = []

    def __call__(self, policy: wait_base) -> float:
        self.seen.append(policy)
        return 0.05 if policy is not RECONNECT_TAKEN_OVER else 60.0


def a_state(instance: str | None) -> bytes:
    """The state of an agent of this instance; None is one of an older version."""
    now = datetime.now(UTC)
    return State(
        device_id=TOPICS.device_id,
        sent_at=now,
        version=0,
        status=Status.RUNNING,
        requested=Requested(model="m", device="CPU", precision="FP32"),
        effective=None,
        camera=CameraState(status="live", source="clip:vtest"),
        since=now,
        instance=instance,
    ).encode()


def test_another_client_with_our_id_is_told_and_given_time(
    broker: Broker, states: States, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two links with one id notice it, though mosquitto 2.0.11 gives no reason; it is told once, and they wait."""
    monkeypatch.setattr(link, "pause_s", pauses := Pauses())
    told: list[BrokerError | Dropped] = []
    mqtt = Mqtt(host=broker.host, port=broker.port)
    twins = [Link(mqtt, TOPICS, on_trouble=told.append, instance=instance) for instance in ("one", "two")]
    for twin, instance in zip(twins, ("one", "two"), strict=True):
        twin.announce(TOPICS.state, a_state(instance))
    with twins[0]:
        logs.wait("broker.connected")
        with twins[1]:
            logs.wait("broker.lost", lambda entry: entry["cause"] in link.TAKEN_OVER_CAUSES)
    assert {str(error) for error in told[:1]} <= link.TAKEN_OVER_CAUSES
    assert told
    assert RECONNECT_TAKEN_OVER in pauses.seen


@pytest.mark.parametrize("instance", ["mine", None])
def test_a_connection_that_is_cut_again_and_again_is_no_other_client(
    broker: Broker, states: States, logs: Logs, monkeypatch: pytest.MonkeyPatch, instance: str | None
) -> None:
    """Without a state of another agent at the broker nobody is blamed, and the connection comes back as ever."""
    monkeypatch.setattr(link, "pause_s", pauses := Pauses())
    told: list[BrokerError | Dropped] = []
    with Proxy(broker.port) as proxy:
        mqtt = Mqtt(host="127.0.0.1", port=proxy.port)
        mine = Link(mqtt, TOPICS, on_state=states, on_trouble=told.append, instance="mine")
        mine.announce(TOPICS.state, a_state(instance))
        expected = [True]
        with Listener(broker.port, TOPICS.state) as listener, mine:
            for cut in range(1, 4):
                states.wait(*expected)
                listener.wait_count(cut)
                proxy.cut()
                expected += [False, True]
            states.wait(*expected)
    assert not told
    assert logs.wait("broker.lost", lambda entry: "again and again" in entry["cause"])
    assert RECONNECT_TAKEN_OVER not in pauses.seen


def lost_again(logs: Logs, told: int) -> None:
    """Wait until a loss is judged and told once more."""
    logs.wait("broker.lost", lambda _entry: len(logs.of("broker.lost")) > told)


@pytest.mark.parametrize("behind_a_proxy", [False, True])
def test_a_broker_that_dies_is_no_other_client(
    broker: Broker, states: States, logs: Logs, monkeypatch: pytest.MonkeyPatch, *, behind_a_proxy: bool
) -> None:
    """However often the broker dies young, nobody is suspected; nor where a proxy takes in whoever comes meanwhile."""
    monkeypatch.setattr(link, "RECONNECT_BROKER", wait_none())
    monkeypatch.setattr(link, "pause_s", pauses := Pauses())
    expected = [True]
    with Proxy(broker.port) as proxy, link_to(proxy.port if behind_a_proxy else broker.port, states):
        for _ in range(3):
            states.wait(*expected)
            told = len(logs.of("broker.lost"))
            broker.kill()
            lost_again(logs, told)
            broker.start()
            expected += [False, True]
        states.wait(*expected)
    assert RECONNECT_TAKEN_OVER not in pauses.seen
