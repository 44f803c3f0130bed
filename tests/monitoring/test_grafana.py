"""Every panel of the dashboard answers something, asked of a real Prometheus that scrapes a real agent."""

import json
import shutil
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.wire.topics import Topics
from models.shelf.store import Store
from tests.broker import Broker, free_port
from tests.commander import Commander
from tests.system.process import Process, agent

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "configs" / "grafana" / "edgepose.json").read_text(encoding="utf-8"))
QUERIES = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
TOPICS = Topics("demo")
HALL = {"polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]}


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """Debian's Prometheus with our configuration, which scrapes a port each second; yields its address."""
    text = (ROOT / "configs" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:9464", f"127.0.0.1:{target}").replace("15s", "1s")
    (folder / "prometheus.yml").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "configs" / "prometheus" / "rules.yml", folder)
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with Process(["prometheus", *options, f"--web.listen-address={address}"]):
        yield f"http://{address}"


def asked(address: str, query: str) -> Any:
    """What Prometheus answers; nothing while it is still starting."""
    place = f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(place, timeout=10) as answer:
            return json.loads(answer.read())["data"]["result"]
    except urllib.error.HTTPError as refused:
        if refused.code != 503:
            raise AssertionError(f"{query}: {refused.read().decode()}") from refused
    except OSError:
        pass
    return []


@pytest.mark.slow
def test_every_panel_answers_something(store: Store, tmp_path: Path) -> None:
    """No panel is empty on a box that runs with a zone, and none asks what Prometheus does not understand."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed: Debian's package prometheus brings it")
    port, pause = free_port(), threading.Event()
    variables = {"EDGEPOSE_PROMETHEUS__ENABLED": "true", "EDGEPOSE_PROMETHEUS__PORT": str(port)}
    with (
        Broker(tmp_path) as broker,
        Commander(broker.port, TOPICS) as commander,
        agent(broker.port, EDGEPOSE_METRICS__WINDOW_S="1", **variables),
        prometheus(tmp_path, port) as address,
    ):
        commander.wait(lambda seen: seen.topic == TOPICS.metrics, timeout_s=60)
        commander.ask("set-zones", zones={"hall": HALL})
        missing = dict(QUERIES)
        for _ in range(400):
            for title, query in list(missing.items()):
                wanted = query.replace("$device", ".*").replace("$__rate_interval", "1m")
                if asked(address, wanted):
                    del missing[title]
            if not missing:
                break
            pause.wait(0.1)
        assert not missing
        (people, *_more) = asked(address, 'edgepose_zone_persons_max{zone="hall"}')
        assert people["metric"]["device_id"] == "demo"


def test_the_panels_stand_side_by_side() -> None:
    """Each has a title and an id of its own, and covers no other's place."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    covered: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & covered, panel["title"]
        assert all(x < 24 for x, _y in cells)
        covered |= cells
