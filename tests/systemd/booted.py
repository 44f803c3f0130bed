"""What only a real systemd can show: that it confines the service, and what it makes of stops and of a reboot."""

import json
import re
import time
from typing import Final

import click

from agent.observe.logs import PRIORITIES
from agent.wire.topics import Topics
from tests.system.process import ROOT
from tests.systemd.container import Container
from tests.systemd.steps import DEVICE, SECRET, Trial, service

UNIT: Final = f"{service()}.service"
STATE, CACHE = "/var/lib/edgepose", "/var/cache/edgepose"
WRITABLE: Final = {STATE, CACHE, "/tmp", "/var/tmp"}
"""Its two folders, and scratch that it has for itself."""
FIND_WRITABLE: Final = r"""
find / \( -path /proc -o -path /sys -o -path /dev \) -prune -o \( -type d -o -type f \) -writable -prune -print
"""
RAISE_LIMITS: Final = 1 << 24
"""CAP_SYS_RESOURCE among a process's capabilities."""
REFUSED: Final = {
    "a setuid program": "EPERM",
    "chown": "EPERM",
    "another personality": "EPERM",
    "ptrace": "EPERM",
    "a packet socket": "EAFNOSUPPORT",
    "a namespace of its own": "EPERM",
}
NEEDED: Final = ("executable memory", "a lower priority", "an internet socket")
STOPPED_S: Final = 2.0
EVENTS: Final = {"agent.starting", "engine.ready", "broker.connected", "camera.opened"}


def comes_up(trial: Trial, box: Container) -> None:
    """The service starts with the box, says what it does, and feeds the watchdog."""
    trial.poses()
    trial.hold("the service starts with the box, and poses come")
    told = [box.show(UNIT, name) for name in ("Type", "ActiveState", "SubState", "NRestarts")]
    trial.hold("it is ready at the first attempt", told == ["notify", "active", "running", "0"], told)
    deadline = time.monotonic() + 10
    while not re.match(r"running since .*FPS; movenet-multipose", box.status(UNIT)) and time.monotonic() < deadline:
        time.sleep(0.1)
    trial.hold(f"systemctl tells: {box.status(UNIT)}", box.status(UNIT).startswith("running since"))
    fed = box.show(UNIT, "WatchdogTimestampMonotonic")
    while box.show(UNIT, "WatchdogTimestampMonotonic") == fed and time.monotonic() < deadline + 10:
        time.sleep(0.1)
    trial.hold("the watchdog is fed", box.show(UNIT, "WatchdogTimestampMonotonic") != fed)
    _logged(trial, box)


def _logged(trial: Trial, box: Container) -> None:
    lines = [json.loads(line) for line in box.run(["journalctl", "-u", UNIT, "-o", "json"]).stdout.splitlines()]
    events = [(json.loads(line["MESSAGE"]), line["PRIORITY"]) for line in lines if line["MESSAGE"].startswith("{")]
    names = {event["event"] for event, _priority in events}
    trial.hold("the journal has its events", names >= EVENTS, names)
    known = all(int(priority) == PRIORITIES[event["level"]] for event, priority in events)
    trial.hold("with their levels as the journal's priorities", known, events)


def confined(trial: Trial, box: Container) -> None:
    """The running process has what the unit leaves it, and no more."""
    click.echo("\n# the running process")
    pid = box.main_pid(UNIT)
    _rights(trial, box, pid)
    _files(trial, box, pid)
    _calls(trial, box)
    click.echo("  --   DeviceAllow is not tried: which devices a container has is its host's to say")


def _rights(trial: Trial, box: Container, pid: int) -> None:
    own, first = _status(box, pid), _status(box, 1)
    capabilities = {name: int(own[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    trial.hold("it has no capability and can get none", not any(capabilities.values()), capabilities)
    trial.hold("no new privileges", own["NoNewPrivs"] == "1")
    filters = int(own["Seccomp_filters"]), int(first["Seccomp_filters"])
    trial.hold("system calls are filtered, beyond the container's own filter", filters[0] > filters[1], filters)
    numbers = box.run(["getent", "group", "edgepose", "video", "render"]).stdout.splitlines()
    groups = {line.split(":")[2] for line in numbers}
    trial.hold(
        "its groups are its own, video and render", set(own["Groups"].split()) | {own["Gid"].split()[0]} == groups
    )
    limits = box.run(["cat", f"/proc/{pid}/limits"]).stdout
    trial.hold("it leaves no core dump", re.search(r"Max core file size +0 +0", limits))
    if int(first["CapBnd"], 16) & RAISE_LIMITS:
        trial.hold("it may raise a thread's priority to the usual", re.search(r"Max nice priority +20 +20", limits))
    else:
        click.echo("  --   LimitNICE is not tried: this machine lets nobody raise a limit")


def _files(trial: Trial, box: Container, pid: int) -> None:
    sees = ["nsenter", f"--target={pid}", "--mount", "--"]
    writable = set(box.run([*sees, "bash", "-c", FIND_WRITABLE]).stdout.splitlines())
    trial.hold("in its place not even root writes but to its two folders and /tmp", writable == WRITABLE, writable)
    homes = [box.run([*sees, "ls", "-A", place]).stdout.split() for place in ("/home", "/root")]
    trial.hold("it does not see who lives on the box", homes == [[], []], homes)
    password = f"/run/credentials/{UNIT}/edgepose_password"
    reads = {
        account
        for account in ("edgepose", "nobody")
        if box.run([*sees, "runuser", "-u", account, "--", "cat", password]).stdout == SECRET
    }
    trial.hold("the password of its credentials is read by it alone", reads == {"edgepose"}, reads)


def _calls(trial: Trial, box: Container) -> None:
    """The unit's own filter, met by another program in the agent's place; and what is allowed without it."""
    (box.path / "srv/probe.py").write_bytes((ROOT / "tests/systemd/probe.py").read_bytes())
    dropin = box.path / f"etc/systemd/system/{UNIT}.d"
    dropin.mkdir()
    (dropin / "probe.conf").write_text(f"[Service]\nExecStartPre=/usr/bin/python3 /srv/probe.py {STATE}/inside\n")
    for command in ("systemctl daemon-reload", f"systemctl restart {UNIT}"):
        done = box.run(command.split())
        assert done.returncode == 0, done.stdout
    (dropin / "probe.conf").unlink()
    dropin.rmdir()
    box.run(["systemctl", "daemon-reload"])
    box.run(["runuser", "-u", "edgepose", "--", "python3", "/srv/probe.py", f"{STATE}/outside"])
    inside, outside = (_probed(box, name) for name in ("inside", "outside"))
    for name, code in REFUSED.items():
        trial.hold(f"refused to it: {name}", inside[name] == code != outside[name], (inside[name], outside[name]))
    for name in NEEDED:
        trial.hold(f"left to it: {name}", inside[name] == "done", inside[name])


def _probed(box: Container, name: str) -> dict[str, str]:
    path = box.path / f"{STATE}/{name}".lstrip("/")
    found: dict[str, str] = json.loads(path.read_text())
    path.unlink()
    return found


def traced(trial: Trial, box: Container) -> None:
    """What the watchdog ended says where it stood."""
    log = box.log(UNIT)
    trial.hold("the journal names the watchdog", "Watchdog timeout (limit 10s)!" in log)
    trial.hold("and where each thread stood", re.search(r"Fatal Python error: Aborted\n+(Current t|T)hread", log))


def stopped(trial: Trial, box: Container) -> None:
    """`systemctl stop` ends it in time and in order, and it starts again."""
    click.echo("\n# systemctl stop, systemctl start")
    began = time.monotonic()
    box.run(["systemctl", "stop", UNIT])
    took_s = time.monotonic() - began
    trial.hold(f"it stops within {took_s:.1f} s, {STOPPED_S:g} promised", took_s <= STOPPED_S)
    end = [box.show(UNIT, name) for name in ("ActiveState", "Result", "ExecMainCode", "ExecMainStatus")]
    trial.hold("with exit code 0", end == ["inactive", "success", "1", "0"], end)
    box.run(["systemctl", "start", UNIT])
    trial.poses()
    trial.hold("poses come after a start by hand")


def rebooted(trial: Trial, box: Container) -> None:
    """Off and on again: nobody has to start anything."""
    click.echo("\n# the box is turned off and on")
    goodbyes = box.log(UNIT).count('{"code": 0, "event": "agent.stopped"')
    trial.listener.messages.clear()
    box.halt()
    trial.listener.wait_for(Topics(DEVICE).availability, b"offline")
    box.boot()
    trial.poses()
    trial.hold("poses come after the box's restart")
    ended = box.log(UNIT).count('{"code": 0, "event": "agent.stopped"')
    trial.hold("the agent was ended in order when the box was turned off", ended == goodbyes + 1)


def secret(trial: Trial, box: Container) -> None:
    """The password is told to nobody else."""
    shown = box.run(["systemctl", "show", UNIT]).stdout
    trial.hold("the password does not stand in systemctl show", SECRET not in shown)
    environ = box.run(["cat", f"/proc/{box.main_pid(UNIT)}/environ"]).stdout
    trial.hold("nor in its environment", "CREDENTIALS_DIRECTORY" in environ and SECRET not in environ)
    trial.hold("nor anywhere in the journal", SECRET not in box.run(["journalctl", "--output=export"]).stdout)


def _status(box: Container, pid: int) -> dict[str, str]:
    lines = box.run(["cat", f"/proc/{pid}/status"]).stdout.splitlines()
    return {name: value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
