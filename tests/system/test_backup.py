"""The lines of docs/fleet.md that put a box's settings into one file, and bring them back."""

import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Final

import pytest

from agent.config.file import load
from agent.control.journal import Journal, Record
from tests.control.records import CPU, attempt, job
from tests.system.process import ROOT

PAGE: Final = ROOT / "docs" / "fleet.md"
RECORD: Final = Record(version=7, base=CPU, settings=CPU, attempt=attempt(), jobs=(job("j1"),))


def lines(number: int) -> list[str]:
    """The commands of one of the section's blocks."""
    section = PAGE.read_text(encoding="utf-8").partition("## A box's settings in one file")[2].partition("\n## ")[0]
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return blocks[number].splitlines()


def typed(command: str, box: Path, desk: Path) -> None:
    """Run one tar command on a box whose root is a folder of ours; nothing of it may name this machine's own."""
    words = shlex.split(command, comments=True)
    place = words.index("--directory") + 1
    assert words[place] == "/"
    words[place] = str(box)
    assert not any(word.startswith("/") for word in words if word != str(box))
    subprocess.run(words, cwd=desk, check=True, umask=0o077)


def test_a_box_comes_back_from_its_file(tmp_path: Path) -> None:
    """Configuration, secrets with their rights, what commands have asked for: as they were, in a file for its owner."""
    if shutil.which("tar") is None:
        pytest.skip("tar is not installed")
    old, new = tmp_path / "old", tmp_path / "new"
    for box in (old, new):
        (box / "etc/edgepose/gym-01.credentials").mkdir(parents=True)
        (box / "var/lib/edgepose").mkdir(parents=True)
    (old / "etc/edgepose/gym-01.toml").write_text('[mqtt]\nhost = "broker.lan"\n', encoding="utf-8")
    secret = old / "etc/edgepose/gym-01.credentials/password"
    secret.write_text("s3cret\n", encoding="utf-8")
    secret.chmod(0o600)
    Journal(old / "var/lib/edgepose/gym-01.json").save(RECORD)
    mask, pack = lines(0)
    assert mask.startswith("umask 077 ")
    typed(pack, old, tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    (unpack,) = [line for line in lines(1) if line.startswith("tar ")]
    typed(unpack, new, tmp_path)
    assert load(new / "etc/edgepose/gym-01.toml", environ={}).mqtt.host == "broker.lan"
    kept = new / "etc/edgepose/gym-01.credentials/password"
    assert (kept.read_text(encoding="utf-8"), stat.S_IMODE(kept.stat().st_mode)) == ("s3cret\n", 0o600)
    assert Journal(new / "var/lib/edgepose/gym-01.json").load() == RECORD
