"""The installer in a clean Debian root, from nothing to a running agent, through upgrades good and bad, to its removal.

``python -m tests.systemd.trial BUNDLE`` prints the transcript. systemd does not run there: a stand-in (stand_in.py)
starts the installed unit, waits for READY and enforces the watchdog. The first thing that is not as promised ends it
with exit code 1. Take a private mount namespace for it (`unshare --mount`), as `make install-trial` does.
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Final

import click

from agent.wire.messages import State
from agent.wire.topics import Topics
from models import catalogue
from models.fetch import fetch
from models.store import Store, models_dir
from tests.broker import Broker, Listener
from tests.system.process import ROOT
from tests.systemd.root import Root, debian, require

DEVICE: Final = "gym-01"
SERVICE: Final = f"edgepose-agent@{DEVICE}"
TOPICS: Final = Topics(DEVICE)
SECRET: Final = "not-in-any-log"
CONFIG: Final = """[mqtt]
host = "127.0.0.1"
port = {port}
username = "gym-01"
password_file = "$CREDENTIALS_DIRECTORY/edgepose_password"

[camera]
source = "/srv/clip.avi"
loop = true

[inference]
device = "CPU"
"""
BACK_S: Final = 10.0
"""First pose after a restart."""


class Trial:
    """What is done in the root, and what is held against it."""

    def __init__(self, root: Root, broker: Broker, listener: Listener) -> None:
        self.root = root
        self.broker = broker
        self.listener = listener
        self.kept: list[tuple[str, str]] = []

    def install(self, *words: str, code: int = 0) -> str:
        """Run the installer; what it said."""
        click.echo(f"\n# install.sh {DEVICE} {' '.join(words)}".rstrip())
        done = self.root.run(["bash", "/srv/install.sh", DEVICE, *words])
        click.echo(done.stdout.rstrip())
        self.hold(f"exit code {code}", done.returncode == code, str(done.returncode))
        return done.stdout

    def hold(self, promise: str, kept: object, found: str = "") -> None:
        """A promise, and whether it was kept."""
        click.echo(f"  {'ok  ' if kept else 'FAIL'} {promise}{f' ({found})' if found and not kept else ''}")
        if not kept:
            log = self.root.path / f"run/stand-in/{SERVICE}.log"
            click.echo(log.read_text()[-4000:] if log.exists() else "", err=True)
            raise SystemExit(1)
        self.kept.append((promise, found))

    def poses(self) -> float:
        """Wait for the next pose; seconds it took."""
        began = time.monotonic()
        self.listener.messages.clear()
        self.listener.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=60)
        return time.monotonic() - began

    def status(self) -> str:
        """What the agent told systemd last."""
        told: str = json.loads((self.root.path / f"run/stand-in/{SERVICE}.state").read_text())["status"]
        return told

    def current(self) -> str:
        """The version in use."""
        return (self.root.path / "opt/edgepose/current").readlink().name

    def exists(self, place: str) -> bool:
        return os.path.lexists(self.root.path / place)

    def main_pid(self) -> int:
        """The agent's own process, as this machine counts."""
        events = json.loads((self.root.path / f"run/stand-in/{SERVICE}.state").read_text())["events"]
        return int([event for _s, event in events if event.startswith("start ")][-1].split()[1])


def enabled_only(trial: Trial) -> None:
    """Without a running systemd the installer prepares everything and starts nothing."""
    said = trial.install("--offline", "/srv/bundle.tar")
    trial.hold("says that it is enabled and starts with the box", "starts with the box" in said)
    wants = f"etc/systemd/system/multi-user.target.wants/{SERVICE}.service"
    for place in (wants, f"etc/edgepose/{DEVICE}.toml", "opt/edgepose/current/bin/agent", "var/lib/edgepose/models"):
        trial.hold(f"/{place} is there", trial.exists(place))


def configure(trial: Trial) -> None:
    """What the owner of the box does: a camera, a broker, a password."""
    etc = trial.root.path / "etc/edgepose"
    (etc / f"{DEVICE}.toml").write_text(CONFIG.format(port=trial.broker.port))
    secret = etc / f"{DEVICE}.credentials/password"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    (trial.root.path / "run/systemd/system").mkdir(parents=True)
    click.echo("\n# from here on something answers as systemd")


def upgrade(trial: Trial) -> None:
    """An upgrade keeps the configuration, takes over, and the agent runs."""
    before, config = trial.current(), (trial.root.path / f"etc/edgepose/{DEVICE}.toml").read_bytes()
    trial.install("--offline", "/srv/bundle.tar")
    trial.poses()
    trial.hold("poses come over the broker, with the password of the credentials", kept=True)
    click.echo(f"       status: {trial.status()}")
    trial.hold("another version is in use", trial.current() != before)
    after = (trial.root.path / f"etc/edgepose/{DEVICE}.toml").read_bytes()
    trial.hold("the configuration is kept to the byte", after == config)
    versions = sorted(path.name for path in (trial.root.path / "opt/edgepose/versions").iterdir())
    trial.hold("the version before is kept, older ones are not", versions == sorted({before, trial.current()}))
    owner = trial.root.run(["stat", "-c", "%U", f"/proc/{trial.main_pid()}"]).stdout.strip()
    trial.hold("it runs under an account of its own", owner == "edgepose", owner)
    state = trial.listener.wait(lambda seen: seen.topic == TOPICS.state)
    trial.hold("the broker has its state", State.decode(bytes(state.payload)).device_id == DEVICE)


def refused(trial: Trial, bundle: str, told: str) -> None:
    """An upgrade that fails leaves the version before, and its poses."""
    before = trial.current()
    said = trial.install("--offline", bundle, code=1)
    trial.hold(f"says: {told}", told in said)
    trial.hold("the version before is in use", trial.current() == before)
    trial.poses()
    trial.hold("poses come", kept=True)
    trial.hold(
        "no rest of the other version is left", len(list((trial.root.path / "opt/edgepose/versions").iterdir())) <= 2
    )


def hung(trial: Trial) -> None:
    """A process that stands still is ended by the watchdog, and the next one sees."""
    click.echo("\n# kill -STOP the agent")
    pid = trial.main_pid()
    began = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    while trial.main_pid() == pid:
        time.sleep(0.05)
    restarted = time.monotonic()
    trial.poses()
    back_s = time.monotonic() - restarted
    trial.hold(f"the watchdog ended it after {restarted - began:.1f} s", kept=True)
    trial.hold(f"first pose {back_s:.1f} s after the restart, {BACK_S:g} promised", back_s <= BACK_S)


def removed(trial: Trial) -> None:
    """Removal leaves what is the owner's; with --purge nothing."""
    trial.listener.messages.clear()
    trial.install("--uninstall")
    trial.listener.wait_for(TOPICS.availability, b"offline")
    trial.hold("the agent said goodbye", kept=True)
    for place in ("opt/edgepose", "var/cache/edgepose", "etc/systemd/system/edgepose-agent@.service"):
        trial.hold(f"/{place} is gone", not trial.exists(place))
    wants = trial.root.path / "etc/systemd/system/multi-user.target.wants"
    trial.hold("nothing starts with the box", not list(wants.glob("edgepose*")))
    for place in (f"etc/edgepose/{DEVICE}.toml", "var/lib/edgepose/models"):
        trial.hold(f"/{place} is kept", trial.exists(place))
    trial.install("--uninstall", "--purge")
    for place in ("etc/edgepose", "var/lib/edgepose"):
        trial.hold(f"/{place} is gone", not trial.exists(place))
    account = trial.root.run(["getent", "passwd", "edgepose"])
    trial.hold("the account is gone", account.returncode != 0)


def broken(bundle: Path, folder: Path, module: str) -> Path:
    """A bundle whose agent ends as soon as it imports a module; everything else about it is in order."""
    with tarfile.open(bundle) as tar:
        tar.extractall(folder, filter="data")
    (inner,) = folder.iterdir()
    (wheel,) = (inner / "wheels").glob("edgepose-*.whl")
    rewritten = io.BytesIO()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(rewritten, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content + b"\nraise RuntimeError('broken on purpose')\n" if name == module else content)
    wheel.write_bytes(rewritten.getvalue())
    sums = inner / "SHA256SUMS"
    names = [line.split("  ", 1)[1] for line in sums.read_text().splitlines()]
    sums.write_text("".join(f"{hashlib.sha256((inner / name).read_bytes()).hexdigest()}  {name}\n" for name in names))
    return inner


def stage(root: Root, bundle: Path) -> None:
    """Bring to the box what its owner would."""
    store = Store(models_dir())
    fetch(catalogue.card("vtest"), store)
    srv = root.path / "srv"
    shutil.copy(store.clip("vtest"), srv / "clip.avi")
    shutil.copy(ROOT / "systemd" / "install.sh", srv)
    shutil.copy(bundle, srv / "bundle.tar")
    for name, module in (("deaf", "agent/app.py"), ("blind", "agent/inference/engine.py")):
        (srv / name).mkdir()
        broken(bundle, srv / name, module).rename(srv / f"bundle-{name}")
    damaged = srv / "bundle-damaged"
    subprocess.run(["cp", "-al", str(srv / "bundle-deaf"), str(damaged)], check=True)
    (damaged / "agent.toml").unlink()
    (damaged / "agent.toml").write_text("# cut off\n")


def main() -> None:
    """Do it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    bundle = parser.parse_args().bundle
    require()
    archive = debian(ROOT / "build")
    with tempfile.TemporaryDirectory(prefix="edgepose-trial-") as folder:
        passwords = Path(folder) / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), DEVICE, SECRET], check=True)
        lines = ("allow_anonymous true", f"password_file {passwords}")
        with (
            Broker(Path(folder), lines) as broker,
            Listener(broker.port) as listener,
            Root(archive, Path(folder)) as root,
        ):
            trial = Trial(root, broker, listener)
            stage(root, bundle)
            click.echo(f"# {archive.stem} with {bundle.name}")
            enabled_only(trial)
            configure(trial)
            upgrade(trial)
            upgrade(trial)
            hung(trial)
            refused(trial, "/srv/bundle-damaged", "the bundle is damaged")
            refused(trial, "/srv/bundle-blind", "the new version fails its check")
            refused(trial, "/srv/bundle-deaf", "the one before is back")
            log = (root.path / f"run/stand-in/{SERVICE}.log").read_text()
            trial.hold("the password stands in no log", SECRET not in log)
            removed(trial)
    click.echo(f"\nall {len(trial.kept)} promises kept")


if __name__ == "__main__":
    main()
