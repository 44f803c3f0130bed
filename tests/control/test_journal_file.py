"""Promises of the journal's file."""

import errno
import hashlib
import os
import resource
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.control import journal
from agent.control.journal import FILE_BYTES, Journal, Record, StoredReply, remember
from tests.control.records import ATTEMPTS, CPU, NOW, RECORDS, attempt, job
from tests.system.process import passed

OLD = Record(version=1, base=CPU, settings=CPU, attempt=attempt(), jobs=(job("j1"),))
NEW = remember(OLD.model_copy(update={"version": 2}), "a1", '{"status": "succeeded"}', NOW)
NOBODY = 65534


@pytest.fixture
def state(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state" / "hall.json")


def names(state: Journal) -> list[str]:
    return sorted(path.name for path in state.path.parent.iterdir())


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return Journal(tmp_path_factory.mktemp("any") / "hall.json")


@given(record=RECORDS)
def test_what_is_saved_is_loaded(anywhere: Journal, record: Record) -> None:
    """Any record comes back equal, every field of it."""
    anywhere.save(record)
    assert anywhere.load() == record
    assert names(anywhere) == ["hall.json"]


@given(attempt=ATTEMPTS)
def test_addresses_come_back(anywhere: Journal, attempt: journal.Attempt) -> None:
    """The topic and the correlation data of an unanswered command come back byte for byte."""
    anywhere.save(OLD.model_copy(update={"attempt": attempt}))
    loaded = anywhere.load()
    assert loaded is not None
    assert loaded.attempt is not None
    assert loaded.attempt.reply_to == attempt.reply_to


def test_nothing_there(state: Journal) -> None:
    """Without a file, or without its folder, there is no record and nothing to complain about."""
    with capture_logs() as logged:
        assert state.load() is None
    assert not logged
    assert not state.path.parent.exists()


def test_for_its_owner_alone(state: Journal) -> None:
    """The file and the folder made for it are the agent's alone: replies may name what is secret."""
    state.save(OLD)
    state.save(NEW)
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.path.parent.stat().st_mode) == 0o700


def assert_damaged(state: Journal, document: bytes) -> None:
    state.path.write_bytes(document)
    with capture_logs() as logged:
        assert state.load() is None
    (entry,) = logged
    assert (entry["event"], entry["log_level"], entry["file"]) == ("state.moved_aside", "warning", str(state.path))
    assert Path(entry["moved_to"]).read_bytes() == document
    assert not state.path.exists()


def test_cut_short(state: Journal) -> None:
    """A file that ends too early, wherever, is no record; it is kept aside."""
    state.save(NEW)
    whole = state.path.read_bytes()
    for length in range(len(whole)):
        assert_damaged(state, whole[:length])


def test_flipped_bits(state: Journal) -> None:
    """No single bit can change without being noticed."""
    state.save(NEW)
    whole = state.path.read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        assert_damaged(state, bytes(flipped))


@given(document=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes(anywhere: Journal, document: bytes) -> None:
    """Whatever a file holds, it is a record or it is damaged; nothing is raised."""
    assert_damaged(anywhere, document)


def sealed(body: bytes, number: int = 1) -> bytes:
    """A document whose checksum is right, whatever it says."""
    checksum = hashlib.sha256(body).hexdigest()
    return b'{"format":%d,"sha256":"%b","record":%b}\n' % (number, checksum.encode(), body)


BODY = NEW.model_dump_json(by_alias=True).encode()


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (BODY, 2),
        (BODY.replace(b'"version":2', b'"version":"2"'), 1),
        (BODY.replace(b'"version":2', b'"version":-2'), 1),
        (BODY.replace(b'"version":2', b'"version":null'), 1),
        (BODY.replace(b'"paused":false', b'"paused":0', 1), 1),
        (BODY.replace(b'"precision":"FP32"', b'"precision":"FP64"', 1), 1),
        (BODY.replace(b'"version":2', b'"version":2,"later":1'), 1),
        (BODY.replace(b'"paused":false', b'"paused":false,"later":1', 1), 1),
        (BODY.replace(b'"version":2,', b""), 1),
        (b'{"version":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 1),
        (b"{}", 1),
    ],
)
def test_another_shape(state: Journal, body: bytes, number: int) -> None:
    """A later format, an unknown key, a wrong type and a missing one: moved aside whole, never half believed."""
    state.save(NEW)
    assert state.path.read_bytes() == sealed(BODY)
    assert_damaged(state, sealed(body, number))


def test_a_giant(state: Journal) -> None:
    """A file that is far too large is not read into memory, and a record that would make one is not written."""
    state.save(OLD)
    huge = OLD.model_copy(update={"replies": (StoredReply(id="a", payload="x" * FILE_BYTES, at=NOW),)})
    with pytest.raises(OSError, match="at most") as raised:
        state.save(huge)
    assert raised.value.errno == errno.EFBIG
    assert state.load() == OLD
    os.truncate(state.path, 1 << 40)  # a hole: nothing of it is on the disk
    assert state.load() is None


def test_only_the_last_damaged_files_are_kept(state: Journal) -> None:
    """However often it is damaged, three files stay aside, and those of other agents are not touched."""
    state.save(OLD)
    other = state.path.with_name("hall-2.json.damaged-1")
    other.write_bytes(b"")
    for number in range(5):
        assert_damaged(state, b"%d" % number)
    kept = [path.read_bytes() for path in sorted(state.path.parent.glob("hall.json.damaged-*"))]
    assert kept == [b"2", b"3", b"4"]
    assert other.exists()


def test_a_file_that_cannot_be_moved(state: Journal) -> None:
    """A folder in the place of the file is moved aside too; where that cannot be done either, nothing is raised."""
    state.path.mkdir(parents=True)
    assert state.load() is None
    state.save(OLD)
    assert state.load() == OLD
    below_a_file = Journal(state.path / "hall.json")
    with capture_logs() as logged:
        assert below_a_file.load() is None
    assert [(entry["event"], entry["moved_to"]) for entry in logged] == [("state.moved_aside", None)]


def test_what_could_not_be_loaded_is_not_saved(state: Journal) -> None:
    """A record somebody made with values it cannot have is refused before it takes the place of a good one."""
    state.save(OLD)
    with pytest.raises(ValueError, match="version"):
        state.save(OLD.model_copy(update={"version": -1}))
    assert state.load() == OLD


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1, 700])
def test_a_full_disk(state: Journal, size: int) -> None:
    """A disk that takes nothing, or only a part: OSError, the old record is whole, nothing is left beside it."""
    state.save(OLD)
    with file_size_limit(size), pytest.raises(OSError, match="large"):
        state.save(NEW)
    assert names(state) == ["hall.json"]
    assert state.load() == OLD
    state.save(NEW)
    assert state.load() == NEW


def test_a_folder_that_cannot_be_written() -> None:
    """A folder that is read-only: OSError, and the old record is read all the same."""
    with tempfile.TemporaryDirectory() as folder:
        state = Journal(Path(folder) / "hall.json")
        state.save(OLD)
        state.path.chmod(0o644)
        state.path.parent.chmod(0o555)
        account = os.geteuid()
        try:
            if account == 0:  # root may write anywhere
                os.seteuid(NOBODY)
            with pytest.raises(PermissionError):
                state.save(NEW)
            assert state.load() == OLD
        finally:
            os.seteuid(account)
            state.path.parent.chmod(0o755)


@pytest.mark.parametrize("call", [1, 2])
def test_a_disk_that_fails(state: Journal, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """A disk that fails to take the file is an OSError and changes nothing; one that fails the folder is one too."""
    state.save(OLD)
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == call:
            raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="input/output"):
        state.save(NEW)
    assert names(state) == ["hall.json"]
    assert state.load() == (OLD if call == 1 else NEW)


def test_the_order_on_the_disk(state: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole file is on the disk before it takes the name, and the name before `save` returns."""
    state.save(OLD)
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        held = os.fstat(descriptor)
        kind = "folder" if stat.S_ISDIR(held.st_mode) else f"{held.st_size} bytes"
        steps.append(f"fsync {kind}")
        fsync(descriptor)

    def seen_replace(path: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    state.save(NEW)
    assert steps == [f"fsync {state.path.stat().st_size} bytes", "replace", "fsync folder"]


def test_leftovers(state: Journal) -> None:
    """What a writer left that was killed in the middle spoils no save, and is gone after the next load."""
    aside = state.path.with_name(".hall.json.new")
    state.path.parent.mkdir()
    aside.write_bytes(b"x" * 10_000)
    state.save(OLD)
    aside.write_bytes(b'{"format"')
    assert state.load() == OLD
    assert names(state) == ["hall.json"]


def test_killed_writers() -> None:
    """Kill -9 at any moment of a save leaves the record of before or the one of after, and nothing else."""
    assert "40 kills" in passed("tests.control.kill_writer", "--times", "40", timeout_s=100)
