"""Fetching over HTTP: what arrives, what breaks on the way, and what the cache looks like afterwards."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from tenacity import wait_none

from agent.errors import FetchError, ModelError
from models.getting import download
from models.getting.fetch import fetch, gather
from models.getting.progress import Reporter
from models.shelf.catalogue import ClipCard
from models.shelf.store import Store
from tests.models.samples import CONTENT, clip_card
from tests.models.server import Fault, FileServer, serving
from tests.system.process import Born, Process

QUIET = Reporter(Console(quiet=True))
PATH = "/a/sample.avi"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "RETRY_DOWNLOAD", wait_none())
    monkeypatch.setattr(download, "READ_TIMEOUT_S", 0.2)
    with serving() as server:
        server.files[PATH] = CONTENT
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def content(store: Store) -> bytes:
    store.verify("sample")
    return store.clip("sample").read_bytes()


def visible(store: Store) -> list[str]:
    """Everything a reader of the cache can see, and unfinished downloads."""
    files = sorted(str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file())
    return [path for path in files if not path.startswith(".locks")]


def test_second_fetch_needs_no_network(cache: Store) -> None:
    """What is installed and undamaged is left alone, without asking any server."""
    with serving() as server:
        server.files[PATH] = CONTENT
        card = clip_card(server.url(PATH))
        assert fetch(card, cache, reporter=QUIET)
    before = cache.clip("sample").stat().st_mtime_ns
    assert not fetch(card, cache, reporter=QUIET)
    assert content(cache) == CONTENT
    assert cache.clip("sample").stat().st_mtime_ns == before
    assert visible(cache) == ["sample/manifest.json", "sample/sample.avi"]


def test_files_for_a_box_without_a_network(cache: Store, tmp_path: Path) -> None:
    """The files a card is made of go to a folder, once, and from there to a box that reaches no server."""
    folder = tmp_path / "usb"
    with serving() as server:
        server.files[PATH] = CONTENT
        card = clip_card(server.url(PATH))
        (path,) = gather(card, cache, folder, reporter=QUIET)
    assert path.read_bytes() == CONTENT
    assert gather(card, cache, folder, reporter=QUIET) == [path]
    assert visible(cache) == []
    assert fetch(card, cache, origin=folder, reporter=QUIET)
    assert content(cache) == CONTENT


@pytest.mark.parametrize("fault", ["503", "truncated", "reset", "stalled", "short", "whole"])
def test_recovers_from(fault: Fault, server: FileServer, cache: Store) -> None:
    """A fault that passes costs one attempt, not the fetch."""
    server.faults[PATH] = ["truncated", fault] if fault == "whole" else [fault]
    assert fetch(clip_card(server.url(PATH)), cache, reporter=QUIET)
    assert content(cache) == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", ["truncated", "reset", "stalled", "short"])
def test_resumes_after(fault: Fault, server: FileServer, cache: Store) -> None:
    """The next attempt asks for the missing bytes only, and the bar does not start again."""
    server.faults[PATH] = [fault]
    fetch(clip_card(server.url(PATH)), cache, reporter=QUIET)
    (_, first), (_, second) = server.requests
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= len(CONTENT) // 2


REASONS: dict[Fault, str] = {
    "404": "404 Not Found",
    "503": "503 Service Unavailable",
    "truncated": "more expected",
    "reset": "connection reset by peer",
    "stalled": "no data for 0.2 s",
    "wrong": "wrong sha256",
}


@pytest.mark.parametrize("fault", list(REASONS))
def test_lasting_fault_is_one_clear_line(fault: Fault, server: FileServer, cache: Store) -> None:
    """A fault that lasts ends in one line that names file, place and reason; nothing is installed."""
    server.faults[PATH] = [fault] * 9
    with pytest.raises(FetchError) as caught:
        fetch(clip_card(server.url(PATH)), cache, reporter=QUIET)
    message = str(caught.value)
    assert "sample.avi" in message
    assert "127.0.0.1: " in message
    assert REASONS[fault] in message
    assert "\n" not in message
    assert "--from" in caught.value.hint
    assert cache.names() == ()
    with pytest.raises(ModelError, match="is not in"):
        cache.clip("sample")


def test_refused_connection_and_unknown_name(cache: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server and no such name are told apart, each beside the source it befell."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "RETRY_DOWNLOAD", wait_none())
    with serving() as gone:
        url = gone.url(PATH)
    with pytest.raises(FetchError) as caught:
        fetch(clip_card(url, "http://nowhere.invalid/x"), cache, reporter=QUIET)
    assert "127.0.0.1: connection refused; nowhere.invalid: name cannot be resolved" in str(caught.value)


@pytest.mark.parametrize("fault", ["404", "wrong", "reset"])
def test_next_source_takes_over(fault: Fault, server: FileServer, cache: Store) -> None:
    """Sources are tried in order until one gives the right bytes."""
    server.files["/b"] = CONTENT
    server.faults[PATH] = [fault] * 9
    fetch(clip_card(server.url(PATH), server.url("/b")), cache, reporter=QUIET)
    assert content(cache) == CONTENT
    assert server.requests[-1][0] == "/b"


def test_wrong_bytes_never_replace_an_installed_entry(server: FileServer, cache: Store) -> None:
    """A failing renewal leaves the entry that is there as it was."""
    fetch(clip_card(server.url(PATH)), cache, reporter=QUIET)
    server.faults[PATH] = ["wrong"] * 9
    renewed = clip_card(server.url(PATH), content=b"another edition", size=15)
    with pytest.raises(FetchError, match="wrong sha256"):
        fetch(renewed, cache, reporter=QUIET)
    assert content(cache) == CONTENT
    assert visible(cache) == ["sample/manifest.json", "sample/sample.avi"]


def test_later_fetch_resumes_an_earlier_one(server: FileServer, cache: Store) -> None:
    """What a failed fetch has got so far is not downloaded again."""
    server.faults[PATH] = ["truncated"] * 3
    card = clip_card(server.url(PATH))
    with pytest.raises(FetchError):
        fetch(card, cache, reporter=QUIET)
    server.requests.clear()
    fetch(card, cache, reporter=QUIET)
    assert [asked is not None for _, asked in server.requests] == [True]
    assert visible(cache) == ["sample/manifest.json", "sample/sample.avi"]


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_spoiled_partial_download_is_thrown_away(
    left: bytes, size: int | None, server: FileServer, cache: Store
) -> None:
    """Resuming onto garbage of any length ends in the right file all the same."""
    card = clip_card(server.url(PATH), size=size)
    (cache.downloads() / f"{card.files[0].checksum}.part").write_bytes(left)
    fetch(card, cache, reporter=QUIET)
    assert content(cache) == CONTENT


def test_damaged_entry_is_noticed_and_made_again(server: FileServer, cache: Store) -> None:
    """One changed byte is named by verify and cured by the next fetch."""
    card = clip_card(server.url(PATH))
    fetch(card, cache, reporter=QUIET)
    spoiled = bytearray(CONTENT)
    spoiled[1000] ^= 1
    cache.clip("sample").write_bytes(spoiled)
    with pytest.raises(ModelError, match=r"sample\.avi is damaged"):
        cache.verify("sample")
    assert fetch(card, cache, reporter=QUIET)
    assert content(cache) == CONTENT


def test_full_disk_is_one_clear_line(server: FileServer, cache: Store) -> None:
    """No space ends in one line with the folder and the cure, keeps nothing on the full disk, and a retry works."""
    card = clip_card(server.url(PATH))
    part = cache.downloads() / f"{card.files[0].checksum}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(FetchError) as caught:
        fetch(card, cache, reporter=QUIET)
    assert str(caught.value) == f"sample cannot be written to {cache.folder}: No space left on device"
    assert "make room" in caught.value.hint
    assert visible(cache) == []
    assert fetch(card, cache, reporter=QUIET)


def test_concurrent_fetches_download_once(server: FileServer, cache: Store) -> None:
    """Of several fetches of one name one works, the others wait for it and find it done."""
    card = clip_card(server.url(PATH))
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(fetch(card, cache, reporter=QUIET))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]
    assert len(server.requests) == 1
    assert content(cache) == CONTENT


RUN = """
import os, signal, sys
from pathlib import Path
from models.shelf import store
from models.shelf.catalogue import ClipCard
from models.getting.fetch import fetch

steps = int(sys.argv[3])
def killing(step):
    def wrapped(*args):
        global steps
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        steps -= 1
        return step(*args)
    return wrapped
store.sync = killing(store.sync)
Path.rename = killing(Path.rename)
Path.unlink = killing(Path.unlink)
card = ClipCard.model_validate_json(sys.argv[1])
fetch(card, store.Store(Path(sys.argv[2])))
"""


def start_fetch(card: ClipCard, store: Store, steps: int = -1) -> Process:
    """Fetch in another process, which kills itself before its durable step number ``steps``."""
    return Born([sys.executable, "-c", RUN, card.model_dump_json(), str(store.folder), str(steps)])


def test_killed_during_download(server: FileServer, cache: Store) -> None:
    """Kill -9 in the middle of a download leaves nothing installed, holds no lock, and the next fetch resumes."""
    server.faults[PATH] = ["stalled"]
    card = clip_card(server.url(PATH))
    with start_fetch(card, cache) as process:
        assert server.stalling.wait(30)
        process.signal(signal.SIGKILL)
    assert cache.names() == ()
    assert fetch(card, cache, reporter=QUIET)
    assert content(cache) == CONTENT


@pytest.mark.parametrize("damaged", [False, True])
def test_killed_at_any_step_of_the_installation(damaged: bool, server: FileServer, tmp_path: Path) -> None:
    """Wherever kill -9 strikes, the entry is whole or not there, and the next installation completes and tidies up."""
    card = clip_card(server.url(PATH))
    step = 0
    while True:
        cache = Store(tmp_path / str(step))
        if damaged:
            fetch(card, cache, reporter=QUIET)
            cache.clip("sample").write_bytes(b"damaged")
        with start_fetch(card, cache, step) as process:
            code = process.end()
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if cache.names() and not damaged:
            cache.verify("sample")
        installed_again = fetch(card, cache, reporter=QUIET)
        assert content(cache) == CONTENT
        if installed_again:
            assert visible(cache) == ["sample/manifest.json", "sample/sample.avi"]
        step += 1
    assert step >= 5


def test_read_only_cache_still_serves(server: FileServer, cache: Store) -> None:
    """A complete entry in a folder one may not write to is found to be there: no lock is taken."""
    card = clip_card(server.url(PATH))
    fetch(card, cache, reporter=QUIET)
    (cache.folder / ".locks" / "sample").unlink()
    assert not fetch(card, cache, reporter=QUIET)
    assert not os.path.lexists(cache.folder / ".locks" / "sample")
