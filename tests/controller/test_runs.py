"""Figures of one run of an agent do not stand beside the state of another, and are gone once it is."""

import signal
import threading
import time
from datetime import timedelta

from agent.wire.messages import Metrics
from agent.wire.topics import Topics
from controller.client.connection import Received
from controller.client.fleet import Fleet
from tests.broker import Broker, Listener
from tests.samples import metrics, state
from tests.system.process import agent

GYM = Topics("gym-1")


def seen(*messages: tuple[str, bytes]) -> Fleet:
    fleet = Fleet("edgepose", lambda complaint: None)
    for topic, payload in messages:
        fleet.take(Received(topic, payload, retained=True))
    return fleet


def test_metrics_of_the_run_before_are_not_shown() -> None:
    """A box that came back, paused or with its camera dark, has no figures until it has some of its own."""
    now = state(instance="second", device_id="gym-1")
    old = metrics(instance="first", device_id="gym-1", sent_at=now.sent_at - timedelta(seconds=30))
    new = metrics(instance="second", device_id="gym-1", sent_at=now.sent_at + timedelta(seconds=5))
    for order in ([now, old], [old, now]):
        fleet = seen(*((GYM.metrics if isinstance(each, Metrics) else GYM.state, each.encode()) for each in order))
        assert fleet.agents["gym-1"].metrics is None
        assert fleet.agents["gym-1"].state is not None
    fleet = seen((GYM.state, now.encode()), (GYM.metrics, new.encode()))
    assert fleet.agents["gym-1"].metrics == new


def test_the_broker_forgets_the_figures_of_a_dead_box(broker: Broker) -> None:
    """Retained metrics expire: nobody is there for ever after the box has died."""
    topics = Topics("demo")
    with Listener(broker.port) as listener, agent(broker.port, EDGEPOSE_METRICS__WINDOW_S="0.5") as process:
        told = listener.wait(lambda message: message.topic == topics.metrics, timeout_s=60)
        assert 1 <= getattr(told.properties, "MessageExpiryInterval", 0) <= 10
        process.signal(signal.SIGKILL)
        process.end()
        listener.wait_for(topics.availability, b"offline")
    deadline, pause = time.monotonic() + 30, threading.Event()
    while time.monotonic() < deadline:
        pause.wait(0.2)
        with Listener(broker.port) as listener:
            listener.wait_for(topics.availability, b"offline")
            listener.wait(lambda message: message.topic == topics.state)
            if not listener.payloads(topics.metrics):
                return
    raise AssertionError("the broker still has them")
