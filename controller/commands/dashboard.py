"""`controller dashboard`: a page on this machine that shows every box, and changes what it runs."""

import errno
import socket
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import click

from agent.wire.strings import place
from controller.commands.access import address_of, signing_key
from controller.commands.options import FILE, Given, connection
from controller.errors import ControllerError, UsageError

TOKEN_MIN: Final = 16
PORT: Final = 8420


@click.command()
@click.option(
    "--listen",
    metavar="ADDRESS[:PORT]",
    default=f"127.0.0.1:{PORT}",
    show_default=True,
    help="Where the page is served. Any address but loopback needs --token-file.",
)
@click.option("--token-file", type=FILE, help="A file with the token that lets a browser in, at least 16 characters.")
@click.option("--read-only", is_flag=True, help="Show everything, change nothing.")
@connection()
@click.pass_obj
def dashboard(given: Given, listen: str, token_file: Path | None, *, read_only: bool) -> None:
    """Show every box on a page of this machine, and change what it runs.

    The page is for browsers on this machine, which need no password there. On another address whoever comes must know
    the token; put a server that speaks HTTPS before it.
    """
    host, port = _place(listen)
    token = _token(token_file)
    if token is None and not _is_loopback(host):
        raise UsageError(
            f"{host} is not loopback: whoever reaches it could command the boxes",
            hint="give --token-file, a file with a long random word: openssl rand -hex 32 > token",
        )
    if find_spec("nicegui") is None:
        raise ControllerError("NiceGUI is not installed", hint="in the clone: pip install '.[dashboard]'")
    _require_free(host, port)
    from controller.dashboard import server  # noqa: PLC0415 - it needs an extra, and is to say so itself

    with server.Hub(address_of(given), prefix=given.prefix, timeout_s=given.timeout_s, key=signing_key(given)) as hub:
        told = f"http://{place(host, port)}/" + (" (with the token)" if token else "")
        server.serve(hub, server.Listening(host, port, token, read_only), lambda: click.echo(told))


def _place(listen: str) -> tuple[str, int]:
    """Address and port. Raises :class:`UsageError`."""
    host, colon, port = listen.rpartition(":")
    if not colon or (host.count(":") and not host.startswith("[")):  # no port, or an IPv6 address without brackets
        host, port = listen, str(PORT)
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise UsageError(f"--listen {listen}: the port is not a number from 1 to 65535")
    return host.strip("[]") or "127.0.0.1", int(port)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _token(file: Path | None) -> str | None:
    """The token of a file. Raises :class:`UsageError` for one that could be guessed."""
    if file is None:
        return None
    try:
        token = file.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    if len(token) < TOKEN_MIN:
        raise UsageError(f"{file}: a token has at least {TOKEN_MIN} characters", hint="make one: openssl rand -hex 32")
    return token


def _require_free(host: str, port: int) -> None:
    """Raise :class:`ControllerError` where the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            hint = f"another --listen, such as 127.0.0.1:{port + 1}" if taken else "give an address of this machine"
            raise ControllerError(f"{place(host, port)}: {error.strerror}", hint=hint) from error
