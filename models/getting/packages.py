"""Files inside archives: of a package, fetched by its own client, or behind an address.

npm for ``npm:``, pip for ``pypi:``, apt-get for ``deb:`` sources; ``https://.../a.zip#member`` for the rest.
"""

import errno
import io
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from agent.errors import FetchError
from models.getting.download import download, is_intact, take_first
from models.getting.progress import Reporter
from models.shelf.catalogue import File, Pin

_TIMEOUT_S = 1200.0
_POLL_S = 0.2
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
ZIPS = (".zip", ".whl")
_PIECE = 1 << 16
_SAID_MAX = 120
"""Characters of what a reader of archives says: some quote the archive."""
_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,  # bz2, gzip, a place in the file that is none
    RuntimeError,  # encrypted; NotImplementedError is one: another method of compression
    UnicodeError,
    OverflowError,
)
"""What Python's readers raise for a damaged archive, when they open it or at any piece of a file inside."""
_ROOM = 1 << 16
"""Bytes; a disk that has less left is full."""
_NOISE = ("A complete log of this run", "code E")


class UnreadableError(FetchError):
    """A file or archive is there and cannot be read."""


class Packages:
    """Packages and archives fetched once each into ``scratch``; ``pins`` tells what is known of them beforehand."""

    def __init__(self, scratch: Path, pins: Mapping[str, Pin], reporter: Reporter) -> None:
        self._scratch = scratch
        self._pins = pins
        self._reporter = reporter
        self._archives: dict[str, Path] = {}

    def extract(self, source: str, file: File, done: Path) -> None:
        """Write the file that ``source`` names to ``done``. Raises FetchError with the reason alone."""
        package, member = split(source)
        if package not in self._archives:
            self._archives[package] = self._fetch(package)
        archive = self._archives[package]
        wanted = f"package/{member}" if package.startswith("npm:") else member
        found = (content for name, content in members(archive) if name == wanted)
        if not take_first(file, found, self._scratch / file.checksum, done):
            raise FetchError(f"{archive.name} holds no {member}")

    def _fetch(self, package: str) -> Path:
        """Fetch a package or archive. Raises FetchError, also where it has another checksum than its pin."""
        scheme, name = package.split(":", 1)
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        pin = self._pins.get(package, Pin())
        match scheme:
            case "npm":
                # A cache of its own keeps 150 MB from staying behind in the user's.
                self._run(package, folder, ["npm", "pack", name, "--cache", str(folder / "cache"), *_NPM_OPTIONS])
                found = list(folder.glob("*.tgz"))
            case "pypi":
                self._run(package, folder, [*_pip(), "download", name.replace("@", "=="), *_PIP_OPTIONS])
                found = list(folder.glob("*.whl"))
            case "deb":
                self._download_deb(package, name, folder)
                found = list(folder.glob("*.deb"))
            case _:
                found = [folder / name.rsplit("/", 1)[1]]
                download(package, pin, found[0], self._reporter)
        if not found:
            raise FetchError(f"the client fetched nothing for {name}")
        if not is_intact(pin, found[0]):
            size = found[0].stat().st_size
            raise FetchError(f"{found[0].name} has a wrong {pin.algorithm}: {size} bytes, not {pin.checksum[:12]}…")
        return found[0]

    def _download_deb(self, package: str, name: str, folder: Path) -> None:
        command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root"]
        try:
            self._run(package, folder, [*command, "download", name])
        except FetchError:
            # Empty or outdated package lists; ours are private, so this needs no root and changes nothing.
            command += _private_lists(folder)
            self._run("deb: package lists", folder, [*command, "update"])
            self._run(package, folder, [*command, "download", name])

    def _run(self, package: str, folder: Path, command: list[str]) -> None:
        program = _program(command[0])
        name = "pip" if command[0] == sys.executable else command[0]
        task = self._reporter.task(f"{package} with {name}", self._pins.get(package, Pin()).size)
        with task as advance, _client([program, *command[1:]], folder) as client:
            for _ in range(int(_TIMEOUT_S / _POLL_S)):
                try:
                    client.wait(_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    advance(_size(folder))
            else:
                raise FetchError(f"{name} did not end within {_TIMEOUT_S:g} s")
        if client.returncode:
            if shutil.disk_usage(folder).free < _ROOM:  # of which its log says nothing: it could not be written either
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            said = (folder / "client.log").read_text(errors="replace")
            raise FetchError(f"{name} failed: {_complaint(said) or f'exit status {client.returncode}'}")


_NPM_OPTIONS = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
# The package is unpacked, not installed: what it needs, and which Python, is nothing to us. A source distribution
# would run code of its own to tell what it is: wheels alone.
_PIP_OPTIONS = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--dest", "."]
_PIP_OPTIONS += ["--no-cache-dir", "--no-input", "--quiet", "--disable-pip-version-check"]


def _pip() -> list[str]:
    """This interpreter's pip, else any: an environment may come without one."""
    return [sys.executable, "-m", "pip"] if find_spec("pip") else ["pip"]


def split(source: str) -> tuple[str, str]:
    """``npm:@scope/name@1.0/a/b.bin`` to (``npm:@scope/name@1.0``, ``a/b.bin``); ``deb:name/a/b`` likewise.

    Of an address the fragment is the file inside: ``https://host/a.zip#b.bin`` to (``https://host/a.zip``, ``b.bin``).
    """
    if source.startswith("http"):
        archive, _, member = source.partition("#")
        return archive, member
    steps = source.split("/")
    count = 2 if source.startswith("npm:@") else 1
    return "/".join(steps[:count]), "/".join(steps[count:])


def members(archive: Path) -> Iterator[tuple[str, Generator[bytes, None, None]]]:
    """Yield every regular file of a zip, wheel, tarball or Debian package: its name, and its bytes in pieces.

    Raises UnreadableError, be it in the middle of a file.
    """
    with _reading(archive):
        if archive.suffix.lower() in ZIPS:
            with zipfile.ZipFile(archive) as opened:
                for info in opened.infolist():
                    if not info.is_dir():
                        yield info.filename, pieces(archive, partial(opened.open, info))
            return
        with _opened(archive) as tar:
            for entry in tar:
                if entry.isreg():
                    yield entry.name.removeprefix("./"), pieces(archive, partial(tar.extractfile, entry))


def pieces(path: Path, opening: Callable[[], IO[bytes] | None]) -> Generator[bytes, None, None]:
    """Yield what ``opening`` opens of the file or archive at ``path``, piece by piece. Raises UnreadableError."""
    with _reading(path), opening() or io.BytesIO() as content:
        while piece := content.read(_PIECE):
            yield piece


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what reading raises into one line; whoever takes the pieces writes them outside."""
    try:
        yield
    except _UNREADABLE as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0]
        if "encrypted" in said:
            said = "it is encrypted"
        told = "".join(each if each.isprintable() else "?" for each in said[:_SAID_MAX]).rstrip(": ")
        what = "read" if isinstance(error, OSError) else "unpacked"
        raise UnreadableError(f"{path.name} cannot be {what}: {told or 'it ends too early'}") from error


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    if archive.suffix != ".deb":
        with tarfile.open(archive) as tar:
            yield tar
        return
    command = [_program("dpkg-deb"), "--fsys-tarfile", str(archive)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacking,  # noqa: S603 - our words
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as tar,
    ):
        yield tar


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise FetchError(f"{name} is not installed")
    return path


@contextmanager
def _client(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the client in a process group of its own that is gone at the end, whatever happens."""
    # What it puts aside goes where its progress is seen and nothing stays behind.
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "TMPDIR": str(folder)}
    with (folder / "client.log").open("wb") as log, ExitStack() as parts:
        with _interrupts_put_off():
            process = subprocess.Popen(  # noqa: S603 - our own words, and a package name from a card
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            parts.callback(_end, process)
        yield process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _interrupts_put_off() -> Iterator[None]:
    """Take Ctrl-C and its like at the end: amid Popen it would leave behind a client that nobody knows of yet."""
    if threading.current_thread() is not threading.main_thread():  # the only one that is interrupted
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _private_lists(folder: Path) -> list[str]:
    for needed in ("state/lists/partial", "cache/archives/partial"):
        (folder / needed).mkdir(parents=True)
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::lists": folder / "state/lists",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": folder / "cache",
        "Dir::Cache::archives": folder / "cache/archives",
        "Acquire::Languages": "none",
        "Acquire::http::Timeout": "20",
        "APT::Update::Error-Mode": "any",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _complaint(said: str) -> str:
    """Join the client's own first two lines of complaint."""
    lines = [line.strip() for line in said.splitlines()]
    errors = [line.split(" ", 2)[-1] for line in lines if line.startswith(("npm error", "npm ERR!"))]
    errors += [line.removeprefix("E:").strip() for line in lines if line.startswith("E:")]
    errors += [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    told = [error for error in errors if error and not error.startswith(_NOISE)]
    return ", ".join(told[:2])[:300]


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - five times a second
            except FileNotFoundError:
                continue  # a temporary file of the client
    return total
