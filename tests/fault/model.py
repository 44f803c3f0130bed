"""Networks whose files change: none of it is served."""

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from structlog.testing import capture_logs

from agent.errors import ModelError
from agent.inference.cache import CONTENTS, Contents, KeptNetwork
from agent.inference.checked import build_checked
from agent.inference.devices import open_core
from agent.inference.engine import Engine
from agent.inference.spec import EngineSpec
from agent.poses.decoders import decoder_for
from models.shelf import golden
from models.shelf.catalogue import NetworkCard
from models.shelf.store import Store, models_dir
from tests import broken_networks
from tests.fault.table import Row, Stage

MODEL: Final = "movenet-multipose"
SIDE: Final = 64
SPEC: Final = EngineSpec(MODEL, "CPU", "FP32", SIDE, SIDE)
CORE: Final = open_core({})


def flip(path: Path, chance: random.Random) -> int:
    """Turn one bit of a file over; its number, to turn it back with."""
    bit = chance.randrange(path.stat().st_size * 8)
    turn(path, bit)
    return bit


def turn(path: Path, bit: int) -> None:
    """Turn a bit over."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0] ^ (1 << bit % 8)
        file.seek(bit // 8)
        file.write(bytes([byte]))


def progress(stage: Stage, number: int, found: str) -> None:
    """Tell now and then how far it is."""
    if (number + 1) % 100 == 0:
        stage.say(f"{number + 1} flips, {found}")


def engine(store: Store, name: str, cache: Path | None) -> Engine:
    """As the agent builds it."""
    card = store.card(name)
    roles = decoder_for(card, person_score_min=0.2, persons_max=20).roles
    return build_checked(CORE, store, card, replace(SPEC, model=name), roles, cache)


def answers(found: Engine, card: NetworkCard) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """What it computes of the golden picture."""
    slot = found.acquire(10)
    assert slot is not None
    try:
        slot.input[:] = golden.golden_input(card, SIDE, SIDE)
        slot.start()
        slot.wait()
        return [output.copy() for output in slot.outputs]
    finally:
        found.release(slot)


def weights(stage: Stage) -> float:
    """Engines that were built although a bit of the network's files had flipped."""
    folder, chance, served = stage.room(), random.Random(1), 0
    shutil.copytree(Store(models_dir()).folder / MODEL, folder / MODEL)
    store = Store(folder)
    xml = store.variant(MODEL, "FP32")
    files = [xml, xml.with_suffix(".bin")]
    engine(store, MODEL, None).close()
    for number in range(stage.scale.flips):
        path = chance.choice(files)
        bit = flip(path, chance)
        served += not refused(store, path)
        turn(path, bit)
        progress(stage, number, f"{served} served")
    engine(store, MODEL, None).close()
    return float(served)


def refused(store: Store, damaged: Path) -> bool:
    """Whether no engine is built of it; the error has to name the file and the cure."""
    try:
        engine(store, MODEL, None).close()
    except ModelError as error:
        return str(damaged) in str(error) and "models fetch" in error.hint
    return False


def cache(stage: Stage) -> float:
    """Engines out of a cache one bit of which had flipped, that compute anything else than before."""
    folder, chance, served = stage.room(), random.Random(2), 0
    name = broken_networks.sound(folder / "networks")
    store, kept = Store(folder / "networks"), folder / "cache"
    card = store.card(name)
    with engine(store, name, kept) as first:
        right = answers(first, card)
    taken = 0
    for number in range(stage.scale.flips):
        files = sorted(path for path in kept.rglob("*") if path.is_file())
        flip(chance.choice(files), chance)
        with capture_logs(), engine(store, name, kept) as found:
            taken += found.facts.from_cache
            same = all(np.array_equal(one, other) for one, other in zip(answers(found, card), right, strict=True))
            served += not same
        progress(stage, number, f"{served} served, {taken} taken from the cache all the same")
    return float(served)


def compiled(stage: Stage) -> float:
    """Compiled forms of the real network that are taken for sound although one of their bits had flipped."""
    folder, whole, chance, sound = stage.room(), stage.room() / "whole", random.Random(3), 0
    engine(Store(models_dir()), MODEL, folder).close()
    (contents,) = folder.rglob(CONTENTS)
    place = contents.parent
    kept = KeptNetwork(folder, SPEC, Contents.model_validate_json(contents.read_bytes()).identity)
    assert kept.folder == place
    assert kept.sound(), "what was just compiled is not sound"
    shutil.copytree(place, whole)
    for number in range(stage.scale.flips):
        flip(chance.choice(sorted(place.rglob("*.blob"))), chance)
        with capture_logs():
            sound += kept.sound() is not None
        shutil.copytree(whole, place, dirs_exist_ok=True)
        progress(stage, number, f"{sound} taken for sound")
    return float(sound)


CHECKED = "tests/inference/test_checked.py"
ROWS = (
    Row(
        "model.weights",
        "Of 1,000 bit flips in the network's files none is served: the error names the file and how to get it again",
        0.0,
        "served",
        weights,
        (
            f"{CHECKED}::test_files_are_verified_before_anything_is_compiled",
            "tests/system/test_faults.py::test_truncated_weights",
        ),
    ),
    Row(
        "model.cache",
        "Of 1,000 bit flips in anything the cache holds none changes an answer: it is compiled again (a small network)",
        0.0,
        "served",
        cache,
        (
            f"{CHECKED}::test_one_bit_of_a_compiled_network_is_noticed",
            f"{CHECKED}::test_a_damaged_reference_is_computed_again",
        ),
    ),
    Row(
        "model.compiled",
        "Of 1,000 bit flips in the compiled form of the real network none is given to OpenVINO",
        0.0,
        "served",
        compiled,
        (f"{CHECKED}::test_one_bit_of_a_compiled_network_is_noticed",),
    ),
)
