"""`controller record`: the keypoints of a device, from the wire into a file."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import click

from agent.wire.recording import Recording, RecordingError, Tally
from controller.client.session import Session
from controller.commands.access import open_session
from controller.commands.options import Given, bounded, connection
from controller.commands.targets import DeviceType
from controller.errors import ControllerError, UsageError
from controller.interrupt import UntilEnded
from controller.terminal.progress import counted
from controller.terminal.surroundings import print_json, tell


@click.command()
@click.argument("device", type=DeviceType())
@click.option(
    "--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Ends in .jsonl or .json (COCO)."
)
@bounded
@click.option("--force", is_flag=True, help="Replace FILE.")
@connection()
@click.pass_obj
def record(given: Given, device: str, out: Path, count: int | None, seconds: float | None, *, force: bool) -> None:
    """Write the keypoints of DEVICE to a file, until Ctrl-C.

    FILE.jsonl takes the messages as they stand on the wire, one per line; FILE.json the results format of COCO, with
    the frame's `seq` as image_id.
    """
    recording = new_recording(out, replace=force)
    with UntilEnded(), open_session(given) as session:
        tally = record_into(session, device, recording, seconds=seconds, count=count)
        if given.json:
            print_json({"schema": "edgepose.recording/1", "device_id": device, **tally.figures()})


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
def record_into(
    session: Session,
    device: str,
    recording: Recording,
    *,
    seconds: float | None,
    count: int | None,
) -> Tally:
    """Record until the time is over, ``count`` messages are there, or Ctrl-C; what came is kept whatever ends it."""
    agent, payloads = session.keypoints(device, seconds=seconds)
    tell(f"Recording {device}, which is {agent.availability}, into {recording.path}. Ctrl-C ends it.")
    try:
        with UntilEnded(), recording, counted(lambda: f"{recording.path}: {recording.tally}") as look:
            for payload in itertools.islice(payloads, count):
                recording.add(payload)
                look()
    finally:
        tell(f"{recording.path}: {recording.tally}" if recording.tally.frames else "Nothing came, nothing is written.")
    return recording.tally
