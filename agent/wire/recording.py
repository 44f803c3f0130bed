"""Keypoints messages in a file: JSON lines as they stood on the wire, or the results format of COCO."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Self

from agent.wire.messages import MAX_MESSAGE_BYTES, Keypoints, MessageError
from agent.wire.wording import many

LINES: Final = ".jsonl"
COCO_RESULTS: Final = ".json"
PERSON_CATEGORY: Final = 1
"""COCO's category of people."""


class RecordingError(Exception):
    """A recording cannot be written, or is none. ``cure`` says what to do."""

    def __init__(self, cause: str, cure: str = "") -> None:
        super().__init__(cause)
        self.cure = cure


@dataclass(slots=True)
class Tally:
    """What went by."""

    frames: int = 0
    persons: int = 0
    gaps: int = 0
    missing: int = 0
    """Frames that the gaps in ``seq`` skipped: dropped on the box, or lost on the way."""
    restarts: int = 0
    """How often ``seq`` did not grow: the agent, or a replay, started over."""
    _seq: int | None = field(default=None, repr=False)

    def add(self, message: Keypoints) -> None:
        """Count one message."""
        skipped = 0 if self._seq is None else message.seq - self._seq - 1
        self.frames += 1
        self.persons += len(message.persons)
        self.gaps += skipped > 0
        self.missing += max(0, skipped)
        self.restarts += skipped < 0
        self._seq = message.seq

    def figures(self) -> dict[str, int]:
        """The counts by name."""
        return {name: count for name, count in asdict(self).items() if not name.startswith("_")}

    def __str__(self) -> str:
        text = (
            f"{many(self.frames, 'frame')}, {many(self.persons, 'person')}, "
            f"{many(self.missing, 'frame')} missing in {many(self.gaps, 'gap')}"
        )
        return f"{text}, started over {many(self.restarts, 'time')}" if self.restarts else text


class Recording:
    """Writes keypoints messages to ``path``, whose ending chooses the format; a context manager.

    ``.jsonl`` is written in place, line by line: a crash loses the last line at most. ``.json`` is one list, the
    results format of COCO with ``seq`` as ``image_id``; it is written aside and moved in on leaving, also by an
    exception. The file opens with the first message; without one nothing is written. Raises :class:`RecordingError`
    when ``path`` cannot be, or is there already and not ``replace``.
    """

    def __init__(self, path: Path, *, replace: bool) -> None:
        if path.suffix not in {LINES, COCO_RESULTS}:
            raise RecordingError(f"{path}: expected a name ending in {LINES} or {COCO_RESULTS}")
        if path.is_dir() or not path.parent.is_dir():
            raise RecordingError(f"{path}: " + ("is a folder" if path.is_dir() else "its folder does not exist"))
        if path.exists() and not replace:
            raise RecordingError(f"{path} exists", "name another file, or replace it with --force")
        self.path = path
        self.tally = Tally()
        self._coco = path.suffix == COCO_RESULTS
        self._written = path.with_name(f".{path.name}.part") if self._coco else path
        self._file: BinaryIO | None = None
        self._entries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is None:
            return
        try:
            with self._file as file:
                if self._coco:
                    file.write(b"\n]\n" if self._entries else b"[]\n")
            if self._coco:
                self._written.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, payload: bytes) -> None:
        """Append a message. Raises :class:`MessageError` if it is no keypoints message."""
        message = Keypoints.decode(payload)
        chunk = self._results(message) if self._coco else _one_line(payload)
        try:
            if self._file is None:
                self._file = self._written.open("wb")
            self._file.write(chunk)
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        self.tally.add(message)

    def _results(self, message: Keypoints) -> bytes:
        chunk = ""
        for person in message.persons:
            entry = {
                "image_id": message.seq,
                "category_id": PERSON_CATEGORY,
                "keypoints": person.keypoints,
                "score": person.score,
            }
            chunk += (",\n" if self._entries else "[\n") + json.dumps(entry)
            self._entries += 1
        return chunk.encode()

    def _unwritable(self, error: OSError) -> RecordingError:
        return RecordingError(f"{self.path} cannot be written: {error.strerror}", "check the disk and the rights")


def read(path: Path, complain: Callable[[str], None]) -> Iterator[tuple[bytes, Keypoints]]:
    """Yield the lines of a ``.jsonl`` recording, as they stand and as messages.

    A last line that a crash cut off is handed to ``complain`` and skipped; any other fault raises
    :class:`RecordingError` with its line number.
    """
    try:
        with path.open("rb") as lines:
            number = 0
            # A line's length is bounded before it is read: the file may be anything.
            while line := lines.readline(MAX_MESSAGE_BYTES + 1):
                number += 1
                try:
                    message = Keypoints.decode(line)
                except MessageError as error:
                    if line.endswith(b"\n") or len(line) > MAX_MESSAGE_BYTES:
                        raise RecordingError(f"{path}:{number}: no keypoints message: {error.reason}") from error
                    complain(f"{path}:{number}: the last line is cut off, skipped")
                    return
                yield line, message
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error


def _one_line(payload: bytes) -> bytes:
    # Within JSON a line break can only stand between values: a blank says the same.
    return payload.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"
