"""The page's server: the guard around everything, the pages, the sockets and the reports of studies."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from nicegui import app, ui
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.websockets import WebSocket

from agent.wire.commands import Job
from controller.dashboard import live
from controller.dashboard.box import BoxPage
from controller.dashboard.fleet import FleetPage
from controller.dashboard.guard import Guard
from controller.dashboard.hub import Hub
from controller.errors import ControllerError
from controller.report.files import study_in
from controller.report.page import as_html

__all__ = ["Hub", "Listening", "serve"]


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the page is served, and to whom."""

    host: str
    port: int
    token: str | None
    read_only: bool


def serve(hub: Hub, listening: Listening, listens: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; once in a process, because the library's application is one.

    ``listens`` is called when browsers can come.
    """
    logging.getLogger("nicegui").setLevel(logging.WARNING)

    @ui.page("/", title="edgepose")
    def fleet() -> None:
        FleetPage(hub, listening.read_only).build()

    @ui.page("/box/{device}", title="edgepose")
    def box(device: str) -> None:
        BoxPage(hub, device, listening.read_only).build()

    @app.websocket(live.PATH)
    async def feed(socket: WebSocket) -> None:
        await live.serve(hub, socket)

    @app.get("/report/{device}/{job}")
    def report(_request: Request, device: str, job: str) -> Response:
        found = hub.boxes[device].jobs.get(job) if device in hub.boxes else None
        return _report(found)

    app.on_startup(listens)
    app.add_middleware(Guard, host=listening.host, token=listening.token)
    ui.run(
        host=listening.host,
        port=listening.port,
        title="edgepose",
        dark=None,
        reload=False,
        show=False,
        tailwind=False,
        show_welcome_message=False,
        uvicorn_logging_level="warning",
        reconnect_timeout=5.0,
        ws_max_size=1 << 20,
    )


def _report(job: Job | None) -> Response:
    study = study_in(job) if job is not None else None
    if study is None:
        return PlainTextResponse("no such study", 404)
    try:
        return HTMLResponse(as_html(study))
    except ControllerError as error:
        return PlainTextResponse(f"{error}\n{error.hint}\n", 501)
