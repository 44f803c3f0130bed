"""What is done to a box in a trial, step by step, and what each step has to keep: over any kind of root."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from agent.wire.messages import State
from agent.wire.topics import Topics
from tests.broker import Broker, Listener, publish
from tests.commander import Commander
from tests.systemd.bundles import WHEELS
from tests.systemd.root import Box

DEVICE: Final = "gym-01"
SECOND: Final = "gym-02"
SECRET: Final = "not-in-any-log"
CONFIG: Final = """[mqtt]
host = "127.0.0.1"
port = {port}
username = "{device}"
password_file = "$CREDENTIALS_DIRECTORY/edgepose_password"

[camera]
source = "/srv/clip.avi"
loop = true

[inference]
device = "CPU"
"""
BACK_S: Final = 10.0
"""First pose after a restart."""
VERSIONS: Final = "opt/edgepose/versions"
WANTS: Final = "etc/systemd/system/multi-user.target.wants"


def service(device: str = DEVICE) -> str:
    """The unit's instance of a device."""
    return f"edgepose-agent@{device}"


class Trial:
    """What is done in the box, and what is held against it."""

    def __init__(self, box: Box, broker: Broker, listener: Listener) -> None:
        self.box = box
        self.broker = broker
        self.listener = listener
        self.kept: list[str] = []

    def install(
        self,
        *words: str,
        device: str = DEVICE,
        script: str = "/srv/install.sh",
        environ: Mapping[str, str] | None = None,
        code: int = 0,
    ) -> str:
        """Run the installer; what it said."""
        given = [f"{name}='{value}'" for name, value in (environ or {}).items()]
        click.echo("\n# " + " ".join((*given, script, device, *words)))
        done = self.box.run(["bash", script, device, *words], **(environ or {}))
        click.echo(done.stdout.rstrip())
        self.hold(f"exit code {code}", done.returncode == code, str(done.returncode))
        return done.stdout

    def hold(self, promise: str, kept: object = True, found: object = "") -> None:
        """A promise, and whether it was kept."""
        click.echo(f"  {'ok  ' if kept else 'FAIL'} {promise}{f' ({found})' if found and not kept else ''}")
        if not kept:
            click.echo(self.box.log(service())[-4000:], err=True)
            raise SystemExit(1)
        self.kept.append(promise)

    def poses(self, device: str = DEVICE) -> float:
        """Wait for the next pose; seconds it took."""
        began = time.monotonic()
        self.listener.messages.clear()
        self.listener.wait(lambda seen: seen.topic == Topics(device).keypoints, timeout_s=60)
        return time.monotonic() - began

    def file(self, place: str) -> Path:
        """A place of the box, as this machine reaches it."""
        return self.box.path / place

    def exists(self, place: str) -> bool:
        return os.path.lexists(self.file(place))

    def current(self) -> str:
        """The version in use."""
        return self.file("opt/edgepose/current").readlink().name

    def versions(self) -> set[str]:
        return {path.name for path in self.file(VERSIONS).iterdir()}

    def kill(self, signal: str) -> None:
        """A signal to the agent, and the wait for another one in its place."""
        pid = self.box.main_pid(service())
        self.box.run(["bash", "-c", f"kill -{signal} {pid}"])
        while self.box.main_pid(service()) in (0, pid):
            time.sleep(0.05)


def enabled_only(trial: Trial) -> None:
    """Without a running systemd the installer prepares everything and starts nothing."""
    said = trial.install("--offline", "/srv/bundle.tar")
    trial.hold("says that it is enabled and starts with the box", "starts with the box" in said)
    wants = f"{WANTS}/{service()}.service"
    for place in (wants, f"etc/edgepose/{DEVICE}.toml", "opt/edgepose/current/bin/agent", "var/lib/edgepose/models"):
        trial.hold(f"/{place} is there", trial.exists(place))


def configure(trial: Trial, device: str = DEVICE) -> None:
    """What the owner of the box does: a camera, a broker, a password."""
    etc = trial.file("etc/edgepose")
    (etc / f"{device}.toml").write_text(CONFIG.format(port=trial.broker.port, device=device))
    secret = etc / f"{device}.credentials/password"
    secret.parent.mkdir(mode=0o700, exist_ok=True)
    secret.write_text(SECRET)
    secret.chmod(0o600)


def upgrade(trial: Trial) -> None:
    """An upgrade keeps the configuration, takes over, and the agent runs."""
    _takes_over(trial, "--offline", "/srv/bundle.tar")
    owner = trial.box.run(["stat", "-c", "%U", f"/proc/{trial.box.main_pid(service())}"]).stdout.strip()
    trial.hold("it runs under an account of its own", owner == "edgepose", owner)
    with Listener(trial.broker.port, Topics(DEVICE).state) as latecomer:
        state = latecomer.wait(lambda _: True)
    trial.hold("the broker has its state", State.decode(bytes(state.payload)).device_id == DEVICE)


def switched(trial: Trial) -> None:
    """A command from the broker has it build another engine, where it runs."""
    click.echo("\n# set-hint throughput")
    with Commander(trial.broker.port, Topics(DEVICE)) as commander:
        reply = commander.ask("set-hint", hint="throughput")
    trial.hold("it builds another engine when it is asked to", reply.status == "succeeded", reply)
    trial.poses()
    trial.hold("poses come")


def from_clone(trial: Trial) -> None:
    """From a clone the installer builds the package itself, with what pip is told by its variables."""
    network = trial.file("var/lib/edgepose/models")
    before = {path: path.stat().st_mtime_ns for path in network.rglob("*") if path.is_file()}
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS}
    _takes_over(trial, script="/srv/clone/systemd/install.sh", environ=pip)
    after = {path: path.stat().st_mtime_ns for path in network.rglob("*") if path.is_file()}
    trial.hold("the network that is there is left alone, and asks for nothing", after == before)


def _takes_over(
    trial: Trial, *words: str, script: str = "/srv/install.sh", environ: Mapping[str, str] | None = None
) -> None:
    before, config = trial.current(), trial.file(f"etc/edgepose/{DEVICE}.toml").read_bytes()
    trial.install(*words, script=script, environ=environ)
    trial.poses()
    trial.hold("poses come over the broker, with the password of the credentials")
    click.echo(f"       status: {trial.box.status(service())}")
    trial.hold("another version is in use", trial.current() != before)
    trial.hold(
        "the configuration is kept to the byte", trial.file(f"etc/edgepose/{DEVICE}.toml").read_bytes() == config
    )
    trial.hold("the version before is kept, older ones are not", trial.versions() == {before, trial.current()})


def second(trial: Trial) -> None:
    """Another camera of the box: a service of its own from the same installation, and its removal."""
    configure(trial, SECOND)
    trial.install("--offline", "/srv/bundle.tar", device=SECOND)
    for device in (DEVICE, SECOND):
        trial.poses(device)
        trial.hold(f"poses of {device} come")
    pids = {trial.box.main_pid(service(device)) for device in (DEVICE, SECOND)}
    programs = {trial.box.run(["bash", "-c", f"tr '\\0' ' ' </proc/{pid}/cmdline"]).stdout.split()[1] for pid in pids}
    trial.hold("they are two processes of one program", len(pids) == 2 and len(programs) == 1, programs)
    said = trial.box.run(["edgepose-agent", SECOND, "doctor", "--json"]).stdout
    trial.hold("doctor looks as the service, with its passwords", "accepts this agent" in said, said)
    named = trial.box.run(["edgepose-agent", "doctor"])
    trial.hold("of two devices it wants one named", named.returncode == 2 and SECOND in named.stdout, named.stdout)
    said = trial.install("--uninstall", "--purge", device=SECOND)
    trial.hold("the broker forgets it", f"{SECOND}: forgotten" in said)
    with Listener(trial.broker.port, f"edgepose/{SECOND}/#") as latecomer, Listener(trial.broker.port, "end") as end:
        publish(trial.broker.port, "end", b"")
        end.wait_for("end", b"")
        kept = [message.topic for message in latecomer.messages if message.payload]
    trial.hold("and knows nothing of it", not kept, kept)
    trial.hold("its configuration is gone", not trial.exists(f"etc/edgepose/{SECOND}.toml"))
    trial.poses()
    trial.hold(f"poses of {DEVICE} come all the same")


def refused(trial: Trial, bundle: str, told: str) -> None:
    """An upgrade that fails leaves the version before, and its poses."""
    before = trial.current()
    said = trial.install("--offline", bundle, code=1)
    trial.hold(f"says: {told}", told in said)
    trial.hold("the version before is in use", trial.current() == before)
    trial.poses()
    trial.hold("poses come")
    trial.hold("no rest of the other version is left", len(trial.versions()) <= 2)


def hung(trial: Trial) -> None:
    """A process that stands still is ended by the watchdog, and the next one sees."""
    click.echo("\n# kill -STOP the agent")
    began = time.monotonic()
    trial.kill("STOP")
    trial.hold(f"the watchdog ended it after {time.monotonic() - began:.1f} s")
    _back(trial)


def killed(trial: Trial) -> None:
    """A process that is gone is replaced."""
    click.echo("\n# kill -9 the agent")
    trial.kill("KILL")
    _back(trial)


def _back(trial: Trial) -> None:
    back_s = trial.poses()
    trial.hold(f"first pose {back_s:.1f} s after the restart, {BACK_S:g} promised", back_s <= BACK_S)


def silent(trial: Trial) -> None:
    """What the agent and those who start it wrote holds no secret."""
    trial.hold("the password stands in no log", SECRET not in trial.box.log(service()))


def removed(trial: Trial) -> None:
    """Removal leaves what is the owner's; with --purge nothing."""
    trial.listener.messages.clear()
    trial.install("--uninstall")
    trial.listener.wait_for(Topics(DEVICE).availability, b"offline")
    trial.hold("the agent said goodbye")
    for place in ("opt/edgepose", "var/cache/edgepose", "etc/systemd/system/edgepose-agent@.service"):
        trial.hold(f"/{place} is gone", not trial.exists(place))
    trial.hold("nothing starts with the box", not list(trial.file(WANTS).glob("edgepose*")))
    for place in (f"etc/edgepose/{DEVICE}.toml", "var/lib/edgepose/models"):
        trial.hold(f"/{place} is kept", trial.exists(place))
    trial.install("--uninstall", "--purge")
    for place in ("etc/edgepose", "var/lib/edgepose"):
        trial.hold(f"/{place} is gone", not trial.exists(place))
    account = trial.box.run(["getent", "passwd", "edgepose"])
    trial.hold("the account is gone", account.returncode != 0)
