"""The authority operators try TLS with: a box more does not lock out the others."""

import hashlib
import subprocess
from pathlib import Path

from tests.authority import MOSQUITTO, make_authority


def digests(folder: Path) -> dict[str, str]:
    """What is in the folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_second_time_adds_a_box(tmp_path: Path) -> None:
    """Into the same folder it makes what is missing, signed by the authority that is there, and replaces nothing."""
    make_authority(tmp_path, "gym-01")
    before = digests(tmp_path)
    make_authority(tmp_path, "gym-01", "gym-02")
    after = digests(tmp_path)
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {"gym-02.pem", "gym-02.key"}
    subprocess.run(["openssl", "verify", "-CAfile", "ca.pem", "gym-02.pem"], cwd=tmp_path, check=True)


def test_without_the_authoritys_key_nothing_is_made(tmp_path: Path) -> None:
    """An authority whose key is elsewhere is not replaced: that is said, and the folder stays as it was."""
    make_authority(tmp_path, "gym-01")
    (tmp_path / "ca.key").unlink()
    before = digests(tmp_path)
    done = subprocess.run(
        [MOSQUITTO / "make-test-ca.sh", tmp_path, "gym-02"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ca.key" in done.stderr
    assert digests(tmp_path) == before


def test_bundle_says_how_it_is_used_and_builds_nothing() -> None:
    """--help and what it does not know end `systemd/bundle.sh` before it builds."""
    script = MOSQUITTO.parents[1] / "systemd" / "bundle.sh"
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "make bundle" in done.stdout
    assert "bundle: wheels" not in done.stdout
    assert subprocess.run([script, "nonsense"], capture_output=True, check=False).returncode == 2
