"""Skeletons as they move: from the hub to a canvas, one frame at a time.

The browser says when it has drawn a frame; only then it gets another, the newest there is. So a slow browser, a hidden
tab or a thin line skips frames, and none waits anywhere.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from nicegui.element import Element
from starlette.websockets import WebSocket, WebSocketDisconnect

from agent.wire.topics import DEVICE_ID
from controller.dashboard.hub import Hub

PATH: Final = "/live/{device}"


class Live(Element, component="live.js"):
    """The canvas of one box, with its zones, on which a zone can be drawn: mouse, finger or keyboard."""

    def __init__(self, device: str, bones: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self._props["device"] = device
        self._props["bones"] = [list(bone) for bone in bones]
        self._props["zones"] = {}

    def show_zones(self, zones: dict[str, Any]) -> None:
        """Outline these, each ``{"polygon": [[x, y], ...], "mask": bool, "people": str}``."""
        if zones != self._props["zones"]:
            self._props["zones"] = zones
            self.update()

    def show_picture(self, address: str) -> None:
        """Put a picture, as a data address, behind the skeletons."""
        self.run_method("showPicture", address)

    def draw_zone(self) -> None:
        """Let a zone be drawn; its end comes as the event ``drawn`` with ``polygon``."""
        self.run_method("startZone")


async def serve(hub: Hub, socket: WebSocket) -> None:
    """Feed one canvas until it goes."""
    device = socket.path_params["device"]
    if not DEVICE_ID.fullmatch(device):
        await socket.close(1008)
        return
    await socket.accept()
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    newest: list[bytes] = []

    def take(payload: bytes) -> None:
        def put() -> None:
            newest[:] = [payload]
            news.set()

        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(put)

    with hub.looking(device, take), suppress(WebSocketDisconnect, RuntimeError):
        await _feed(socket, newest, news)


async def _feed(socket: WebSocket, newest: list[bytes], news: asyncio.Event) -> None:
    """Send the newest whenever the last was drawn. Raises WebSocketDisconnect at the end."""
    ready = asyncio.ensure_future(socket.receive_text())  # its first word is that it is there
    fresh = asyncio.ensure_future(news.wait())
    try:
        while True:
            await ready
            ready = asyncio.ensure_future(socket.receive_text())
            await asyncio.wait({ready, fresh}, return_when=asyncio.FIRST_COMPLETED)
            if not fresh.done():
                continue  # it has gone, or said the same twice
            news.clear()
            fresh = asyncio.ensure_future(news.wait())
            await socket.send_text(newest[-1].decode())
    finally:
        ready.cancel()
        fresh.cancel()
