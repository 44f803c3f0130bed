"""What an owner brings to the box of a trial: the bundle, bundles that are not in order, a clone with wheels for it."""

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.system.process import ROOT

BROKEN: Final = {"deaf": "agent/app.py", "blind": "agent/inference/engine.py"}
"""A version that does not come up, and one whose network does not answer: the module that ends the agent."""
WHEELS: Final = "/srv/bundle/wheels /srv/wheels"
"""Where pip finds in the box what it would fetch from the network: what the agent needs, what building it needs."""


def stage(root: Path, bundle: Path) -> None:
    """Put everything below /srv of the root, and somebody's home beside it."""
    srv = root / "srv"
    store = Store(models_dir())
    fetch(catalogue.card("vtest"), store)
    shutil.copy(store.clip("vtest"), srv / "clip.avi")
    shutil.copy(ROOT / "systemd" / "install.sh", srv)
    shutil.copy(bundle, srv / "bundle.tar")
    with tarfile.open(bundle) as tar:
        tar.extractall(srv / "unpacked", filter="data")
    (inner,) = (srv / "unpacked").iterdir()
    inner.rename(srv / "bundle")
    for name, module in BROKEN.items():
        broken(srv / "bundle", srv / f"bundle-{name}", module)
    copy(srv / "bundle", srv / "bundle-damaged")
    replace(srv / "bundle-damaged/agent.toml", b"# cut off\n")
    clone(srv / "clone")
    build_requirements(srv / "wheels")
    (root / "home/owner").mkdir()


def broken(bundle: Path, folder: Path, module: str) -> None:
    """A bundle whose agent ends as soon as it imports a module; everything else about it is in order."""
    copy(bundle, folder)
    (wheel,) = (folder / "wheels").glob("edgepose-*.whl")
    rewritten = io.BytesIO()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(rewritten, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content + b"\nraise RuntimeError('broken on purpose')\n" if name == module else content)
    replace(wheel, rewritten.getvalue())
    sums = folder / "SHA256SUMS"
    names = [line.split("  ", 1)[1] for line in sums.read_text().splitlines()]
    told = (f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    replace(sums, "".join(told).encode())


def copy(bundle: Path, folder: Path) -> None:
    """A copy that shares its files with the bundle until :func:`replace`."""
    subprocess.run(["cp", "-al", str(bundle), str(folder)], check=True)


def replace(path: Path, content: bytes) -> None:
    """Another file in place of this one, which others may share."""
    path.unlink()
    path.write_bytes(content)


def clone(folder: Path) -> None:
    """What a clone of this working tree holds."""
    folder.mkdir()
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], stdout=subprocess.PIPE, check=True)
    packed = subprocess.run(
        ["tar", "-C", str(ROOT), "--null", "--files-from=-", "-c"],
        input=listed.stdout,
        stdout=subprocess.PIPE,
        check=True,
    )
    subprocess.run(["tar", "-C", str(folder), "--no-same-owner", "-x"], input=packed.stdout, check=True)


def build_requirements(folder: Path) -> None:
    """The wheels that building ours takes, fetched beforehand: the box has no network to ask."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "download", "--only-binary", ":all:", "--dest", str(folder), *wanted], check=True)
