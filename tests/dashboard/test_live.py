"""A canvas gets the newest frame when it has drawn the last, and never an old one."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.websockets import WebSocketDisconnect

from controller.dashboard import live


class Browser:
    """The browser's end: says what it is told to say."""

    def __init__(self, device: str = "gym-01") -> None:
        self.path_params = {"device": device}
        self.shown: asyncio.Queue[str] = asyncio.Queue()
        self.says: asyncio.Queue[str | None] = asyncio.Queue()
        self.closed: int | None = None

    async def accept(self) -> None:
        pass

    async def close(self, code: int) -> None:
        self.closed = code

    async def receive_text(self) -> str:
        said = await self.says.get()
        if said is None:
            raise WebSocketDisconnect(1001)
        return said

    async def send_text(self, text: str) -> None:
        await self.shown.put(text)


class Source:
    """The hub's end."""

    def __init__(self) -> None:
        self.take: Callable[[bytes], None] | None = None

    @contextmanager
    def looking(self, _device: str, take: Callable[[bytes], None]) -> Iterator[None]:
        self.take = take
        yield
        self.take = None


async def played() -> None:
    browser, source = Browser(), Source()
    serving = asyncio.create_task(live.serve(source, browser))  # type: ignore[arg-type]
    while source.take is None:
        await asyncio.sleep(0)
    for number in range(5):
        source.take(b"%d" % number)
    await browser.says.put("ready")
    assert await browser.shown.get() == "4"  # the first four are of the past
    for number in range(5, 200):
        source.take(b"%d" % number)
    for _ in range(50):
        await asyncio.sleep(0)
    assert browser.shown.empty()  # nothing before the last is drawn
    await browser.says.put("drawn")
    assert await browser.shown.get() == "199"
    await browser.says.put("drawn")
    for _ in range(50):
        await asyncio.sleep(0)
    assert browser.shown.empty()
    source.take(b"200")
    assert await browser.shown.get() == "200"
    await browser.says.put(None)
    await serving
    assert source.take is None  # nobody is fed who has gone


def test_a_slow_browser_skips_frames() -> None:
    """However many frames come meanwhile, one is sent, the newest; none is sent twice; a closed one is let go."""
    asyncio.run(played())


def test_a_name_that_is_none_has_no_socket() -> None:
    """What cannot be a device's id is refused before anything is looked at."""
    browser: Any = Browser("../etc")
    asyncio.run(live.serve(Source(), browser))  # type: ignore[arg-type]
    assert browser.closed == 1008
