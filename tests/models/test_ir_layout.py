"""human-pose-estimation-0001: ready-made IR in three precisions, from a server with the publisher's layout."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from rich.console import Console

from agent.errors import ModelError
from models.getting import convert
from models.getting.fetch import fetch
from models.getting.progress import Reporter
from models.shelf import catalogue, golden
from models.shelf.catalogue import IrConversion, NetworkCard, Precision
from models.shelf.store import Store
from tests.models.server import FileServer, serving

QUIET = Reporter(Console(quiet=True))
CARD = catalogue.network("human-pose-estimation-0001")
HEADS = {head.tensor: head.channels for head in CARD.decoder.heads.values()}


def write_ir(xml: Path, heads: dict[str, int], *, half: bool) -> None:
    """Save a network with the real one's input and ``heads`` (tensor name to channels) at an eighth of its size."""
    data = ops.parameter([1, 3, 256, 456], np.float32, name="data")
    data.output(0).get_tensor().set_names({"data"})
    small = ops.avg_pool(data, [8, 8], [0, 0], [0, 0], [8, 8], False)
    results = []
    for number, (name, channels) in enumerate(heads.items()):
        weights = np.random.default_rng(number).normal(size=(channels, 3, 1, 1)).astype(np.float32)
        head = ops.convolution(small, weights, [1, 1], [0, 0], [0, 0], [1, 1])
        head.output(0).get_tensor().set_names({name})
        results.append(ops.result(head))
    xml.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(ov.Model(results, [data], "stand-in"), xml, compress_to_fp16=half)


def published(folder: Path, server: FileServer, heads: dict[str, int]) -> NetworkCard:
    """Serve a stand-in under the real paths; return the real card with its addresses moved to the server."""
    for precision in ("FP32", "FP16", "FP16-INT8"):
        write_ir(folder / precision / f"{CARD.name}.xml", heads, half=precision != "FP32")
    files = []
    for file in CARD.files:
        content = (folder / file.name).read_bytes()
        path = urlsplit(file.sources[0]).path
        server.files[path] = content
        changes = {"size": len(content), "sha384": hashlib.sha384(content).hexdigest(), "sources": (server.url(path),)}
        files.append(file.model_copy(update=changes))
    return CARD.model_copy(update={"files": tuple(files)})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        yield server


def test_three_precisions_are_laid_out(server: FileServer, tmp_path: Path) -> None:
    """Six files pinned by SHA-384 become three variants that run, with a golden answer."""
    store = Store(tmp_path / "cache")
    assert fetch(published(tmp_path / "published", server, HEADS), store, reporter=QUIET)
    assert store.precisions(CARD.name) == ("FP32", "FP16", "INT8")
    answer = golden.load(store.golden(CARD.name))
    assert set(answer) == {"affinity", "heatmaps"}
    for precision in store.precisions(CARD.name):
        outputs = convert.run(CARD, store.variant(CARD.name, precision), golden.golden_input(CARD))
        assert outputs["affinity"].shape == (1, 38, 32, 57)
        assert outputs["heatmaps"].shape == (1, 19, 32, 57)
        assert golden.deviation(outputs, answer) < 0.01
    store.verify(CARD.name)


@pytest.mark.parametrize(
    ("heads", "reason"),
    [
        ({"Mconv7_stage2_L1": 38, "other": 19}, "no output Mconv7_stage2_L2"),
        ({"Mconv7_stage2_L1": 19, "Mconv7_stage2_L2": 38}, "has 19 channels, the card says 38"),
    ],
)
def test_network_that_is_not_what_its_card_says(
    heads: dict[str, int], reason: str, server: FileServer, tmp_path: Path
) -> None:
    """Outputs of another name or swapped channels are refused, and nothing is installed."""
    store = Store(tmp_path / "cache")
    with pytest.raises(ModelError, match=reason):
        fetch(published(tmp_path / "published", server, heads), store, reporter=QUIET)
    assert store.names() == ()


def test_card_pins_what_the_publisher_published() -> None:
    """Each precision is an .xml and a .bin at the release's address, each pinned by its own SHA-384."""
    assert isinstance(CARD.conversion, IrConversion)
    base = "/repositories/open_model_zoo/2022.1/models_bin/3/human-pose-estimation-0001/"
    expected: dict[Precision, str] = {"FP32": "FP32", "FP16": "FP16", "INT8": "FP16-INT8"}
    assert {p: xml.split("/")[0] for p, xml in CARD.conversion.xml.items()} == expected
    assert all(urlsplit(file.sources[0]).path == base + file.name for file in CARD.files)
    assert len({file.sha384 for file in CARD.files} - {None}) == 6
