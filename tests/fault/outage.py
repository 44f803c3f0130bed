"""A broker that dies: again and again, and amid what somebody has asked for."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import psutil

from agent.wire.commands import ReplyStatus
from tests.broker import Broker
from tests.commander import CLIENT
from tests.fault.network import half_open
from tests.fault.rig import TOPICS, Ear, Heard, driven, longest_gap_ms, pause, running
from tests.fault.table import Row, Stage
from tests.system.process import Entry

LISTEN_S: Final = 1.0
"""After a return: what was queued would come first, and not alone."""


@dataclass(frozen=True, slots=True)
class Outages:
    """What so many deaths of the broker showed; the worst."""

    back_s: float
    rss_mb: float
    """Growth to the largest, amid an outage or after it."""
    stall_ms: float
    """Longest time between two results."""
    queued_ms: float
    """Age of the oldest keypoints that came after a return, when they came."""


def killed(stage: Stage) -> Outages:
    """Kill the broker again and again, for short times and long ones."""
    folder = stage.room()
    probe = folder / "probe"
    back, ages, sizes = [], [], []
    with Broker(folder) as broker, driven(broker.port, FAULT_PROBE=str(probe)) as process:
        with Ear(broker.port) as ear:
            ear.announced(0, timeout_s=120)
        memory = psutil.Process(process.popen.pid).memory_info
        began_s = time.perf_counter()
        # Its first minutes cost memory in any case; what an outage costs is asked of the minutes after.
        pause(stage.scale.warm_up_s)
        warm_mb = memory().rss / 2**20
        stage.say(f"after {stage.scale.warm_up_s:g} s: {warm_mb:.1f} MB")
        for outage_s in np.geomspace(1, stage.scale.outage_max_s, stage.scale.outages):
            broker.kill()
            pause(outage_s)
            sizes.append(memory().rss / 2**20)
            broker.start()
            started_s = time.perf_counter()
            with Ear(broker.port) as ear:
                back.append(ear.announced(started_s))
                pause(LISTEN_S)
                ages.append(max(ear.ages_ms()))
            sizes.append(memory().rss / 2**20)
            stage.say(
                f"away for {outage_s:.0f} s: back after {back[-1]:.1f} s, {sizes[-1]:.1f} MB, "
                f"keypoints at most {ages[-1]:.0f} ms old"
            )
    stall_ms = longest_gap_ms(probe, began_s)
    stage.say(f"at most {stall_ms:.0f} ms between two frames")
    return Outages(max(back), max(sizes) - warm_mb, stall_ms, max(ages))


def replies_lost(stage: Stage) -> float:
    """Replies and events of switches amid which the broker is killed that do not come when it is back."""
    lost, devices = 0, ("SIMCPU", "CPU") * 3
    with running(stage.room()) as (broker, _ear, process):
        for version, device in enumerate(devices, 1):
            with Ear(broker.port) as asking:
                command = asking.send("set-device", device=device)
                process.wait_log("command.received", partial(names, command))
                broker.kill()
                process.wait_log("switch.done", partial(names, command), 120)
                early = [seen.payload for seen in asking.heard if seen.topic == TOPICS.reply(CLIENT)]
                assert not early, f"the broker was killed too late: {early}"
            broker.start()
            # Another ear, there at once: what it is not told, nobody is.
            with Ear(broker.port) as ear:
                ear.event("switch.done", 0)
                answered = ear.reply(command)
                ear.after(0, partial(says, TOPICS.state, f'"version":{version},'.encode()))
            lost += answered.status is not ReplyStatus.SUCCEEDED
            stage.say(f"{device}: {answered.status}, version {version}")
    return float(lost)


def names(command: str, entry: Entry) -> bool:
    """Whether an entry of the log is about a command."""
    return bool(entry["id"] == command)


def says(topic: str, text: bytes, seen: Heard) -> bool:
    """Whether a message on a topic holds a text."""
    return seen.topic == topic and text in seen.payload


LINK = "tests/link/test_link.py"
OUTBOX = "tests/link/test_outbox.py"
KILLED = (f"{LINK}::test_a_killed_broker_hears_everything_again",)
ROWS = (
    Row(
        "broker.killed",
        "After each of twenty kill -9 of the broker, away for 1 to 60 s, all that is retained is told again",
        9.0,
        "s",
        lambda stage: stage.once(killed).back_s,
        ("tests/system/test_outage.py::test_a_broker_that_comes_late_and_dies", *KILLED),
    ),
    Row(
        "broker.memory",
        "An agent that has run for three minutes grows over those twenty outages by no more than this",
        5.0,
        "MB",
        lambda stage: stage.once(killed).rss_mb,
        (f"{OUTBOX}::test_letters_are_bounded_and_the_oldest_gives_way",),
    ),
    Row(
        "broker.pipeline",
        "Frames are looked at all the while, 100 ms apart: the longest time between two of them",
        500.0,
        "ms",
        lambda stage: max(stage.once(killed).stall_ms, stage.once(half_open).stall_ms),
        ("tests/system/test_outage.py::test_a_broker_that_comes_late_and_dies",),
    ),
    Row(
        "broker.keypoints",
        "No keypoints wait for the broker: those of the first second after a return are this old when they arrive",
        500.0,
        "ms",
        lambda stage: stage.once(killed).queued_ms,
        (*KILLED, f"{OUTBOX}::test_one_keypoints_message_waits_and_dies_with_the_connection"),
    ),
    Row(
        "broker.replies",
        "Replies, events and state of what was done while the broker was away come when it is back; lost ones",
        0.0,
        "replies",
        replies_lost,
        ("tests/link/test_link_commands.py::test_replies_survive_the_broker",),
    ),
)
