"""Two networks to switch between, in a store of their own."""

import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

from agent.poses.decoders import roles_of
from models.getting.fetch import fetch
from models.getting.own import add
from models.shelf import catalogue
from models.shelf.catalogue import Precision
from models.shelf.store import Store, models_dir
from tests.inference import stages

FIRST: Final = "movenet-multipose"
OPENPOSE: Final = "openpose-mobilenet-v2-small"
BESIDE: Final = Path(__file__).parents[2] / ".." / "shared" / "data" / "models" / f"{OPENPOSE}.pb"
RTMPOSE: Final = "rtmpose-s"
SMALL: Final = "movenet-small"


def two_networks(folder: Path, *, short: bool) -> dict[str, tuple[Precision, ...]]:
    """Fill ``folder`` with MoveNet, the sample clip and OpenPose; the networks, and the precisions each has.

    Where OpenPose's file is not at hand the second is MoveNet at another, fixed input size. MoveNet's INT8 variant is
    made where it is not there, which takes two minutes. When ``short``, the second is the small one, without INT8.
    """
    home = Store(models_dir())
    for name in (FIRST, "vtest"):
        fetch(catalogue.card(name), home)
        shutil.copytree(home.folder / name, folder / name, copy_function=os.link)
    store = Store(folder)
    second = OPENPOSE if not short and _openpose(home, store) else _small(store)
    if not short and "INT8" not in store.precisions(FIRST):
        _quantize(FIRST, store)
    return {name: store.precisions(name) for name in (FIRST, second)}


def one_and_two_stages(folder: Path, *, short: bool) -> dict[str, tuple[Precision, ...]]:
    """Fill ``folder`` with MoveNet, the sample clip and a network of two stages; the two, and the precisions of each.

    The second is RTMPose, when ``short`` one of the same form that is computed in no time.
    """
    home = Store(models_dir())
    names = [FIRST, "vtest"]
    if not short:
        fetch(catalogue.card(RTMPOSE), home)
        names += [RTMPOSE, home.card(RTMPOSE).detector or ""]
    for name in names:
        fetch(catalogue.card(name), home)
        shutil.copytree(home.folder / name, folder / name, copy_function=os.link)
    store = Store(folder)
    if short:
        exports = folder.with_name("exports")
        exports.mkdir()
        stages.install(exports, store)
    return {name: store.precisions(name) for name in (FIRST, stages.POSE if short else RTMPOSE)}


def _openpose(home: Store, store: Store) -> bool:
    if OPENPOSE in home.names():
        shutil.copytree(home.folder / OPENPOSE, store.folder / OPENPOSE, copy_function=os.link)
    elif BESIDE.is_file():
        fetch(catalogue.card(OPENPOSE), store, origin=BESIDE)
    return OPENPOSE in store.names()


def _small(store: Store) -> str:
    card = (files("models") / "cards" / f"{FIRST}.toml").read_text(encoding="utf-8")
    head = card.split("[[files]]")[0].replace(f'name = "{FIRST}"', f'name = "{SMALL}"', 1)
    head = head.replace("height = 256", "height = 192").replace("width = 256", "width = 192")
    variants = {precision: store.variant(FIRST, precision) for precision in store.precisions(FIRST)}
    origin = store.folder / ".own"
    lines = [f'{precision} = "{precision}/{path.name}"' for precision, path in variants.items()]
    for precision, path in variants.items():
        shutil.copytree(path.parent, origin / precision, dirs_exist_ok=True)
    toml = origin / "card.toml"
    toml.write_text(head + '[conversion]\nkind = "own"\n[conversion.network]\n' + "\n".join(lines) + "\n")
    return add(toml, origin, store, roles_of).name


def _quantize(name: str, store: Store) -> None:
    options = ["--clip", "vtest", "--progress", "json", "--models-dir", str(store.folder)]
    subprocess.run([sys.executable, "-m", "models.cli", "quantize", name, *options], check=True, capture_output=True)
