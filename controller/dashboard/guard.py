"""Who may see the page, and what a browser may do with it: before anything else sees a request.

Another site's page must not speak to this one with its reader's browser: the host must be ours, and an origin, where
the browser names one, the host. On any address but loopback nobody comes in without the token.
"""

import asyncio
import hmac
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
COOKIE: Final = "edgepose_session"
LOGIN: Final = "/login"
WRONG_S: Final = 1.0
"""How long a wrong token waits for its answer."""
POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        # The library's templates are compiled in the browser, which takes eval; inline scripts take the page's nonce.
        "script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
FORM: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>edgepose</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; font: 16px system-ui, sans-serif }
body { display: grid; place-items: center; min-height: 90vh; margin: 0 }
form { display: grid; gap: .7rem; width: min(20rem, 90vw) }
input, button { font: inherit; padding: .6rem }
</style></head>
<body><form method="post" action="/login"><h1>edgepose</h1>
<label for="token">Token</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password">
<button>Enter</button><p role="alert">{said}</p></form></body></html>
"""


class Guard:
    """ASGI middleware around everything, sockets too. ``token`` None lets everybody in who reaches the address."""

    def __init__(self, app: ASGIApp, *, host: str, token: str | None) -> None:
        self._app = app
        self._hosts = LOOPBACK | {host.lower()}
        self._token = token
        self._sessions: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refused = await self._refused(scope, receive)
        if refused is not None:
            await _refuse(refused, scope, receive, send)
            return
        await self._app(scope, receive, send if scope["type"] == "websocket" else _Sealed(send).send)

    async def _refused(self, scope: Scope, receive: Receive) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._token is None and (urlsplit(f"//{host}").hostname or "") not in self._hosts:
            return PlainTextResponse("this page is not known under that name", 403)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("another site may not speak to this page", 403)
        if self._token is None or self._known(headers):
            return None
        if scope["type"] == "http" and scope["path"] == LOGIN:
            return await self._login(Request(scope, receive))
        if scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(LOGIN, 303)
        return PlainTextResponse("no token", 401)

    def _known(self, headers: Headers) -> bool:
        assert self._token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given, self._token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and cookie.value in self._sessions

    async def _login(self, request: Request) -> Response:
        assert self._token is not None
        if request.method != "POST":
            return HTMLResponse(FORM.replace("{said}", ""))
        body = (await request.body())[:4096].decode("utf-8", "replace")
        if not _same(parse_qs(body).get("token", [""])[0], self._token):
            await asyncio.sleep(WRONG_S)
            return HTMLResponse(FORM.replace("{said}", "That is not the token."), 401)
        session = secrets.token_urlsafe(32)
        self._sessions.add(session)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, session, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


async def _refuse(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # before it was accepted: the browser sees a 403
        return
    _seal(answer.headers, secrets.token_urlsafe(16))
    await answer(scope, receive, send)


class _Sealed:
    """One answer on its way, with the headers that bind the browser; a page's own scripts get its nonce."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._nonce = secrets.token_urlsafe(16)
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        """Pass on what is no page; hold a page until it is whole."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            _seal(headers, self._nonce)
            if headers.get("content-type", "").startswith("text/html"):
                headers["cache-control"] = "no-store"
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = re.sub(rb"<script\b", f'<script nonce="{self._nonce}"'.encode(), self._body)
            MutableHeaders(scope=self._start)["content-length"] = str(len(body))
            await self._send(self._start)
            message = {"type": "http.response.body", "body": body}
            self._start = None
        await self._send(message)


def _seal(headers: MutableHeaders, nonce: str) -> None:
    headers["content-security-policy"] = POLICY.replace("{nonce}", nonce)
    headers["x-content-type-options"] = "nosniff"
    headers["x-frame-options"] = "DENY"
    headers["referrer-policy"] = "same-origin"  # without any, a browser calls its own form's origin "null"
    headers["cross-origin-opener-policy"] = "same-origin"
