"""The installer in a clean Debian root, from nothing to a running agent, through upgrades good and bad, to its removal.

``python -m tests.systemd.trial BUNDLE`` prints the transcript. systemd does not run there: a stand-in (stand_in.py)
starts the installed unit, waits for READY and enforces the watchdog. Take a private mount namespace for it (`unshare
--mount`), as `make install-trial` does. With ``--boot`` the root is booted with its own systemd, and what only that can
show is held too (`make boot-trial`). ``--suite NAME`` tries another release than this machine's, with its broker, and a
bundle made in it for its Python. The first thing that is not as promised ends it with exit code 1.
"""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from tests.broker import Broker, Listener
from tests.system.process import ROOT
from tests.systemd import booted, steps
from tests.systemd.builder import bundle_for
from tests.systemd.bundles import stage
from tests.systemd.container import Container
from tests.systemd.root import Box, Root, debian, release, require, unpack
from tests.systemd.steps import DEVICE, SECOND, SECRET, Trial

TOOLS: Final = {"debootstrap": "debootstrap", "mosquitto_passwd": "mosquitto", "git": "git", "tar": "tar"}
BROKER_FOLDER: Final = "srv/broker"
CHROOT: Final = {"chroot": "coreutils", "mount": "mount"}
NSPAWN: Final = {"systemd-nspawn": "systemd-container", "nsenter": "util-linux"}


class OwnBroker(Broker):
    """The root's own mosquitto; its files are in the root."""

    def __init__(self, root: Path, lines: Sequence[str]) -> None:
        folder = root / BROKER_FOLDER
        super().__init__(folder, lines)
        self._command = ["chroot", root, "mosquitto", "-c", f"/{BROKER_FOLDER}/{self._config.name}"]


def passwords(folder: Path) -> Path:
    """A broker's password file for both devices."""
    folder.mkdir(exist_ok=True)
    written = folder / "passwords"
    for device, create in ((DEVICE, ["-c"]), (SECOND, [])):
        subprocess.run(["mosquitto_passwd", "-b", *create, str(written), device, SECRET], check=True)
    return written


def installed(trial: Trial) -> None:
    """From nothing to an agent that is upgraded."""
    steps.enabled_only(trial)
    steps.configure(trial)
    click.echo("\n# from here on the box is up, and something answers as systemd")
    trial.box.boot()
    if isinstance(trial.box, Container):
        booted.comes_up(trial, trial.box)
        booted.confined(trial, trial.box)
    steps.upgrade(trial)
    steps.upgrade(trial)
    steps.from_clone(trial)
    steps.switched(trial)


def endured(trial: Trial) -> None:
    """What a box meets, to the removal of the agent."""
    steps.second(trial)
    steps.hung(trial)
    if isinstance(trial.box, Container):
        booted.traced(trial, trial.box)
    steps.killed(trial)
    steps.refused(trial, "/srv/bundle-damaged", "the bundle is damaged")
    steps.refused(trial, "/srv/bundle-blind", "the new version fails its check")
    steps.refused(trial, "/srv/bundle-deaf", "the one before is back")
    if isinstance(trial.box, Container):
        booted.stopped(trial, trial.box)
        booted.rebooted(trial, trial.box)
        booted.secret(trial, trial.box)
    steps.silent(trial)
    steps.removed(trial)


def main() -> None:
    """Do it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--suite", help="another release, whose bundle is made first")
    parser.add_argument("--boot", action="store_true", help="with the root's own systemd, in systemd-nspawn")
    given = parser.parse_args()
    if given.boot:
        require("boot-trial", TOOLS | NSPAWN)
    else:
        require("install-trial", TOOLS | CHROOT)
    if given.suite:
        archive, bundle = bundle_for(given.suite, ROOT / "build")
    else:
        archive, bundle = debian(ROOT / "build", os.environ.get("SUITE") or release()), given.bundle
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgepose-trial-")))
        root = unpack(archive, folder / "root")
        written = passwords(root / BROKER_FOLDER)
        lines = "allow_anonymous true", f"password_file {f'/{BROKER_FOLDER}/passwords' if given.suite else written}"
        own = OwnBroker(root, lines) if given.suite else Broker(folder, lines)
        broker = stack.enter_context(own)
        listener = stack.enter_context(Listener(broker.port))
        stage(root, bundle)
        box: Box = stack.enter_context(Container(root)) if given.boot else stack.enter_context(Root(root))
        trial = Trial(box, broker, listener)
        click.echo(f"# {archive.stem} with {bundle.name}")
        installed(trial)
        endured(trial)
    click.echo(f"\nall {len(trial.kept)} promises kept")


if __name__ == "__main__":
    main()
