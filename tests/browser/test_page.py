"""The page as a person uses it: seen, switched, drawn on, and safe."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.wire.commands import Job, JobStatus, ReplyStatus
from agent.wire.messages import State, Status
from agent.wire.topics import Topics
from tests.broker import Broker
from tests.browser.rig import page_served
from tests.commander import Commander
from tests.dashboard import boxes
from tests.system.process import agent

TOPICS = Topics("demo")
MARKUP = '<img src=x onerror="window.broken=1"><script>window.broken=2</script>{{window.broken=3}}'
WAIT_MS = 45_000


@contextmanager
def opened(chromium: Any, address: str, **settings: Any) -> Iterator[Any]:
    """A page that must say nothing on its console but what the browser says of the net."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, **settings)
    context.set_default_timeout(WAIT_MS)
    page, said = context.new_page(), []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.goto(address)
    yield page
    context.close()
    # The last is the browser's refusal of a script that a test puts in.
    known = ("Failed to load resource", "Executing inline script violates")
    assert not [line for line in said if not line.startswith(known)], said


def frames(page: Any, device: str = "demo") -> int:
    return int(page.evaluate(f"window.edgeposeLive?.['{device}']?.frames ?? 0"))


def wait_frames(page: Any, count: int, device: str = "demo") -> None:
    page.wait_for_function(f"(window.edgeposeLive?.['{device}']?.frames ?? 0) >= {count}")


def runs(payload: bytes) -> tuple[str, ...]:
    """The devices that compute."""
    effective = State.decode(payload).effective
    return effective.execution_devices if effective else ()


def test_a_box_is_seen_and_changed(chromium: Any, broker: Broker) -> None:
    """From the fleet to the box, whose people move; it is switched, paused, given a zone, and its job is cancelled."""
    with (
        Commander(broker.port, TOPICS) as commander,
        agent(broker.port, EDGEPOSE_METRICS__WINDOW_S="1", EDGEPOSE_OUTPUT__SNAPSHOTS="true"),
        page_served(broker.port) as address,
        opened(chromium, address) as page,
    ):
        commander.wait(lambda seen: seen.topic == TOPICS.metrics, timeout_s=60)
        page.get_by_role("listitem").filter(has_text="demo").filter(has_text="running").click()
        wait_frames(page, 3)
        page.wait_for_function("document.querySelector('canvas').ariaLabel.includes('in view')")

        page.get_by_label("Device", exact=True).click()
        page.get_by_role("option", name="SIMCPU", exact=True).click()
        page.get_by_role("button", name="Set Device").click()
        page.get_by_text("set-device: done").wait_for()
        assert page.get_by_role("cell", name="before").count() or page.get_by_text("before").count()
        commander.wait(lambda seen: seen.topic == TOPICS.state and runs(bytes(seen.payload)) == ("SIMCPU",))

        page.get_by_role("button", name="Picture").click()
        page.get_by_text("snapshot: done").wait_for()

        page.get_by_label("Device", exact=True).click()
        page.get_by_role("option", name="HETERO:SIMCPU,CPU", exact=True).click()
        # Somebody else is quicker: what was chosen here is still what Set sends.
        assert commander.ask("set-device", device="CPU").status is ReplyStatus.SUCCEEDED
        page.get_by_text("CPU, FP32", exact=True).wait_for()
        page.get_by_role("button", name="Set Device").click()
        page.get_by_text("set-device: done").wait_for()
        page.get_by_label("Layers (HETERO)").click()
        page.get_by_role("option", name="fallback", exact=True).click()
        page.get_by_role("button", name="Plan").click()
        page.get_by_text("plan-affinity: done").wait_for()
        page.get_by_text("bytes moved").wait_for()

        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Resume").wait_for()
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("button", name="Pause").wait_for()

        page.get_by_label("Name of zone").fill("hall")
        page.get_by_role("button", name="Draw").click()
        page.get_by_text("0 corners").wait_for()
        canvas = page.locator("canvas").first
        size = canvas.bounding_box()
        for x, y in ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9), (0.1, 0.1)):
            canvas.click(position={"x": x * size["width"], "y": y * size["height"]})
        page.get_by_role("button", name="Take away zone hall").wait_for()
        (corner, *_rest) = State.decode(commander.payloads(TOPICS.state)[-1]).zones["hall"].polygon
        assert corner == pytest.approx((0.1, 0.1), abs=0.01)

        page.get_by_label("Name of zone").fill("desk")
        page.get_by_role("button", name="Draw").click()
        page.get_by_text("0 corners").wait_for()
        for key in (" ", "Shift+ArrowRight", " ", "Shift+ArrowDown", " ", "Enter"):
            page.keyboard.press(key)
        page.get_by_role("button", name="Take away zone desk").wait_for()
        page.get_by_role("button", name="Take away zone hall").click()
        page.get_by_role("button", name="Take away zone hall").wait_for(state="detached")

        page.get_by_role("button", name="Benchmark").click()
        page.get_by_role("button", name="Cancel").click()
        commander.wait(
            lambda seen: (
                seen.topic.startswith(TOPICS.job(""))
                and bool(seen.payload)
                and Job.decode(bytes(seen.payload)).status is JobStatus.CANCELLED
            )
        )
        page.get_by_text("benchmark · cancelled").wait_for()


def test_names_from_the_broker_are_text(chromium: Any, broker: Broker) -> None:
    """Markup in every name, error, step and event is shown as it stands, and runs nowhere."""
    boxes.hostile(broker.port, "evil-box", MARKUP)
    with page_served(broker.port) as address, opened(chromium, address) as page:
        page.get_by_text(MARKUP).first.wait_for()
        page.goto(f"{address}/box/evil-box")
        page.get_by_text(MARKUP).first.wait_for()
        event = boxes.event("evil-box", "agent.started", MARKUP)
        message = event.model_copy(update={"code": MARKUP}).encode()
        with Commander(broker.port, Topics("evil-box")) as commander:
            commander.client.publish(Topics("evil-box").event, message, 1)
            page.get_by_text(f"{MARKUP}: {MARKUP}").wait_for()
            payload = json.loads(boxes.keypoints("evil-box", 1))
            payload["model"] = MARKUP
            payload["persons"][0]["id"] = 10**15
            commander.client.publish(Topics("evil-box").keypoints, json.dumps(payload), 0)
            wait_frames(page, 1, "evil-box")
        page.get_by_label("Network", exact=True).click()
        page.get_by_role("option").first.wait_for()
        assert page.evaluate("window.broken") is None
        assert page.locator("img[src=x]").count() == 0
        assert (
            page.evaluate(
                "new Promise(done => { const i = document.createElement('script');"
                "i.textContent = 'window.broken = 4'; document.body.append(i); setTimeout(done, 50) })"
                ".then(() => window.broken)"
            )
            is None
        )


def test_without_the_token_there_is_nothing(chromium: Any, broker: Broker, tmp_path: Path) -> None:
    """A wrong token leads nowhere, the right one to the page; no secret reaches the browser."""
    (file := tmp_path / "token").write_text("a-long-word-nobody-guesses\n")
    boxes.appear(broker.port, "gym-01")
    with page_served(broker.port, "--token-file", str(file), "--read-only") as address:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(f"{address}/box/gym-01")
        page.get_by_label("Token").fill("a-wrong-word")
        page.get_by_role("button").click()
        page.get_by_text("That is not the token").wait_for()
        assert page.get_by_text("gym-01").count() == 0
        page.get_by_label("Token").fill("a-long-word-nobody-guesses")
        page.get_by_role("button").click()
        page.get_by_role("listitem").filter(has_text="gym-01").click()
        page.get_by_text("movenet-multipose").first.wait_for()
        assert page.get_by_role("button", name="Pause").count() == 0
        assert "nobody-guesses" not in page.content()
        assert page.evaluate("document.cookie") == ""
        context.close()


def test_what_is_wrong_stands_first(chromium: Any, broker: Broker) -> None:
    """A box that fails and one that is gone come before those that run; a group says how many of it are there."""
    boxes.appear(broker.port, "gym-01", groups=("gym",))
    boxes.appear(broker.port, "gym-02", groups=("gym",), status=Status.CAMERA_LOST)
    boxes.appear(broker.port, "gym-03", online=False, groups=("gym",))
    with page_served(broker.port) as address, opened(chromium, address) as page:
        page.get_by_text("gym: 2 of 3 online").wait_for()
        order = "Array.from(document.querySelectorAll('[data-device]'), e => e.dataset.device).join()"
        page.wait_for_function(f"{order} === 'gym-02,gym-03,gym-01'")
        assert page.get_by_role("listitem").nth(0).get_by_text("camera lost").count() == 1


def test_every_control_is_reached_by_key_and_has_a_name(chromium: Any, broker: Broker) -> None:
    """Whatever can be pressed or filled in has an accessible name and takes the focus in turn."""
    boxes.appear(broker.port, "gym-01")
    with page_served(broker.port) as address, opened(chromium, f"{address}/box/gym-01") as page:
        page.get_by_role("button", name="Pause").wait_for()
        for role in ("button", "link", "textbox", "combobox", "checkbox"):
            for control in page.get_by_role(role).all():
                assert control.evaluate("e => e.ariaLabel || e.labels?.length || e.textContent.trim()"), role
        reached = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent.trim()"))
        assert {"Set Device", "Set Network", "Pause", "Benchmark", "Name of zone"} <= reached


def test_a_hidden_or_slow_page_queues_nothing(chromium: Any, broker: Broker) -> None:
    """While the browser is busy for a second, frames are skipped: the next it draws is the newest."""
    boxes.appear(broker.port, "gym-01")
    stop = threading.Event()
    with Commander(broker.port, Topics("gym-01")) as commander:

        def walk() -> None:
            number = 0
            while not stop.wait(0.02):
                number += 1
                commander.client.publish(Topics("gym-01").keypoints, boxes.keypoints("gym-01", number), 0)

        walking = threading.Thread(target=walk, daemon=True)
        walking.start()
        with page_served(broker.port) as address, opened(chromium, f"{address}/box/gym-01") as page:
            wait_frames(page, 5, "gym-01")
            busy = "const end = performance.now() + 1000; while (performance.now() < end);"
            drawn, skipped = "window.edgeposeLive['gym-01'].frames", "window.edgeposeLive['gym-01'].skipped"
            before = page.evaluate(f"[{drawn}, {skipped}]")
            page.evaluate(f"(() => {{ {busy} }})()")
            page.wait_for_function(f"{skipped} >= {before[1] + 20}")
            assert page.evaluate(drawn) >= before[0]
        stop.set()
        walking.join()
