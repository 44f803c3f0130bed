"""A bundle for another release's Python, made in a root of that release; pip asks there what it asks here."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.system.process import ROOT
from tests.systemd.bundles import clone
from tests.systemd.root import PATH, debian, unpack

NEEDED: Final = ("make", "ca-certificates", "mosquitto")
"""What building takes of the release's packages, and its broker."""
AUTHORITIES: Final = Path("etc/ssl/certs/ca-certificates.crt")
SOURCE: Final = "srv/source"
NETWORKS: Final = ROOT / "build" / "networks"
BUILD: Final = "make venv && systemd/bundle.sh"


def bundle_for(suite: str, kept: Path) -> tuple[Path, Path]:
    """The tar of a root of the release, with its broker, and the bundle for its Python."""
    archive = debian(kept, suite, NEEDED)
    made = kept / f"bundle-{suite}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    with tempfile.TemporaryDirectory(dir=kept) as scratch:
        root = unpack(archive, Path(scratch) / "root")
        clone(root / SOURCE)
        for file in (Path("etc/resolv.conf"), AUTHORITIES):
            shutil.copy(Path("/") / file, root / file)
        # The files of the networks, as `make bundle` keeps them: the root has no npm.
        shutil.copytree(NETWORKS, root / SOURCE / "build" / "networks")
        inside = ("chroot", str(root), "bash", "-c", f"cd /{SOURCE} && {BUILD}")
        subprocess.run(
            ["unshare", "--mount", "sh", "-c", 'mount -t proc proc "$0/proc" && exec "$@"', str(root), *inside],
            env=pip_of_here() | {"PATH": PATH, "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/root")},
            stdin=subprocess.DEVNULL,
            check=True,
        )
        (found,) = (root / SOURCE / "dist").glob("edgepose-*.tar")
        return archive, Path(shutil.move(found, made))


def pip_of_here() -> dict[str, str]:
    """What pip is told by variables, but for what only this machine's files hold."""
    told = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return {name: value for name, value in told.items() if name not in {"PIP_FIND_LINKS", "PIP_CERT"}} | {
        "PIP_CERT": f"/{AUTHORITIES}"
    }
