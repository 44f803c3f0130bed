"""What docs/fleet.md says of time and of an upgrade of all, as far as it goes without root and a booted box."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from agent.control.journal import KEPT
from agent.doctor import checks
from agent.doctor.finding import Level
from agent.service import clock
from agent.wire.commands import Command
from agent.wire.messages import Keypoints, Message, State
from controller.client.request import SIGNED_FOR_MIN_S, Order
from tests import samples
from tests.broker import Broker
from tests.controller.conftest import controller, put_agent
from tests.system.process import ROOT

PAGE: Final = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
INSTALLER: Final = (ROOT / "systemd" / "install.sh").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """The text below a heading."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def block(heading: str) -> list[str]:
    """The commands of the section's only block."""
    (found,) = re.findall(r"^ *```sh\n(.*?)^ *```", section(heading), re.MULTILINE | re.DOTALL)
    return [line.strip() for line in found.splitlines()]


def test_the_commands_that_keep_the_time() -> None:
    """`timedatectl` takes what the page types, and the doctor's line `clock` names the same cure."""
    if shutil.which("timedatectl") is None:
        pytest.skip("timedatectl is not installed")
    keep, ask = block("Time")
    known = subprocess.run(["timedatectl", "--help"], capture_output=True, text=True, check=True).stdout
    cure = checks.clock(datetime(2026, 11, 1, tzinfo=UTC), synchronised=False)
    assert (cure.name, cure.level) == ("clock", Level.WARN)
    assert "&& timedatectl set-ntp true " in keep
    assert "timedatectl set-ntp true" in cure.cure
    assert re.search(r"set-ntp BOOL", known)
    program, verb, option = ask.split()
    assert (program, verb, option) == ("timedatectl", "show", "--property=NTPSynchronized")
    assert re.search(r"^ *show\b", known, re.MULTILINE)
    assert "--property=" in known


def test_what_a_wrong_clock_does() -> None:
    """The page's table names fields there are, a signed command is good as long as it says, jobs stay a day."""
    told = section("Time")
    for message, field in ((Keypoints, "sent_at"), (Keypoints, "captured_at"), (State, "since"), (Keypoints, "age_ms")):
        assert f"`{field}`" in told
        assert field in message.model_fields
    assert "`expires_at`" in told
    assert "expires_at" in Command.__annotations__
    assert ("good for a minute at least" in told) is (SIGNED_FOR_MIN_S == 60)
    assert ("cleared after a day" in told) is (timedelta(days=1) == KEPT)


def test_what_is_not_signed_does_not_expire_by_the_clock() -> None:
    """Only signed commands say when they end, which is why only they need a clock that is right."""
    order = Order("pause", {}, 10.0)
    assert "expires_at" not in json.loads(order.body("1", "edgepose/a/reply/b"))
    assert "expires_at" in json.loads(order.body("1", "edgepose/a/reply/b", datetime.now(UTC)))


@pytest.mark.parametrize("jumped_s", [-86_400.0, 3.0])
def test_a_clock_that_jumps_is_an_event(jumped_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """`clock.jumped`, once."""
    ahead_s = clock._ahead_s
    watched = clock.WallClock()
    assert watched.jump() is None
    monkeypatch.setattr(clock, "_ahead_s", lambda: ahead_s() + jumped_s)
    note = watched.jump()
    assert note is not None
    assert f"`{note.code}`" in section("Time")
    assert note.facts["jumped_s"] == pytest.approx(jumped_s, abs=0.5)
    assert watched.jump() is None


@pytest.mark.parametrize("message", [samples.info(), samples.state(), samples.metrics(), samples.keypoints()])
def test_an_older_controller_reads_a_newer_box(message: Message) -> None:
    """What a newer version says besides is passed over, whatever it is and wherever it stands."""
    said = json.loads(message.encode())
    newer = {**said, "from_the_future": {"list": [1, None, {"deep": True}]}}
    assert type(message).decode(json.dumps(newer).encode()) == message


def test_the_lines_of_an_upgrade(tmp_path: Path) -> None:
    """Typed where a bundle of before still lies, beside its folder, the new one's installer is given the new bundle."""
    name, unpack, install = block("An upgrade of all")
    new = name.removeprefix("bundle=").partition(" ")[0]
    for bundle in (new, "edgepose-0.0.9-python3-11-x86_64"):
        folder = tmp_path / bundle
        folder.mkdir()
        script = folder / "install.sh"
        script.write_text(f'#!/bin/sh\nfor each in {bundle} "$@"; do echo "$each"; done >>told\n', encoding="utf-8")
        script.chmod(0o755)
        subprocess.run(["tar", "-cf", f"{bundle}.tar", bundle], cwd=tmp_path, check=True)
    shutil.rmtree(tmp_path / new)
    subprocess.run(["sh", "-eu", "-c", "\n".join((name, unpack, install))], cwd=tmp_path, check=True)
    words = (tmp_path / "told").read_text().split()
    assert words == [new, "gym-01", "--offline", new]
    assert all(f"{word})" in INSTALLER or word in {new, "gym-01"} for word in words)
    makes = (ROOT / "systemd" / "bundle.sh").read_text(encoding="utf-8")
    assert "name=edgepose-$version-python${made_for// /-}" in makes
    assert re.fullmatch(r"edgepose-[\d.]+-python\d+-\d+-\w+", new)


def test_the_version_before_by_hand(tmp_path: Path) -> None:
    """The line that brings it back leads there, through what the installer and the unit call it."""
    told = re.search(r"`ln -sfn (\S+) (\S+) && systemctl restart '(\S+)'`", section("An upgrade of all"))
    assert told is not None
    target, link, units = told.groups()
    assert f"readonly HOME_DIR={Path(link).parent} " in INSTALLER
    assert 'ln -sfn "versions/$1"' in INSTALLER
    assert (ROOT / "systemd" / f"{units.removesuffix('*')}.service").is_file()
    for version in ("NAME", "new"):
        (tmp_path / "versions" / version).mkdir(parents=True)
    (tmp_path / "current").symlink_to("versions/new")
    subprocess.run(["ln", "-sfn", target, str(tmp_path / Path(link).name)], check=True)
    assert (tmp_path / "current").resolve() == tmp_path / "versions" / "NAME"
    assert list((tmp_path / "versions" / "new").iterdir()) == []


def test_what_is_looked_at_around_an_upgrade(tmp_path: Path) -> None:
    """The page's controller commands run as they stand, and show what the page says they show."""
    told = section("An upgrade of all")
    commands = re.findall(r"`controller ([^`]+)`", told)
    assert commands == ["list", "events '*' --severity warning", "status '*'"]
    with Broker(tmp_path) as broker:
        put_agent(broker.port, "gym-01")
        place = ("--broker", f"127.0.0.1:{broker.port}")
        listed = controller("list", *place)
        status = controller("status", "*", "--json", *place)
        events = controller("events", "*", "--severity", "warning", "--seconds", "0.1", *place)
    assert (listed.returncode, status.returncode, events.returncode) == (0, 0, 0), events.stderr
    assert "agent version" in listed.stdout
    state = json.loads(status.stdout)["devices"][0]["state"]
    for field in re.findall(r"`(changed|last_error)`", told):
        assert field in state
