"""`controller replay`: a recording, published as its device would."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from agent.wire.messages import OFFLINE, ONLINE, CameraState, Keypoints, Requested, State, Status, rfc3339
from agent.wire.recording import LINES, RecordingError, read
from agent.wire.topics import Topics
from agent.wire.wording import many
from controller.client.connection import Client
from controller.commands.access import address_of, open_session
from controller.commands.options import FILE, Given, connection
from controller.commands.record import recording_faults
from controller.commands.targets import DeviceType
from controller.errors import ControllerError
from controller.interrupt import UntilEnded
from controller.terminal.progress import counted
from controller.terminal.surroundings import tell

SINGLE_FRAME_S: Final = 1.0
"""Pause between two rounds of a recording too short to have a rate of its own."""


@dataclass(frozen=True, slots=True)
class Played:
    """What is played, and as whom."""

    path: Path
    topics: Topics
    model: str
    frames: int
    pause_s: float
    """Between two rounds: the mean spacing of the recording."""


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=1.0,
    metavar="FACTOR",
    help="2 is twice as fast, 0 as fast as possible. Default: 1, as recorded.",
)
@click.option("--loop", is_flag=True, help="Start again at the end.")
@click.option(
    "--as",
    "device",
    type=DeviceType(),
    metavar="DEVICE",
    help="The device it appears as. Default: its own.",
)
@click.option("--force", is_flag=True, help="Also beside a live device of that name.")
@connection()
@click.pass_obj
def replay(given: Given, file: Path, speed: float, device: str | None, *, loop: bool, force: bool) -> None:
    """Publish the recording FILE.jsonl as its device would, until its end or Ctrl-C."""
    with UntilEnded():
        play_as(given, file, device=device, speed=speed, loop=loop, force=force)


@recording_faults()
def play_as(given: Given, path: Path, *, device: str | None, speed: float, loop: bool, force: bool) -> None:
    """Play a recording with its own spacing divided by ``speed``; 0 is as fast as the broker takes it.

    It appears on the broker as a device of its own: availability with a last will, and a state. Beside a device that is
    online only its keypoints are published, and that only by ``force``: the retained topics belong to the live agent.
    Raises :class:`ControllerError`, for a faulty file before anything is published.
    """
    played = _survey(path, given.prefix, device)
    online = _is_online(given, played.topics.device_id)
    if online and not force:
        raise ControllerError(
            f"{played.topics.device_id} is online on this broker",
            hint="play it as another device with --as, or beside the live one with --force",
        )
    will = None if online else (played.topics.availability, OFFLINE)
    with Client(address_of(given), timeout_s=given.timeout_s, will=will) as client:
        tell(f"Playing {many(played.frames, 'frame')} as {played.topics.device_id}. Ctrl-C ends it.")
        if online:
            _play(client, played, speed=speed, loop=loop)
        else:
            with _presence(client, played):
                _play(client, played, speed=speed, loop=loop)


def _survey(path: Path, prefix: str, device: str | None) -> Played:
    if path.suffix != LINES:
        raise RecordingError(f"{path}: expected a recording ending in {LINES}", "record it with `controller record`")
    first: Keypoints | None = None
    frames, span_s = 0, 0.0
    for _, message in read(path, tell):
        first = first or message
        frames += 1
        span_s = (message.captured_at - first.captured_at).total_seconds()
    if first is None:
        raise RecordingError(f"{path} holds no message")
    try:
        topics = Topics(device or first.device_id, prefix)
    except ValueError as error:
        raise RecordingError(f"{path}: {error}", "name the device with --as") from error
    pause_s = span_s / (frames - 1) if frames > 1 else SINGLE_FRAME_S
    return Played(path, topics, first.model, frames, max(0.0, pause_s))


def _is_online(given: Given, device: str) -> bool:
    with open_session(given, tell) as session:
        topic = Topics(device, given.prefix).availability
        agent = session.snapshot([topic], enough=lambda fleet: device in fleet.agents, device=device).agents.get(device)
    return agent is not None and agent.availability == "online"


@contextmanager
def _presence(client: Client, played: Played) -> Iterator[None]:
    """What a dashboard needs to see of a device, before its first frame and after its last."""
    topics, since = played.topics, datetime.now(UTC)
    state = State(
        device_id=topics.device_id,
        sent_at=since,
        version=0,
        status=Status.RUNNING,
        requested=Requested(model=played.model, device="replay", precision="unknown"),
        effective=None,
        camera=CameraState(status="live", source=f"recording {played.path.name}"),
        since=since,
    )
    client.announce(topics.state, state.encode())
    client.announce(topics.availability, ONLINE)
    try:
        yield
    finally:
        now = datetime.now(UTC)
        camera = state.camera.model_copy(update={"status": "ended"})
        ended = state.model_copy(update={"sent_at": now, "since": now, "status": Status.STOPPING, "camera": camera})
        client.announce(topics.state, ended.encode())
        client.announce(topics.availability, OFFLINE)


def _play(client: Client, played: Played, *, speed: float, loop: bool) -> None:
    due, sent = time.monotonic(), 0
    with counted(lambda: f"{played.topics.device_id}: {sent} of {many(played.frames, 'frame')}") as look:
        for _round in itertools.count() if loop else range(1):
            previous: Keypoints | None = None
            sent = 0
            for line, message in read(played.path, lambda _: None):
                if speed and previous is not None:
                    # A clock that was set back in the middle of a recording gives no pause.
                    due += max(0.0, (message.captured_at - previous.captured_at).total_seconds()) / speed
                client.idle(due)
                client.send(played.topics.keypoints, _now(line, played.topics.device_id))
                previous, sent = message, sent + 1
                look()
            due += played.pause_s / speed if speed else 0.0


def _now(line: bytes, device_id: str) -> bytes:
    """The message as recorded, with keys of any version, but sent now by this device."""
    body = json.loads(line)
    return json.dumps(
        body | {"device_id": device_id, "sent_at": rfc3339(datetime.now(UTC))}, separators=(",", ":")
    ).encode()
