"""The pictures of docs/dashboard.md, taken of the page: 1280 and 390 pixels wide, light and dark."""

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.wire.commands import Job, JobStatus
from agent.wire.messages import Severity, Status, ZoneMessage
from agent.wire.topics import Topics
from agent.wire.zones import Zone
from tests.broker import Broker
from tests.browser.rig import page_served
from tests.commander import Commander
from tests.dashboard import boxes

DOCS = Path(__file__).parents[2] / "docs"
BOX = "gym-01"
ZONES = {
    "weights": Zone(polygon=((0.05, 0.35), (0.5, 0.3), (0.52, 0.95), (0.08, 0.97))),
    "mirror": Zone(polygon=((0.84, 0.04), (0.98, 0.04), (0.98, 0.5), (0.84, 0.42)), mask=True),
}


@contextmanager
def a_morning(port: int) -> Iterator[None]:
    """A gym with six boxes, one of which has a history, a job and people who walk."""
    groups = ("gym",)
    boxes.appear(port, BOX, groups=groups, zones=ZONES)
    for number in (2, 3, 4):
        boxes.appear(port, f"gym-0{number}", groups=groups)
    lost = "the camera gives no picture: no route to host"
    boxes.appear(port, "gym-05", groups=groups, status=Status.CAMERA_LOST, last_error=lost)
    boxes.appear(port, "lobby-01", online=False)
    stop = threading.Event()
    with Commander(port, Topics(BOX)) as commander:
        topics, client = Topics(BOX), commander.client
        for name in ("weights",):
            told = ZoneMessage(device_id=BOX, sent_at=boxes.now(), zone=name, persons=2, ids=(1, 2))
            client.publish(topics.zone(name), told.encode(), 1, retain=True)
        job = Job(
            device_id=BOX,
            sent_at=boxes.now(),
            id="j1",
            command="benchmark",
            status=JobStatus.RUNNING,
            step="run 2 of 3: FP32 on CPU",
            progress=0.58,
            started_at=boxes.now(),
        )
        client.publish(topics.job("j1"), job.encode(), 1, retain=True)

        def walk() -> None:
            number = 0
            while not stop.wait(0.1):
                number += 1
                client.publish(topics.keypoints, boxes.keypoints(BOX, number), 0)

        walking = threading.Thread(target=walk, daemon=True)
        walking.start()
        yield
        stop.set()
        walking.join()


def history(port: int) -> None:
    """Summaries and events that come while the page listens."""
    with Commander(port, Topics(BOX)) as commander:
        for number in range(40):
            sent_at = boxes.now().timestamp() - 5 * (40 - number)
            summary = boxes.metrics(BOX, number, cpu_percent=55 + 12 * math.sin(number / 5))
            summary = summary.model_copy(update={"sent_at": boxes.now().fromtimestamp(sent_at, boxes.now().tzinfo)})
            commander.client.publish(Topics(BOX).metrics, summary.encode(), 1, retain=True)
        for code, text, severity in (
            ("camera.opened", "1280x720 from rtsp://cam/stream", Severity.INFO),
            ("zone.entered", "person 1 entered weights", Severity.INFO),
            ("camera.lost", "no picture for 2 s", Severity.WARNING),
            ("camera.back", "pictures again after 4.1 s", Severity.INFO),
            ("switch.done", "movenet-multipose FP32 runs on CPU", Severity.INFO),
        ):
            commander.client.publish(Topics(BOX).event, boxes.event(BOX, code, text, severity).encode(), 1)
        for other in ("gym-02", "gym-03", "gym-04"):
            for number in range(30):
                each = boxes.metrics(other, number * 3 + len(other))
                last = commander.client.publish(Topics(other).metrics, each.encode(), 1, retain=True)
        last.wait_for_publish(30)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_is_drawn(chromium: Any, broker: Broker, width: int, scheme: str) -> None:
    """Nothing is wider than the window at either width, in both schemes; with --write the pictures are kept."""
    with a_morning(broker.port), page_served(broker.port) as address:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(address)
        page.get_by_text("gym: 5 of 5 online").wait_for()
        history(broker.port)
        for name, place in (("fleet", "/"), ("box", f"/box/{BOX}")):
            page.goto(f"{address}{place}")
            if name == "box":
                page.wait_for_function(f"(window.edgeposeLive?.['{BOX}']?.frames ?? 0) >= 5")
                page.get_by_text("camera.back").wait_for()
                page.wait_for_function("document.querySelectorAll('.chart canvas').length >= 5")
            else:
                page.wait_for_function("document.querySelectorAll('polyline[points*=\" \"]').length >= 4")
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider <= 0, f"{name} is {wider} pixels wider than a window of {width}"
            dark = page.evaluate("document.body.classList.contains('body--dark')")
            assert dark is (scheme == "dark")
            if os.environ.get("BROWSER_WRITE"):
                file = DOCS / f"dashboard-{name}-{width}-{scheme}.png"
                page.screenshot(path=file, full_page=name == "box", animations="disabled")
        context.close()
