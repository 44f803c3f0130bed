"""Zones of a running agent: set by a command, told retained, in the summary, and gone when taken away."""

from agent.wire.commands import ReplyStatus
from agent.wire.messages import Metrics, State, ZoneMessage
from tests.broker import Broker
from tests.commander import Commander
from tests.system.conftest import TOPICS
from tests.system.process import SEEING, agent

EVERYWHERE = {"polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]}


def test_zones_are_set_and_taken_away_live(broker: Broker) -> None:
    """A zone over the whole picture is counted in from the next frame on, expires, and is cleared; a mask hides all."""
    with Commander(broker.port, TOPICS) as commander, agent(broker.port, **SEEING, EDGEPOSE_METRICS__WINDOW_S="1"):
        commander.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=60)
        reply = commander.ask("set-zones", zones={"hall": EVERYWHERE})
        assert (reply.status, reply.result) == (ReplyStatus.SUCCEEDED, {"zones": ["hall"]})
        topic = TOPICS.zone("hall")
        occupied = commander.wait(
            lambda seen: seen.topic == topic and bool(ZoneMessage.decode(bytes(seen.payload)).persons), timeout_s=60
        )
        assert 0 < getattr(occupied.properties, "MessageExpiryInterval", 0) <= 4
        commander.wait(
            lambda seen: (
                seen.topic == TOPICS.metrics
                and (found := Metrics.decode(bytes(seen.payload)).zones.get("hall")) is not None
                and bool(found.persons_max)
            ),
            timeout_s=60,
        )
        assert State.decode(commander.payloads(TOPICS.state)[-1]).zones.keys() == {"hall"}
        refused = commander.ask("set-zones", zones={"hall": {"polygon": [[0, 0], [1, 1]]}})
        assert refused.status is ReplyStatus.REJECTED
        assert commander.ask("set-zones", zones={"hall": {**EVERYWHERE, "mask": True}}).status is ReplyStatus.SUCCEEDED
        commander.wait(lambda seen: seen.topic == topic and not seen.payload, timeout_s=60)
        commander.wait(
            lambda seen: seen.topic == TOPICS.metrics and Metrics.decode(bytes(seen.payload)).persons_max == 0,
            timeout_s=60,
        )
