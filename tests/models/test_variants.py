"""Variants that were made here, beside what was fetched."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import ModelError
from agent.poses.decoders import roles_of
from models.getting.fetch import fetch
from models.getting.own import add
from models.shelf.manifest import Agreement, Certificate
from models.shelf.store import MANIFEST, Store
from tests.models import quantizable

NAME = "movenet-multipose"


@pytest.fixture
def mine(store: Store, tmp_path: Path) -> Store:
    """A copy of the installed network without what else was made of it."""
    shutil.copytree(store.network(NAME), tmp_path / "mine" / NAME)
    mine = Store(tmp_path / "mine")
    manifest = mine.manifest(NAME)
    for path in manifest.made_here():
        (mine.folder / NAME / path).unlink()
    kept = manifest.model_copy(
        update={
            "files": {path: file for path, file in manifest.files.items() if path not in manifest.made_here()},
            "variants": {p: xml for p, xml in manifest.variants.items() if p not in manifest.certificates},
            "certificates": {},
        }
    )
    (mine.folder / NAME / MANIFEST).write_text(kept.model_dump_json(), encoding="utf-8")
    return mine


def certificate(store: Store, name: str = NAME) -> Certificate:
    """One of the FP32 that is installed."""
    return Certificate(
        agreement=Agreement(frames=10, people=30, missed=0, invented=0, mean_oks=0.97),
        height=288,
        width=384,
        calibration_frames=60,
        layers=50,
        layers_quantized=40,
        speedup=2.2,
        speedup_over_fp16=None,
        rest_precision="BF16",
        fp32_sha256=store.manifest(name).weights_sha256("FP32"),
        nncf_version="3.4.0",
        openvino_version="2026.4",
        edgepose_version="0.1.0",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def put(store: Store, content: bytes, name: str = NAME) -> Path:
    """Add an INT8 variant of which only the bytes matter."""
    with store.building(name) as scratch:
        built = scratch / "INT8"
        built.mkdir()
        (built / f"{name}.xml").write_bytes(content)
        (built / f"{name}.bin").write_bytes(content * 2)
        return store.add_variant(name, "INT8", built, certificate(store, name))


def files(store: Store, name: str = NAME) -> set[str]:
    """What lies in the entry's folder, the manifest left out."""
    entry = store.folder / name
    return {str(path.relative_to(entry)) for path in entry.rglob("*") if path.is_file()} - {MANIFEST}


def test_a_variant_is_part_of_the_entry(mine: Store) -> None:
    """It is listed, verified, certified, and nothing else changes."""
    before = mine.manifest(NAME)
    xml = put(mine, b"one")
    assert mine.variant(NAME, "INT8") == xml
    assert xml.read_bytes() == b"one"
    mine.verify(NAME)
    assert mine.precisions(NAME) == ("FP32", "FP16", "INT8")
    assert mine.certificate(NAME, "INT8") == certificate(mine)
    after = mine.manifest(NAME)
    assert files(mine) == set(after.files)
    assert {path: after.files[path] for path in before.files} == before.files


@pytest.mark.parametrize("second", [b"two", b"one"], ids=["another", "the same"])
def test_a_variant_is_replaced(mine: Store, second: bytes) -> None:
    """The new one is there and nothing of the old; whoever has the old one open goes on reading it."""
    first = put(mine, b"one")
    with first.open("rb") as reader:
        xml = put(mine, second)
        assert reader.read() == b"one"
    assert xml.read_bytes() == second
    mine.verify(NAME)
    assert files(mine) == set(mine.manifest(NAME).files)


def test_whatever_fails_the_old_one_stays(mine: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every step that forces something onto the disk, an end there leaves an entry that verifies, old or new."""
    put(mine, b"one")
    real = os.fsync
    for steps in range(20):
        left = steps

        def ending(descriptor: int) -> None:
            nonlocal left
            if left == 0:
                raise OSError("pulled the plug")
            left -= 1
            real(descriptor)

        monkeypatch.setattr(os, "fsync", ending)
        try:
            put(mine, f"number {steps}".encode())
        except OSError:
            mine.verify(NAME)
            assert mine.variant(NAME, "INT8").read_bytes() in {b"one", f"number {steps}".encode()}
            monkeypatch.setattr(os, "fsync", real)
            put(mine, b"one")
            assert files(mine) == set(mine.manifest(NAME).files)
        else:
            break
    assert 4 < steps < 19
    assert mine.variant(NAME, "INT8").read_bytes() == f"number {steps}".encode()


def test_a_damaged_variant_is_no_reason_to_fetch(mine: Store) -> None:
    """It is told with its own cure, and what was fetched is still good."""
    put(mine, b"one").write_bytes(b"eno")
    with pytest.raises(ModelError, match="is damaged") as caught:
        mine.verify(NAME)
    assert caught.value.hint == f"models quantize {NAME} makes it again"
    assert not fetch(mine.card(NAME), mine)
    mine.variant(NAME, "INT8").unlink()
    with pytest.raises(ModelError, match="is missing") as caught:
        mine.verify(NAME)
    assert caught.value.hint == f"models quantize {NAME} makes it again"


def test_a_damaged_network_says_fetch(mine: Store) -> None:
    """What was fetched is told with the other cure."""
    put(mine, b"one")
    mine.variant(NAME, "FP16").write_bytes(b"")
    with pytest.raises(ModelError, match="is damaged") as caught:
        mine.verify(NAME)
    assert caught.value.hint == f"models fetch {NAME} makes it again"


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda _: None, True),
        (lambda store: store.variant(quantizable.NAME, "FP16").write_bytes(b""), True),
        (lambda store: store.variant(quantizable.NAME, "INT8").write_bytes(b""), False),
    ],
    ids=["sound", "FP16 damaged", "INT8 damaged"],
)
def test_installing_again_keeps_what_was_made_of_the_same(
    tmp_path: Path, damage: Callable[[Store], None], *, kept: bool
) -> None:
    """A repair keeps the variant that was made here; not if that is damaged itself."""
    name = quantizable.NAME
    store = quantizable.install(tmp_path)
    put(store, b"one", name)
    damage(store)
    quantizable.install(tmp_path)
    store.verify(name)
    assert ("INT8" in store.precisions(name)) is kept
    assert files(store, name) == set(store.manifest(name).files)
    if kept:
        assert store.certificate(name, "INT8") == certificate(store, name)
        assert store.variant(name, "INT8").read_bytes() == b"one"


def test_another_network_drops_it(tmp_path: Path) -> None:
    """An INT8 variant of other weights is none of these."""
    name = quantizable.NAME
    store = quantizable.install(tmp_path)
    put(store, b"one", name)
    quantizable.write(tmp_path / "export" / "yolo11n-pose.xml", gain=0.9)
    add(quantizable.card(tmp_path), tmp_path / "export", store, roles_of)
    assert store.precisions(name) == ("FP32", "FP16")
    assert store.certificate(name, "INT8") is None
    assert files(store, name) == set(store.manifest(name).files)
