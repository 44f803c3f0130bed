"""Keypoints into a file instead of to a broker."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from agent.errors import EdgeposeError
from agent.wire.commands import Address
from agent.wire.recording import Recording, RecordingError


class FileOutlet:
    """Puts keypoints into a recording, which belongs to the caller; nobody hears the other messages.

    ``taken`` is called after each.
    """

    def __init__(self, recording: Recording, taken: Callable[[], None] = lambda: None) -> None:
        self._recording = recording
        self._taken = taken

    def announce(self, leaf_topic: str, payload: bytes, expiry_s: int | None = None) -> None:
        """Drop it."""

    def event(self, payload: bytes) -> None:
        """Drop it: the agent's log tells it as well."""

    def reply(self, address: Address, payload: bytes) -> None:
        """Drop it: nobody commands a recording."""

    def keypoints(self, payload: bytes) -> None:
        """Append one message. Raises EdgeposeError when the file cannot be written."""
        with recording_faults():
            self._recording.add(payload)
        self._taken()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@contextmanager
def recording_faults() -> Iterator[None]:
    """Turn what is wrong with a recording into an error of the agent."""
    try:
        yield
    except RecordingError as error:
        raise EdgeposeError(str(error), hint=error.cure) from error
