"""`controller watch`, while an agent is publishing."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from agent.config.tree import Mqtt
from agent.link import Link
from agent.wire.messages import Keypoints, Message, State
from agent.wire.topics import Topics
from tests import samples
from tests.broker import Broker
from tests.controller.conftest import COMMAND, controller, environment
from tests.controller.responder import put_member


@contextmanager
def agent(broker: Broker) -> Iterator[Link]:
    """Publish as an agent does, many keypoints a second, until left."""
    topics = Topics("edge-1")
    left = threading.Event()
    with Link(Mqtt(host=broker.host, port=broker.port), topics) as link:
        link.announce(topics.state, samples.state().encode())
        link.announce(topics.metrics, samples.metrics().encode())

        def work() -> None:
            seq = 0
            while not left.wait(0.01):
                link.keypoints(samples.keypoints(seq=seq).encode())
                seq += 1

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield link
        finally:
            left.set()
            worker.join()


def test_each_line_is_a_message(broker: Broker) -> None:
    """--json prints one JSON object per line: first what is retained, then live messages; --count ends it."""
    with agent(broker) as link:
        link.event(samples.event().encode())
        done = controller("watch", "edge-1", "--json", "--count", "12", "--broker", f"127.0.0.1:{broker.port}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, len(lines)) == (0, 12)
    online = {"schema": "edgepose.availability/1", "device_id": "edge-1", "availability": "online"}
    assert lines[0] == online
    kinds: dict[str, type[Message]] = {"edgepose.state/1": State, "edgepose.keypoints/1": Keypoints}
    for line in lines[1:]:
        kinds.get(line["schema"], Message).decode(json.dumps(line).encode())
    assert [line["schema"] for line in lines[1:3]] == ["edgepose.state/1", "edgepose.metrics/1"]
    assert "edgepose.keypoints/1" in [line["schema"] for line in lines[3:]]


def test_it_ends_after_its_seconds(broker: Broker) -> None:
    """--seconds ends the watch with exit 0, and the table holds the newest of everything."""
    with agent(broker):
        done = controller("watch", "edge-1", "--seconds", "1", "--broker", f"127.0.0.1:{broker.port}")
    assert (done.returncode, done.stderr) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert facts["status"].strip() == "running"
    assert facts["persons"].strip() == "2"
    assert int(facts["frame"]) > 0


def test_ctrl_c_is_a_clean_end(broker: Broker) -> None:
    """Ctrl-C ends a watch with exit 0 and no traceback."""
    with (
        agent(broker),
        subprocess.Popen(
            [COMMAND, "watch", "edge-1", "--json", "--broker", f"127.0.0.1:{broker.port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_several_boxes_are_watched_at_once(broker: Broker) -> None:
    """A glob or a group: a line for each box; with --json everybody's messages, and nobody's else."""
    for device, groups in (("gym-1", ("halls",)), ("gym-2", ()), ("roof-1", ("halls",))):
        put_member(broker.port, device, groups=groups)
    place = ["--broker", f"127.0.0.1:{broker.port}"]
    told = controller("watch", "gym-*", "--json", "--count", "4", *place)
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert (told.returncode, {line["device_id"] for line in lines}) == (0, {"gym-1", "gym-2"})
    group = controller("watch", "--group", "halls", "--json", "--count", "4", *place)
    assert {json.loads(line)["device_id"] for line in group.stdout.splitlines()} == {"gym-1", "roof-1"}
    shown = controller("watch", "gym-*", "--count", "4", *place)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [line.split()[:3] for line in shown.stdout.splitlines()[1:]] == [
        ["gym-1", "online", "running"],
        ["gym-2", "online", "running"],
    ]
    nobody = controller("watch", "hall-*", *place)
    assert (nobody.returncode, "seen: gym-1, gym-2, roof-1" in nobody.stderr) == (3, True)
