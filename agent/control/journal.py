"""What must survive: one record in one file, so that one atomic replacement commits settings and reply together.

The file, ``Journal(path)``::

    load() -> Record | None        None: nothing there, or damaged and moved aside
    save(record) -> None           durable when it returns; OSError leaves the file as it was

The record changes by pure functions, each ``Record -> Record``. The caller saves before it tells anybody::

    boot(record | None, base, now) -> Boot    first thing of a start; save ``boot.record``
    attempting(record, attempt)               before something that takes long is begun
    accepted(record, settings)                a change is accepted: version + 1, the fallback ends
    with_pause(record, paused)                the same for a pause, which leaves the fallback as it is
    with_zones(record, zones)                 the same for zones
    heard(record, key, sequence)              a signed command came, be it obeyed or not
    remember(record, command_id, payload, now)   the reply to send, in the same save; ends the attempt
    reply_to(record, command_id) -> str | None   the payload to send again
    settled(record)                           it has run for a while: what runs is good
    fall_back(record) -> Record | None        to the last known good settings; None when there are no others
    running(record) -> Settings               what to run: the settings, or what it fell back to
    with_job(record, job)                     progress or result of a job
    cancelling(record, job_id)                a job was told to end: it does not go on after a restart
    unfinished(record) -> Job | None          the job that goes on
    resumable(record, job)                    whether it does so after a restart
    sweep(record, now) -> (Record, ids)       drop what is old; the job topics to clear
    ended(record)                             an end that was asked for

**The crash rule.** A process that ended without :func:`ended` died. The next :func:`boot` notices that and counts it,
at its own time. When three deaths were noticed within ten minutes, the one just noticed included, all since the last
accepted change, edit of the configuration or fallback, the agent falls back: to the good settings, or where those are
what kept dying, to the configuration's. Only an accepted change or an edited configuration ends the fallback; a restart
does not, and three more deaths in the good settings lead on to the configuration's. A clean end between two deaths does
not make them fewer, nor does a while without one: the ten minutes alone do. Times that lie in the future, because the
clock was set back, do not count.

The file is ``{"format":1,"sha256":"...","record":{...}}``: the checksum is of the record's bytes. Flash that forgets a
bit, a file cut short and a file of a newer version are all noticed, whichever bytes they hit.
"""

import errno
import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from agent.control.settings import Settings
from agent.durable import aside, replace_file
from agent.wire.commands import Address, ErrorCode, Job, JobStatus, ReplyError
from agent.wire.messages import Changed
from agent.wire.settings import SettingName, SettingValue
from agent.wire.wording import in_words
from agent.wire.zones import Zones

DEATHS_MAX: Final = 3
DEATHS_WINDOW: Final = timedelta(minutes=10)
KEPT: Final = timedelta(days=1)
REPLIES_MAX: Final = 64
REPLIES_BYTES: Final = 1 << 20
JOBS_MAX: Final = 32
FILE_BYTES: Final = 16 << 20
DAMAGED_MAX: Final = 3

RESUMED: Final = frozenset({"benchmark", "sweep"})
"""Jobs that go on where they were when a process ended amid them."""
HOLDING: Final = RESUMED | {"tune"}
"""Jobs that hold the frames back: what they measure has the box to itself."""

_FORMAT: Final = 1
_DOCUMENT: Final = re.compile(
    rb'\{"format":%d,"sha256":"([0-9a-f]{64})","record":(\{.*\})\}\n' % _FORMAT, flags=re.DOTALL
)

log = structlog.get_logger()


class Saved(BaseModel):
    """A piece of the record."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        protected_namespaces=(),
        cache_strings="keys",
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


class Attempt(Saved):
    """A command that is being carried out; found at a start, it is one whose asker is owed a reply."""

    id: str
    command: str
    reply_to: Address
    started_at: AwareDatetime


class StoredReply(Saved):
    """The reply to a command that changed something."""

    id: str
    payload: str
    """As it was published."""
    at: AwareDatetime


class Override(Saved):
    """A value that a command has put over the configuration's."""

    value: SettingValue | None
    over: SettingValue | None
    """What the configuration said then: one that says something else was edited, and wins."""


class Record(Saved):
    """Everything that survives."""

    version: int = Field(ge=0)
    """Of the state: grows with every accepted change."""
    base: Settings
    """What the configuration asked for. A configuration that asks for something else was edited, and wins."""
    settings: Settings
    """What is asked for now."""
    good: Settings | None = None
    """The last settings it ran in for a while."""
    fallback: bool = False
    """Run ``good`` instead of ``settings``."""
    alive: bool = True
    """A process runs, or died."""
    deaths: tuple[AwareDatetime, ...] = ()
    """When deaths were noticed; the last few."""
    attempt: Attempt | None = None
    replies: tuple[StoredReply, ...] = ()
    """Oldest first."""
    sequences: dict[str, int] = Field(default_factory=dict, exclude_if=lambda kept: not kept)
    """The highest of the signed commands under each key, by its name. Left out where there is none, so that a version
    before signatures reads the file."""
    jobs: tuple[Job, ...] = ()
    """Running or finished, in the order in which they were begun."""
    changed: Changed | None = Field(default=None, exclude_if=lambda changed: changed is None)
    """Left out, like ``sequences``, where there is none."""
    cancelling: str | None = Field(default=None, exclude_if=lambda job: job is None)
    """Id of the job that was told to end and has not yet. Left out, like ``sequences``, where there is none."""
    overrides: dict[SettingName, Override] = Field(default_factory=dict, exclude_if=lambda kept: not kept)
    """Settings that commands have made; see :mod:`agent.control.overrides`. Left out, like ``sequences``, where there
    is none, as are the next two."""
    proven: dict[SettingName, Override] = Field(default_factory=dict, exclude_if=lambda kept: not kept)
    """Those it has run with for a while."""
    pending: tuple[SettingName, ...] = Field(default=(), exclude_if=lambda keys: not keys)
    """Those that hold from the next start on."""


@dataclass(frozen=True, slots=True)
class Boot:
    """How to start."""

    record: Record
    """To be saved at once."""
    orphan: Attempt | None
    """The previous process ended while it carried this out; to be answered with :func:`remember`, which ends it."""
    reset: bool
    """The configuration was edited: what commands had asked for is void."""
    degraded: bool
    """It runs in what it fell back to."""
    jobs: tuple[Job, ...]
    """Jobs the previous process was busy with and that do not go on, ended now; to be published."""


def boot(record: Record | None, base: Settings, now: datetime) -> Boot:
    """Start with what was saved, or with nothing; ``base`` is what the configuration asks for.

    A pause outlives an edit of the configuration, which does not speak of it: a camera somebody switched off stays off.
    """
    if record is None:
        return Boot(Record(version=0, base=base, settings=base), None, reset=False, degraded=False, jobs=())
    over = [job for job in record.jobs if job.status not in Job.FINAL and not resumable(record, job)]
    ended_jobs = {job.id: _ended(job, now, cancelled=job.id == record.cancelling) for job in over}
    recent = tuple(at for at in record.deaths if now - DEATHS_WINDOW <= at <= now)
    booted = record.model_copy(
        update={
            "alive": True,
            "deaths": ((*recent, now) if record.alive else recent)[-DEATHS_MAX:],
            "jobs": tuple(ended_jobs.get(job.id, job) for job in record.jobs),
            "cancelling": None,
        }
    )
    reset = base != record.base
    if reset:
        edited = base.model_copy(update={"paused": record.settings.paused})
        booted = accepted(booted, edited).model_copy(update={"base": base})
    elif len(booted.deaths) == DEATHS_MAX:
        booted = fall_back(booted) or booted
    return Boot(booted, booted.attempt, reset=reset, degraded=booted.fallback, jobs=tuple(ended_jobs.values()))


def ended(record: Record) -> Record:
    """It ends because it was asked to. An attempt whose asker got no reply stays, and gets one at the next start."""
    return record.model_copy(update={"alive": False})


def settled(record: Record) -> Record:
    """It has run for a while in what it runs."""
    proven = record.overrides
    if record.pending:  # it runs without these
        waiting = set(record.pending)
        proven = {key: made for key, made in record.overrides.items() if key not in waiting}
        proven |= {key: made for key, made in record.proven.items() if key in waiting}
    settled = record.model_copy(update={"proven": proven})
    return settled if record.fallback else settled.model_copy(update={"good": record.settings})


def running(record: Record) -> Settings:
    """What to run. A pause is obeyed in the fallback too, and zones are no reason for one."""
    if not record.fallback or record.good is None:
        return record.settings
    return record.good.model_copy(update={"paused": record.settings.paused, "zones": record.settings.zones})


def fall_back(record: Record) -> Record | None:
    """Run the good settings, or where it runs those, the configuration's; None when they do not differ either."""
    for known in (record.good, record.base):
        if known is not None:
            fallen = record.model_copy(update={"good": known, "fallback": True, "deaths": ()})
            if running(fallen) != running(record):
                return fallen
    return None


def attempting(record: Record, attempt: Attempt) -> Record:
    """A command is about to be carried out."""
    return record.model_copy(update={"attempt": attempt})


def accepted(record: Record, settings: Settings) -> Record:
    """These settings are asked for now, be they the same as before."""
    return record.model_copy(
        update={"version": record.version + 1, "settings": settings, "fallback": False, "deaths": ()}
    )


def with_pause(record: Record, paused: bool) -> Record:
    """It is paused, or goes on. That is no reason to try again what it fell back from."""
    settings = record.settings.model_copy(update={"paused": paused})
    return record.model_copy(update={"version": record.version + 1, "settings": settings})


def with_zones(record: Record, zones: Zones) -> Record:
    """People are counted in other zones. That too says nothing of what it fell back from."""
    settings = record.settings.model_copy(update={"zones": zones})
    return record.model_copy(update={"version": record.version + 1, "settings": settings})


def heard(record: Record, key: str, sequence: int) -> Record:
    """A signed command came: none with this sequence under this key, or a lower one, is taken any more."""
    return record.model_copy(update={"sequences": record.sequences | {key: sequence}})


def remember(record: Record, command_id: str, payload: str, now: datetime) -> Record:
    """Keep a reply, the last of its id, and end the attempt it belongs to.

    Kept are the last ``REPLIES_MAX`` of a day, and of those as many as ``REPLIES_BYTES`` hold; the newest always is.
    """
    others = tuple(reply for reply in record.replies if reply.id != command_id)
    replies = _recent((*others, StoredReply(id=command_id, payload=payload, at=now)), now)
    attempt = record.attempt if record.attempt and record.attempt.id != command_id else None
    return record.model_copy(update={"replies": replies, "attempt": attempt})


def reply_to(record: Record, command_id: str) -> str | None:
    """The payload of the reply this command has had."""
    return next((reply.payload for reply in record.replies if reply.id == command_id), None)


def unfinished(record: Record) -> Job | None:
    """The job that goes on; there is one at a time."""
    return next((job for job in record.jobs if job.status not in Job.FINAL), None)


def cancelling(record: Record, job_id: str) -> Record:
    """Somebody took a job back, and it takes a moment to end."""
    return record.model_copy(update={"cancelling": job_id})


def resumable(record: Record, job: Job) -> bool:
    """Whether a job that has not ended goes on where it was after a restart."""
    return job.command in RESUMED and job.id != record.cancelling


def with_job(record: Record, job: Job) -> Record:
    """A job began, went on or ended. Call :func:`sweep` with it."""
    if job.status in Job.FINAL and job.id == record.cancelling:
        record = record.model_copy(update={"cancelling": None})
    if any(known.id == job.id for known in record.jobs):
        return record.model_copy(update={"jobs": tuple(job if known.id == job.id else known for known in record.jobs)})
    return record.model_copy(update={"jobs": (*record.jobs, job)})


def sweep(record: Record, now: datetime) -> tuple[Record, tuple[str, ...]]:
    """Drop replies of a day ago, jobs that ended a day ago, and the oldest ended ones beyond ``JOBS_MAX``.

    Returns the ids of the jobs dropped too: clear their topics first, save then, or a crash leaves them for ever.
    """
    over = [job for job in record.jobs if job.status in Job.FINAL]
    dropped = {job.id for job in over if now - (job.finished_at or job.started_at) >= KEPT}
    excess = len(record.jobs) - len(dropped) - JOBS_MAX
    dropped |= {job.id for job in [job for job in over if job.id not in dropped][: max(0, excess)]}
    swept = record.model_copy(
        update={
            "replies": _recent(record.replies, now),
            "jobs": tuple(job for job in record.jobs if job.id not in dropped),
        }
    )
    return swept, tuple(job.id for job in over if job.id in dropped)


def _recent(replies: tuple[StoredReply, ...], now: datetime) -> tuple[StoredReply, ...]:
    kept: list[StoredReply] = []
    room = REPLIES_BYTES
    for reply in reversed([reply for reply in replies if now - reply.at < KEPT][-REPLIES_MAX:]):
        room -= len(reply.payload.encode())
        if room < 0 and kept:
            break
        kept.append(reply)
    return tuple(reversed(kept))


def _ended(job: Job, now: datetime, *, cancelled: bool) -> Job:
    status, error = JobStatus.CANCELLED, ReplyError(code=ErrorCode.CANCELLED, message="somebody cancelled it")
    if not cancelled:
        error = ReplyError(code=ErrorCode.INTERNAL, message="the agent ended during it", hint="start it again")
        status = JobStatus.FAILED
    return job.model_copy(update={"status": status, "error": error, "sent_at": now, "finished_at": now})


class Journal:
    """The record in its file. One process has it at a time, and one thread calls it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: str | None = None
        """Why :meth:`load` found a file and no record in it."""

    def load(self) -> Record | None:
        """Read it; never raises. None when there is none, or a damaged one, which is moved aside and logged."""
        with suppress(OSError):  # what a crash left behind
            aside(self.path).unlink()
        try:
            with self.path.open("rb") as handle:
                return _decode(handle.read(FILE_BYTES + 1))
        except FileNotFoundError:
            return None
        except (OSError, _DamagedError) as error:
            self.damage = str(error)
            log.warning("state.moved_aside", file=str(self.path), reason=str(error), moved_to=self._move_aside())
            return None

    def save(self, record: Record) -> None:
        """Replace the file; the record is on the disk when this returns.

        Raises OSError, and then the file is as it was, unless it is the folder that could not be forced onto the disk;
        ValueError for a record that could not be loaded again, which is a defect of whoever made it.
        """
        document = _encode(record)
        _decode(document)
        replace_file(self.path, document, private=True)

    def _move_aside(self) -> str | None:
        name = f"{self.path.name}.damaged-"
        kept = self.path.with_name(f"{name}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        with suppress(OSError):
            earlier = sorted(path for path in self.path.parent.iterdir() if path.name.startswith(name))
            self.path.replace(kept)
            for path in earlier[: -(DAMAGED_MAX - 1)]:
                path.unlink()
        return str(kept) if kept.exists() else None


class _DamagedError(ValueError):
    """A document holds no record."""


def _encode(record: Record) -> bytes:
    """Raises OSError when the record is larger than a file may be."""
    body = record.model_dump_json(by_alias=True).encode()
    checksum = hashlib.sha256(body).hexdigest().encode()
    document = b'{"format":%d,"sha256":"%b","record":%b}\n' % (_FORMAT, checksum, body)
    if len(document) > FILE_BYTES:
        raise OSError(errno.EFBIG, f"a record of {len(document)} bytes; at most {FILE_BYTES} are kept")
    return document


def _decode(document: bytes) -> Record:
    """Raises _DamagedError for anything but what :func:`_encode` made."""
    if len(document) > FILE_BYTES:
        raise _DamagedError(f"it is larger than {FILE_BYTES} bytes")
    found = _DOCUMENT.fullmatch(document)
    if found is None:
        raise _DamagedError(f"it is no record of format {_FORMAT}, or was cut short")
    checksum, body = found.groups()
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise _DamagedError("its checksum does not fit")
    try:
        return Record.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise _DamagedError(in_words(error, "record")) from None
