"""Who gets past the guard: hosts, origins, tokens, and what a page may do."""

import re

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from controller.dashboard import guard
from controller.dashboard.guard import COOKIE, Guard

TOKEN = "0123456789abcdef-token"
PAGE = "<html><script>one()</script><script type='module'>two()</script></html>"


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


def client(token: str | None = None, host: str = "127.0.0.1", base: str = "http://127.0.0.1:8420") -> TestClient:
    app = Starlette(
        routes=[
            Route("/", lambda _request: HTMLResponse(PAGE)),
            Route("/data", lambda _request: PlainTextResponse("<script>")),
            WebSocketRoute("/live", echo),
        ]
    )
    app.add_middleware(Guard, host=host, token=token)
    return TestClient(app, base_url=base, follow_redirects=False)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "WRONG_S", 0.0)


def test_loopback_needs_nothing() -> None:
    """A browser on this machine sees the page and has its socket."""
    here = client()
    assert here.get("/", headers={"origin": "http://127.0.0.1:8420"}).status_code == 200
    with here.websocket_connect(
        "/live", headers={"host": "127.0.0.1:8420", "origin": "http://127.0.0.1:8420"}
    ) as socket:
        socket.send_text("a")
        assert socket.receive_text() == "a"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8420", "127.0.0.1.evil.example", ""])
def test_another_name_for_this_machine_is_refused(host: str) -> None:
    """A name of somebody else's that leads here, as in DNS rebinding, is not ours."""
    answer = client().get("/", headers={"host": host})
    assert (answer.status_code, PAGE in answer.text) == (403, False)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9", "http://localhost:8420"])
def test_another_sites_page_is_refused(origin: str) -> None:
    """Neither a request nor a socket is answered to a page of another origin, another port included."""
    here = client()
    assert here.post("/", headers={"origin": origin}).status_code == 403
    headers = {"host": "127.0.0.1:8420", "origin": origin}
    with pytest.raises(WebSocketDisconnect), here.websocket_connect("/live", headers=headers):
        pass


def test_elsewhere_the_token_is_asked_for() -> None:
    """Without it there is a form for people, a refusal for programs and no page; with it there is a session."""
    there = client(TOKEN, "0.0.0.0", "http://gym.example:8420")
    sent_away = there.get("/", headers={"accept": "text/html"})
    assert (sent_away.status_code, sent_away.headers["location"]) == (303, "/login")
    assert there.get("/data").status_code == 401
    with pytest.raises(WebSocketDisconnect), there.websocket_connect("/live"):
        pass
    form = there.get("/login")
    assert (form.status_code, 'type="password"' in form.text) == (200, True)
    assert there.post("/login", data={"token": TOKEN + "x"}).status_code == 401
    assert there.get("/data").status_code == 401
    entered = there.post("/login", data={"token": TOKEN})
    assert (entered.status_code, TOKEN in entered.headers["set-cookie"]) == (303, False)
    assert {"httponly", "samesite=strict"} <= set(entered.headers["set-cookie"].lower().split("; "))
    assert there.get("/").status_code == 200
    session = {"cookie": f"{COOKIE}={there.cookies[COOKIE]}"}
    with there.websocket_connect("/live", headers=session) as socket:
        socket.send_text("a")
        assert socket.receive_text() == "a"


GUESSES = [{"authorization": "Bearer "}, {"cookie": f"{COOKIE}=guess"}, {"cookie": "\x01;=,"}]


@pytest.mark.parametrize("headers", GUESSES)
def test_a_guess_is_no_token(headers: dict[str, str]) -> None:
    """Empty, guessed and broken ones are all refused; the right one opens for a program."""
    there = client(TOKEN, "0.0.0.0", "http://gym.example:8420")
    assert there.get("/data", headers=headers).status_code == 401
    assert there.get("/data", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_only_the_pages_own_scripts_run() -> None:
    """Each answer has a policy; a page's scripts have its nonce, another each time; a refusal has one too."""
    here = client()
    nonces = set()
    for _ in range(2):
        answer = here.get("/")
        (nonce,) = re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"])
        assert answer.text.count(f'<script nonce="{nonce}"') == 2
        assert "unsafe-inline" not in answer.headers["content-security-policy"].split("style-src")[0]
        nonces.add(nonce)
    assert len(nonces) == 2
    assert here.get("/data").text == "<script>"
    assert here.get("/", headers={"host": "evil"}).headers["x-frame-options"] == "DENY"
