"""`controller record`: the keypoints of a device, from the wire into a file."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from agent.wire.recording import Recording, RecordingError, Tally
from controller.errors import ControllerError, UsageError
from controller.session import Session
from controller.terminal import UntilEnded


@contextlib.contextmanager
def recording_faults(kind: type[ControllerError] = ControllerError) -> Iterator[None]:
    """Turn what is wrong with a recording into an error of the controller."""
    try:
        yield
    except RecordingError as error:
        raise kind(str(error), hint=error.cure) from error


def new_recording(path: Path, *, replace: bool) -> Recording:
    """Name the file to record into. Raises :class:`UsageError` when it cannot be."""
    with recording_faults(UsageError):
        return Recording(path, replace=replace)


@recording_faults()
def record(
    session: Session,
    device: str,
    recording: Recording,
    *,
    seconds: float | None,
    count: int | None,
    tell: Callable[[str], None],
) -> Tally:
    """Record until the time is over, ``count`` messages are there, or Ctrl-C; what came is kept whatever ends it."""
    agent, payloads = session.keypoints(device, seconds=seconds)
    tell(f"Recording {device}, which is {agent.availability}, into {recording.path}. Ctrl-C ends it.")
    try:
        with (
            UntilEnded(),
            recording,
            Live(console=Console(stderr=True), get_renderable=lambda: Text(str(recording.tally)), transient=True),
        ):
            for payload in itertools.islice(payloads, count):
                recording.add(payload)
    finally:
        tell(f"{recording.path}: {recording.tally}" if recording.tally.frames else "Nothing came, nothing is written.")
    return recording.tally
