"""Two networks to switch between, in a store of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from models import catalogue
from models.fetch import fetch
from models.own import add
from models.store import Store, models_dir

FIRST: Final = "movenet-multipose"
OPENPOSE: Final = "openpose-mobilenet-v2-small"
BESIDE: Final = Path(__file__).parents[2] / ".." / "shared" / "data" / "models" / f"{OPENPOSE}.pb"
SMALL: Final = "movenet-small"


def two_networks(folder: Path, *, int8: bool) -> tuple[tuple[str, str], tuple[str, ...]]:
    """Fill ``folder`` with MoveNet, the sample clip and OpenPose; the names, and the precisions both have.

    Where OpenPose's file is not at hand the second is MoveNet at another, fixed input size. INT8 variants are made on
    the spot, which takes minutes.
    """
    home = Store(models_dir())
    for name in (FIRST, "vtest"):
        fetch(catalogue.card(name), home)
        shutil.copytree(home.folder / name, folder / name, copy_function=os.link)
    store = Store(folder)
    second = OPENPOSE if _openpose(home, store) else _small(store)
    for name in (FIRST, second) if int8 else ():
        _quantize(name, store)
    both = set(store.precisions(FIRST)) & set(store.precisions(second))
    return (FIRST, second), tuple(precision for precision in catalogue.PRECISIONS if precision in both)


def _openpose(home: Store, store: Store) -> bool:
    if OPENPOSE in home.names():
        shutil.copytree(home.folder / OPENPOSE, store.folder / OPENPOSE, copy_function=os.link)
    elif BESIDE.is_file():
        fetch(catalogue.card(OPENPOSE), store, origin=BESIDE)
    return OPENPOSE in store.names()


def _small(store: Store) -> str:
    card = (Path(catalogue.__file__).parent / "cards" / f"{FIRST}.toml").read_text(encoding="utf-8")
    head = card.split("[[files]]")[0].replace(f'name = "{FIRST}"', f'name = "{SMALL}"', 1)
    head = head.replace("height = 256", "height = 192").replace("width = 256", "width = 192")
    files = {precision: store.variant(FIRST, precision) for precision in store.precisions(FIRST)}
    origin = store.folder / ".own"
    lines = [f'{precision} = "{precision}/{path.name}"' for precision, path in files.items()]
    for precision, path in files.items():
        shutil.copytree(path.parent, origin / precision, dirs_exist_ok=True)
    toml = origin / "card.toml"
    toml.write_text(head + '[conversion]\nkind = "own"\n[conversion.network]\n' + "\n".join(lines) + "\n")
    return add(toml, origin, store).name


def _quantize(name: str, store: Store) -> None:
    """Accurate or not: it is to run."""
    size = ["--long-side", "256"] if store.card(name).input.resizable else []
    options = ["--clip", "vtest", "--frames", "60", "--force", "--progress", "json", "--models-dir", str(store.folder)]
    command = [sys.executable, "-m", "models.cli", "quantize", name, *options, *size]
    # It fails by its exit code where the variant is not accurate enough, and installs it all the same.
    subprocess.run(command, check=False, capture_output=True)
    assert "INT8" in store.precisions(name), f"no INT8 variant of {name} was made"
