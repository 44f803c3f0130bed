"""``agent doctor``: what stands between this box and poses on the broker, each finding with its cure.

Every check is a small function that answers with one :class:`Check`. They run side by side, each bounded in time, and
none can take another down with it.
"""

import ctypes
import json
import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from agent.capture import redact as redact_source
from agent.capture.look import look
from agent.config.tree import Camera, Config, Devices, Inference, Model, Paths
from agent.doctor import accelerators
from agent.doctor.broker import broker, device_id, own_id
from agent.doctor.finding import Check, Level
from agent.doctor.unit import service, unit_of
from agent.errors import CaptureError, EdgeposeError
from agent.inference.devices import list_devices, open_core, require_devices
from agent.inference.plugins import left_out
from agent.inference.spec import input_size
from agent.observe.host import cpu_governors, cpu_model, temperature_c
from agent.redact import redact
from agent.wire.messages import DeviceInfo
from agent.wire.topics import Topics
from models.shelf.store import Store

LIMIT_S: Final = 10.0
CAMERA_TIMEOUT_S: Final = 3.0
CAMERA_LOOK_S: Final = 2.0
"""How long a camera that answers is watched to tell its frame rate."""

# What one network takes with all its variants and compiled forms, and room to work in.
DISK_NEEDED_MB: Final = 200
DISK_COMFORTABLE_MB: Final = 1000
STATE_BYTES: Final = 64 << 10
"""What the file of the agent's state and its like take."""
HOT_C: Final = 90.0
# No box that runs this code lives before it was written: a clock that says so was never set.
WRITTEN: Final = datetime(2026, 1, 1, tzinfo=UTC)
ADJTIMEX_UNSYNCHRONISED: Final = 5
TIMEX_BYTES: Final = 256
"""More than struct timex takes on any Linux (208)."""


def run(config: Config, *, camera_is_held: bool = False) -> tuple[Check, ...]:
    """Examine the box for this configuration; takes at most ``LIMIT_S``. A camera that somebody holds is left out."""
    look_at_camera = {} if camera_is_held else {"camera": lambda: camera(config.camera, config.paths)}
    return examine(
        {
            **look_at_camera,
            "gpu": lambda: accelerators.gpu(config.inference, lambda: seen(config.devices)),
            "npu": lambda: accelerators.npu(config.inference, lambda: seen(config.devices)),
            "devices": lambda: devices(config.inference, config.devices),
            "broker": lambda: broker(config.mqtt, config.device_id),
            "device id": lambda: own_id(
                device_id(config.mqtt, Topics(config.device_id, config.mqtt.prefix)), config.device_id
            ),
            "model": lambda: model(config.model, config.inference, config.paths),
            "disk": lambda: disk(config.paths),
            "state": lambda: state(config.paths),
            "service": lambda: service(unit_of(config.device_id)),
            "clock": lambda: clock(datetime.now(UTC), clock_synchronised()),
            "processor": processor,
        }
    )


def examine(checks: Mapping[str, Callable[[], Check]], limit_s: float = LIMIT_S) -> tuple[Check, ...]:
    """Run checks side by side; one that raises or does not end in time is a failed check."""
    answers: queue.SimpleQueue[tuple[str, Check]] = queue.SimpleQueue()
    for name, check in checks.items():
        # daemon: a check that hangs in a driver must not hold the process.
        threading.Thread(target=_isolated, args=(name, check, answers), name=f"doctor {name}", daemon=True).start()
    late = Check("", Level.FAIL, f"no answer within {limit_s:g} s", "try again; if it stays, the driver or host hangs")
    found = {name: replace(late, name=name) for name in checks}
    deadline = time.monotonic() + limit_s
    for _ in checks:
        try:
            name, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[name] = answer
    return tuple(found.values())


def _isolated(name: str, check: Callable[[], Check], answers: "queue.SimpleQueue[tuple[str, Check]]") -> None:
    try:
        answer = check()
    except EdgeposeError as error:
        answer = Check(name, Level.FAIL, str(error), error.hint)
    except Exception as error:  # noqa: BLE001 - top of a thread: the defect of one check is its finding
        answer = Check(name, Level.FAIL, f"{type(error).__name__}: {error}", "this is a defect of edgepose: report it")
    answers.put((name, replace(answer, finding=redact(answer.finding))))


def as_table(checks: Iterable[Check]) -> Table:
    """Lay the findings out for a terminal."""
    colours = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
    table = Table("check", "", "finding", box=None, pad_edge=False)
    for check in checks:
        # Text, because what a check found may hold square brackets, which rich would take for its own.
        told = Text(check.finding, overflow="fold")
        if check.cure:
            # Below what it cures: a column of its own would be empty beside most, and both of them narrow.
            told.append(f"\ncure: {check.cure}", style="bold")
        table.add_row(check.name, Text(check.level, style=colours[check.level]), told)
    return table


def as_json(checks: Iterable[Check]) -> str:
    """Lay the findings out for a program: a list of objects."""
    return json.dumps([asdict(check) for check in checks], ensure_ascii=False)


def exit_code(checks: Iterable[Check]) -> int:
    """Answer 1 if a check failed; a warning is no failure."""
    return int(any(check.level is Level.FAIL for check in checks))


def camera(settings: Camera, paths: Paths) -> Check:
    """Open the source, read for a moment, and tell what it is: codec, size, rate, how it holds frames back."""
    name, address = "camera", redact_source(settings.source)
    bounded = settings.model_copy(
        update={"pace": "native", "lossless": False, "open_timeout_s": min(settings.open_timeout_s, CAMERA_TIMEOUT_S)}
    )
    try:
        found = look(bounded, Store(paths.models).clip, CAMERA_LOOK_S)
    except CaptureError as error:
        cure = error.hint or "check cable, address and account; see whether another program holds the camera"
        said = str(error) if address in str(error) else f"{address}: {error}"
        return Check(name, Level.FAIL, said, cure)
    return Check(name, Level.WARN if found.damaged else Level.OK, f"{address}: {found}")


def devices(settings: Inference, names: Devices) -> Check:
    """Ask OpenVINO for its devices and for the configured one."""
    core = open_core(names.aliases)
    require_devices(core, settings.device)
    listed = "; ".join(f"{device.name} ({device.full_name})" for device in list_devices(core))
    finding = f"{settings.device} can run on {listed}"
    if dead := "; ".join(f"{plugin} {ending}" for plugin, ending in left_out().items()):
        return Check("devices", Level.WARN, f"{finding}; left out: {dead}", "renew the driver of what is left out")
    return Check("devices", Level.OK, finding)


def seen(names: Devices) -> tuple[DeviceInfo, ...]:
    """What OpenVINO lists."""
    return list_devices(open_core(names.aliases))


def model(wanted: Model, inference: Inference, paths: Paths) -> Check:
    """Verify the checksums of the configured network and that it has the configured precision."""
    store = Store(paths.models)
    store.verify(wanted.name)
    input_size(wanted.input, store.card(wanted.name), None)
    present = store.precisions(wanted.name)
    if inference.precision not in present:
        cure = f"set inference.precision to one of {', '.join(present)}"
        return Check("model", Level.FAIL, f"{wanted.name} has no {inference.precision} here", cure)
    return Check("model", Level.OK, f"{wanted.name} is undamaged, {', '.join(present)}")


def disk(paths: Paths) -> Check:
    """Look at the room left where networks are kept and compiled."""
    folders = [_existing(path) for path in (paths.models, paths.cache, paths.state)]
    free_mb, folder = min((shutil.disk_usage(folder).free >> 20, folder) for folder in folders)
    if free_mb < DISK_COMFORTABLE_MB:
        level = Level.FAIL if free_mb < DISK_NEEDED_MB else Level.WARN
        return Check("disk", level, f"{free_mb} MB free at {folder}", f"free some: {paths.cache} may be deleted")
    if closed := [folder for folder in folders if not os.access(folder, os.W_OK | os.X_OK)]:
        cure = "set paths.models, paths.cache and paths.state, or run as the service's user"
        return Check("disk", Level.WARN, f"{closed[0]} may not be written by this user", cure)
    return Check("disk", Level.OK, f"{free_mb} MB free at {folder}")


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def state(paths: Paths) -> Check:
    """Try whether what commands ask for can be kept: a file is written where it would be, and is gone again."""
    folder = _existing(paths.state)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(STATE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        cure = "allow writing there, free space, set paths.state, or run this as the service's user"
        return Check("state", Level.WARN, f"{folder}: {error.strerror}: a restart would forget what was set", cure)
    return Check("state", Level.OK, f"{folder} keeps what commands ask for")


def clock(now: datetime, synchronised: bool | None) -> Check:
    """Judge the clock: messages carry its time, and certificates are checked against it."""
    told = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    cure = "set it and keep it set: timedatectl set-ntp true"
    if now < WRITTEN:
        return Check("clock", Level.FAIL, f"{told} is in the past", cure)
    if synchronised is None:
        return Check("clock", Level.OK, f"{told}; whether it is synchronised is unknown")
    if not synchronised:
        return Check("clock", Level.WARN, f"{told}, not synchronised", cure)
    return Check("clock", Level.OK, f"{told}, synchronised")


def clock_synchronised() -> bool | None:
    """Ask the kernel whether something keeps the clock (timedatectl asks the same); None where it does not say."""
    try:
        # A zeroed struct timex only asks: its field `modes` names no change.
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != ADJTIMEX_UNSYNCHRONISED


def processor() -> Check:
    """Tell the processor, its frequency governors and its temperature."""
    heat = temperature_c()
    facts = [cpu_model(), f"governor {', '.join(cpu_governors()) or 'unknown'}"]
    facts.append("temperature unknown" if heat is None else f"{heat:.0f} °C")
    if heat is not None and heat >= HOT_C:
        return Check("processor", Level.WARN, ", ".join(facts), "cool the box: a processor this hot slows itself down")
    return Check("processor", Level.OK, ", ".join(facts))
