"""Published to drawn, and what the page's program and the browser keep: ten boxes at ten frames a second.

    python -m tests.browser.measure [--minutes 1]

One page shows a box, another the fleet. A frame's time is from the moment it was published to the moment its skeletons
were on the canvas, both read from this machine's clock.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from agent.wire.topics import Topics
from tests.broker import Broker, free_port
from tests.browser.rig import chromium, library
from tests.commander import Commander
from tests.dashboard import boxes
from tests.system.process import Process

BOXES = tuple(f"gym-{number:02}" for number in range(1, 11))
FPS = 10.0
PEOPLE = 4
WINDOW_S = 5.0


def publish_all(port: int, stop: threading.Event) -> None:
    """Ten boxes, each frame at its own moment, and a summary every five seconds."""
    with Commander(port, Topics(BOXES[0])) as commander:
        began, number = time.monotonic(), 0
        while not stop.is_set():
            device = BOXES[number % len(BOXES)]
            topics = Topics(device)
            commander.client.publish(topics.keypoints, boxes.keypoints(device, number // len(BOXES), PEOPLE), 0)
            if number % round(len(BOXES) * FPS * WINDOW_S) < len(BOXES):
                summary = boxes.metrics(device, number // len(BOXES))
                commander.client.publish(topics.metrics, summary.encode(), 1, retain=True)
            number += 1
            stop.wait(max(0.0, began + number / (FPS * len(BOXES)) - time.monotonic()))


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    minutes = parser.parse_args().minutes
    sys.path.append(str(library()))
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker, sync_playwright() as playwright:
        for device in BOXES:
            boxes.appear(broker.port, device, groups=("gym",))
        publishing = threading.Thread(target=publish_all, args=(broker.port, stop), daemon=True)
        publishing.start()
        listen = f"127.0.0.1:{free_port()}"
        start = [
            sys.executable,
            "-c",
            "from controller.cli import main; main()",
            "--broker",
            f"127.0.0.1:{broker.port}",
        ]
        with Process([*start, "dashboard", "--listen", listen]) as served:
            served.wait_out("http://")
            program = psutil.Process(served.popen.pid)
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            fleet = browser.new_page()
            fleet.goto(f"http://{listen}/")
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.goto(f"http://{listen}/box/{BOXES[0]}")
            page.wait_for_function(f"(window.edgeposeLive?.['{BOXES[0]}']?.frames ?? 0) >= 20")
            page.evaluate(f"window.edgeposeLive['{BOXES[0]}'].latencies.length = 0")
            cpu_began, began = sum(program.cpu_times()[:2]), time.monotonic()
            latencies: list[float] = []
            for quarter in range(max(1, round(minutes * 4))):
                page.wait_for_timeout(15_000)
                found = page.evaluate(f"window.edgeposeLive['{BOXES[0]}'].latencies.splice(0)")
                latencies += found
                heap = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
                rss = program.memory_info().rss / 2**20
                print(f"{(quarter + 1) * 15:5d} s: {len(found)} frames, server {rss:.1f} MB, page's heap {heap:.1f} MB")
            cpu = (sum(program.cpu_times()[:2]) - cpu_began) / (time.monotonic() - began)
            skipped = page.evaluate(f"window.edgeposeLive['{BOXES[0]}'].skipped")
            browser.close()
            stop.set()
            publishing.join()
            served.popen.terminate()
    told = ", ".join(f"p{share * 100:.0f} {percentile(latencies, share):.1f} ms" for share in (0.5, 0.95, 0.99))
    print(f"{len(latencies)} frames drawn, {skipped} skipped; published to drawn: {told}")
    print(
        f"server: {100 * cpu:.0f} % of a core; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
