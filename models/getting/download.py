"""One file over HTTP: resumed where it broke off, retried where that can help, accepted by its checksum only."""

import hashlib
import re
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests
from tenacity import Retrying, retry_if_exception_type

from agent.errors import FetchError
from agent.policies import DOWNLOAD_ATTEMPTS, RETRY_DOWNLOAD
from models.getting.progress import Reporter
from models.shelf.catalogue import File, Pin

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0
_CHUNK = 1 << 16


class _TransientError(FetchError):
    """Another attempt may succeed."""


def download(url: str, file: Pin, done: Path, reporter: Reporter) -> None:
    """Fetch ``url``, which gives ``file``, to ``done``.

    An unfinished download waits beside it as ``.part`` for the next attempt. Raises FetchError with the reason alone,
    and OSError when the disk is at fault.
    """
    attempts = Retrying(
        stop=DOWNLOAD_ATTEMPTS, wait=RETRY_DOWNLOAD, retry=retry_if_exception_type(_TransientError), reraise=True
    )
    with reporter.task(f"{_name(url, file)} from {urlsplit(url).hostname}", file.size) as advance:
        attempts(_attempt, url, file, done, advance)


def _name(url: str, file: Pin) -> str:
    return file.name if isinstance(file, File) else PurePosixPath(urlsplit(url).path).name


def _attempt(url: str, file: Pin, done: Path, advance: Callable[[int], None]) -> None:
    part = done.with_suffix(".part")
    start = part.stat().st_size if part.exists() else 0
    if start == 0 or start != file.size:
        try:
            _transfer(url, file, part, start, advance)
        except requests.RequestException as error:
            raise _TransientError(_reason(error)) from error
    try:
        accept(file, part, done)
    except FetchError as error:
        if start:
            raise _TransientError(f"resumed to a wrong file: {error}") from error
        raise


def _transfer(url: str, file: Pin, part: Path, start: int, advance: Callable[[int], None]) -> None:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    timeouts = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
    with requests.get(url, headers=headers, stream=True, timeout=timeouts) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
            raise _TransientError("cannot resume there")
        if response.status_code >= 400:
            transient = response.status_code >= 500 or response.status_code == requests.codes.too_many_requests
            raise (_TransientError if transient else FetchError)(f"{response.status_code} {response.reason}")
        resumes = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        written = start if resumes else 0
        with part.open("ab" if resumes else "wb") as handle:
            for chunk in response.iter_content(_CHUNK):
                handle.write(chunk)
                written += len(chunk)
                advance(written)
                if file.size is not None and written > file.size:
                    break
    if file.size is not None and written < file.size:
        raise _TransientError(f"ended after {written} of {file.size} bytes")


def accept(file: Pin, part: Path, done: Path) -> None:
    """Move ``part`` to ``done`` if it is ``file`` by its checksum; remove it and raise FetchError if not."""
    if not is_intact(file, part):
        size = part.stat().st_size
        part.unlink()
        wanted = f" of {file.size}" if file.size else ""
        raise FetchError(f"wrong {file.algorithm}: {size}{wanted} bytes that are not {file.checksum[:12]}…")
    part.replace(done)


def take_first(file: Pin, candidates: Iterable[Generator[bytes, None, None]], part: Path, done: Path) -> bool:
    """Write to ``done`` the first of ``candidates``, each in pieces, that is ``file``; ``part`` is for what is begun.

    No more of one is written than the file has bytes: an archive can hold more than a disk. False where there is no
    candidate. Raises FetchError with the reason for the last where none of them is ``file``, and OSError when the disk
    is at fault.
    """
    wrong = ""  # the reason alone: an error would keep alive what is open here
    for pieces in candidates:
        written = 0
        with part.open("wb") as handle, closing(pieces):
            for piece in pieces:
                handle.write(piece)
                written += len(piece)
                if file.size is not None and written > file.size:
                    break
        try:
            accept(file, part, done)
        except FetchError as error:
            wrong = str(error)
        else:
            return True
    if wrong:
        raise FetchError(wrong)
    return False


def is_intact(file: Pin, path: Path) -> bool:
    """Whether ``path`` has the checksum of ``file``, where one is known."""
    if not file.checksum:
        return True
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, file.hasher).hexdigest() == file.checksum


def _reason(error: requests.RequestException) -> str:
    text = str(error)
    if "NameResolutionError" in text or "Failed to resolve" in text:
        return "name cannot be resolved"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {CONNECT_TIMEOUT_S:g} s"
    if isinstance(error, requests.Timeout) or "Read timed out" in text:
        return f"no data for {READ_TIMEOUT_S:g} s"
    if broken := re.search(r"IncompleteRead\((\d+) bytes read, (\d+) more expected", text):
        return f"broke off after {broken[1]} bytes, {broken[2]} more expected"
    if system := re.search(r"\[Errno \d+\] ([A-Za-z ]+)|Errno\(\d+, '([A-Za-z ]+)'|Error\(\d+, '([A-Za-z ]+)'", text):
        return next(group for group in system.groups() if group).lower()
    return text.splitlines()[0][:200]
