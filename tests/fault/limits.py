"""Brokers and boxes that give less than others: what a broker takes, what a plugin survives, what a quota leaves."""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from agent.wire.commands import ErrorCode
from agent.wire.limits import Limits
from agent.wire.messages import Event, Metrics
from tests.broker import Broker
from tests.fault.rig import TOPICS, Ear, driven, pause, small
from tests.fault.table import Row, Stage
from tests.inference import stand_in
from tests.link.many import through
from tests.link.proxy import Proxy
from tests.strict import StrictBroker

NAME: Final = "edgepose-demo"
ASKED: Final = 20
CUTS: Final = 3
QUOTA: Final = 0.25
SETTLED_S: Final = 10.0
MEASURED_S: Final = 30.0
GROUPS: Final = Path("/sys/fs/cgroup")


def snapshots(stage: Stage) -> float:
    """Connections of an agent that is asked for pictures which its broker does not take."""
    given = {"EDGEPOSE_OUTPUT__SNAPSHOTS": "true"}
    with StrictBroker(Limits(packet_bytes=20_000)) as broker, Ear(broker.port) as ear, driven(broker.port, **given):
        ear.pose(0, 120)
        replies = [ear.ask("snapshot") for _ in range(ASKED)]
        codes = {reply.error.code for reply in replies if reply.error}
        assert codes == {ErrorCode.TOO_LARGE}, codes
        ear.event("broker.dropped", 0)
        ear.pose(time.perf_counter())
        stage.say(f"{ASKED} pictures asked for, dropped for {broker.offences}")
        return float(broker.connects.count(NAME))


def one_at_a_time(stage: Stage) -> float:
    """Connections of an agent to a broker that takes one message of QoS 1 at a time."""
    _folder, given = small(stage)
    limits = Limits(in_flight=1)
    with StrictBroker(limits) as broker, Ear(broker.port) as ear, driven(broker.port, **given):
        ear.announced(0, timeout_s=120)
        for _ in range(ASKED):
            ear.ask("describe")
        stage.say(f"at most {broker.most} under way")
        return float(broker.connects.count(NAME))


def refusals(stage: Stage) -> float:
    """The longest time from the start of an agent to poses at brokers without retained messages, or QoS 1, or both."""
    worst = 0.0
    for limits in (Limits(retains=False), Limits(qos=0), Limits(retains=False, qos=0)):
        _folder, given = small(stage)
        began_s = time.perf_counter()
        with StrictBroker(limits) as broker, Ear(broker.port) as ear, driven(broker.port, **given):
            ear.pose(0, 120)
            took_s = time.perf_counter() - began_s
            assert broker.connects.count(NAME) == 1
            stage.say(f"{', '.join(limits.words())}: {took_s:.1f} s, refused {len(broker.offences)} times")
            worst = max(worst, took_s)
    return worst


def cut(stage: Stage) -> float:
    """Events that blame another agent where the network is cut again and again."""
    folder, given = small(stage)
    with (
        Broker(folder) as broker,
        Proxy(broker.port) as proxy,
        Ear(broker.port) as ear,
        driven(proxy.port, **given),
    ):
        ear.announced(0, timeout_s=120)
        for _ in range(CUTS):
            cut_s = time.perf_counter()
            proxy.cut()
            ear.announced(cut_s)
        codes = [Event.decode(seen.payload).code for seen in ear.heard if seen.topic == TOPICS.event]
        return float(codes.count("broker.taken_over"))


def dying_plugin(stage: Stage) -> float:
    """Times an agent's process ended beside a plugin that raises SIGILL while devices are listed."""
    folder, given = small(stage)
    libraries = stand_in.build(folder, stand_in.DYING % "SIGILL")
    with Broker(folder) as broker, Ear(broker.port) as ear:
        began_s = time.perf_counter()
        with driven(broker.port, LD_LIBRARY_PATH=libraries, **given) as process:
            told = process.wait_log("device.left_out", timeout_s=120)
            ear.pose(0, 120)
            stage.say(f"{told['plugin']} {told['cause']}; poses after {time.perf_counter() - began_s:.1f} s")
            return float(process.popen.poll() is not None)


@contextmanager
def rationed(cores: float) -> Iterator[Path]:
    """A control group with a quota, of either version; answers with the file that takes processes."""
    v1 = (GROUPS / "cpu").is_dir()
    folder = Path(tempfile.mkdtemp(prefix="edgepose-", dir=GROUPS / "cpu" if v1 else GROUPS))
    try:
        if v1:
            (folder / "cpu.cfs_quota_us").write_text(f"{cores * 100_000:.0f}", encoding="ascii")
        else:
            (folder / "cpu.max").write_text(f"{cores * 100_000:.0f} 100000", encoding="ascii")
        yield folder / "cgroup.procs"
    finally:
        subprocess.run(["rmdir", folder], check=False)


def quarter(stage: Stage) -> float:
    """Frames a second within a quarter of a core, over those of one thread that was asked for, at the same time.

    One after the other, whatever else this machine does would be counted in one of the two.
    """
    with ExitStack() as stack:
        ears = [stack.enter_context(rationed_agent(stage, threads)) for threads in ("0", "1")]
        for ear in ears:
            ear.pose(0, 180)
        pause(SETTLED_S)
        since_s = time.perf_counter()
        pause(MEASURED_S)
        found, asked = (median_fps(ear, since_s) for ear in ears)
    stage.say(f"{found:.1f} FPS as it finds the box, {asked:.1f} with one thread; {os.cpu_count()} cores")
    return found / asked


@contextmanager
def rationed_agent(stage: Stage, threads: str) -> Iterator[Ear]:
    """An agent within the quota, on a broker of its own."""
    folder = stage.room()
    given = {"EDGEPOSE_INFERENCE__THREADS": threads}
    given |= {f"EDGEPOSE_PATHS__{name.upper()}": str(folder / name) for name in ("state", "cache")}
    with (
        rationed(QUOTA) as group,
        Broker(folder) as broker,
        Ear(broker.port) as ear,
        driven(broker.port, **given) as process,
    ):
        group.write_text(str(process.popen.pid), encoding="ascii")
        yield ear


def median_fps(ear: Ear, since_s: float) -> float:
    """Of the windows since a moment."""
    windows = [Metrics.decode(seen.payload) for seen in ear.since(since_s) if seen.topic == TOPICS.metrics]
    return statistics.median(each.fps_mean for each in windows if each.fps_mean is not None)


LIMITS: Final = "tests/link/test_limits.py"
ROWS = (
    Row(
        "broker.packet",
        f"{ASKED} pictures asked of an agent whose broker takes 20,000 bytes are told as too large; its connections",
        1.0,
        "connects",
        snapshots,
        (f"{LIMITS}::test_whoever_asked_is_told_by_a_short_reply",),
    ),
    Row(
        "broker.one",
        "A broker that takes one message at a time, and drops whoever sends two, has no reason to; connections",
        1.0,
        "connects",
        one_at_a_time,
        (f"{LIMITS}::test_each_limit_is_kept_to",),
    ),
    Row(
        "broker.refusals",
        "A broker without retained messages or without QoS 1 is connected to: poses there after the agent's start",
        60.0,
        "s",
        refusals,
        (f"{LIMITS}::test_mosquitto_without_retain_or_qos_1",),
    ),
    Row(
        "broker.cut",
        f"A network that is cut {CUTS} times in a row is no other agent: events that blame one",
        0.0,
        "events",
        cut,
        ("tests/link/test_link.py::test_a_connection_that_is_cut_again_and_again_is_no_other_client",),
    ),
    Row(
        "broker.commands",
        "10,000 commands through mosquitto, and 10,000 through a broker of strict limits; replies lost or out of order",
        0.0,
        "replies",
        lambda stage: through(stage.room(), 10_000, stage.say),
        ("tests/link/test_many.py::test_many_commands_through_each_broker",),
    ),
    Row(
        "box.plugin",
        "A plugin of OpenVINO's that raises SIGILL while devices are listed is left out: ends of the agent",
        0.0,
        "ends",
        dying_plugin,
        ("tests/inference/test_plugins.py::test_a_plugin_that_dies_is_named_and_left_out",),
    ),
    Row(
        "box.quota",
        "A quarter of a core by control group: frames a second, over those of one thread that was asked for",
        0.9,
        "",
        quarter,
        ("tests/observe/test_capacity.py::test_a_real_quota_is_kept_to",),
        at_least=True,
    ),
)
