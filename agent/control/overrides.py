"""Settings that commands have put over the configuration's: how they are made, kept, and given up.

They stand in the record beside what was asked of the engine, each with what the configuration said when it was made. A
configuration that says something else of a key by now was edited, and wins for that key. Settings under which the agent
keeps dying before they have run for a while are given up for the last that have.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import JsonValue

from agent.config.remote import LIVE, REMOTE, UnknownSettingError, require, value_of, with_values
from agent.config.tree import Config
from agent.control.asking import Box
from agent.control.journal import DEATHS_MAX, DEATHS_WINDOW, Override, Record
from agent.errors import ConfigError
from agent.wire.commands import CommandError, ErrorCode, SetSettings, UnsetSettings
from agent.wire.settings import Setting, SettingsResult, SettingValue

Values = Mapping[str, SettingValue | None]


@dataclass(frozen=True, slots=True)
class Begun:
    """What a start makes of the record and the file."""

    record: Record | None
    config: Config
    """What the agent runs with."""
    reasons: tuple[str, ...] = ()
    """Why settings that commands had made are void, for people."""


def begin(record: Record | None, file: Config, now: datetime) -> Begun:
    """Start with the configuration of the ``file`` and the settings of the record; never raises."""
    if record is None:
        return Begun(None, file)
    reasons = []
    kept = record.overrides
    update: dict[str, Any] = {"pending": ()}
    if kept != record.proven and _keeps_dying(record, now):
        reasons.append(f"the agent kept dying: {_names(_unequal(kept, record.proven))} as before")
        kept = record.proven
        update |= {"deaths": (), "alive": False}
    edited = [key for key, made in kept.items() if key not in REMOTE or value_of(file, key) != made.over]
    if edited:
        reasons.append(f"the configuration was edited: {_names(edited)} as it says")
        kept = {key: made for key, made in kept.items() if key not in edited}
    try:
        config = with_values(file, _values(kept))
    except ConfigError as error:
        reasons.append(f"they do not fit the configuration any more: {error}")
        kept, config = {}, file
    update |= {"overrides": kept, "proven": {key: made for key, made in record.proven.items() if key in kept}}
    if reasons:
        update["version"] = record.version + 1
    return Begun(record.model_copy(update=update), config, tuple(reasons))


def asked(record: Record, args: SetSettings | UnsetSettings, file: Config) -> Record:
    """The record after a command, one version on. Raises CommandError where any of it cannot be; then none of it is."""
    keys = tuple(args.settings if isinstance(args, SetSettings) else args.keys or record.overrides)
    require_known(keys)
    try:
        if isinstance(args, SetSettings):
            config = with_values(file, _values(record.overrides) | dict(args.settings))
            made = {key: Override(value=value_of(config, key), over=value_of(file, key)) for key in keys}
            after = record.overrides | made
        else:
            after = {key: made for key, made in record.overrides.items() if key not in keys}
            with_values(file, _values(after))
    except ConfigError as error:
        raise CommandError(ErrorCode.INVALID_PAYLOAD, str(error), error.hint) from None
    waits = {key for key in _unequal(_values(record.overrides), _values(after), file) if key not in LIVE}
    pending = tuple(sorted({*record.pending, *waits}))
    return record.model_copy(update={"version": record.version + 1, "overrides": after, "pending": pending})


def differing(before: Record, after: Record, file: Config) -> tuple[Values, tuple[str, ...]]:
    """The values of those keys that hold at once and are other ones now, and the names of all that are other ones."""
    keys = _unequal(_values(before.overrides), _values(after.overrides), file)
    return {key: _counts(after, key, file) for key in keys if key in LIVE}, tuple(keys)


def told(
    record: Record,
    box: Box,
    keys: Iterable[str],
    *,
    restart: Literal["none", "now", "due"] | None = None,
    dry_run: bool = False,
) -> dict[str, JsonValue]:
    """What is answered of these keys. ``restart`` left out is what the record says of it."""
    found = {
        key: Setting(
            value=_counts(record, key, box.file),
            configured=value_of(box.file, key),
            changed=key in record.overrides,
            live=key in LIVE,
            pending=key in record.pending,
        )
        for key in keys
    }
    said = restart or ("due" if record.pending else "none")
    return SettingsResult(settings=found, restart=said, supervised=box.supervised, dry_run=dry_run).model_dump(
        mode="json"
    )


def require_known(keys: Iterable[str]) -> None:
    """Refuse what may not be changed from afar. Raises CommandError."""
    try:
        require(keys)
    except UnknownSettingError as error:
        raise CommandError(ErrorCode.UNKNOWN_SETTING, str(error), error.hint) from None


def _counts(record: Record, key: str, file: Config) -> SettingValue | None:
    made = record.overrides.get(key)
    return value_of(file, key) if made is None else made.value


def _values(overrides: Mapping[str, Override]) -> dict[str, SettingValue | None]:
    return {key: made.value for key, made in overrides.items()}


def _unequal(before: Mapping[str, Any], after: Mapping[str, Any], file: Config | None = None) -> list[str]:
    """Keys whose values differ; where one of both says nothing, the file's counts."""

    def said(values: Mapping[str, Any], key: str) -> object:
        return values[key] if key in values else value_of(file, key) if file else None

    return sorted(key for key in {*before, *after} if said(before, key) != said(after, key))


def _keeps_dying(record: Record, now: datetime) -> bool:
    recent = [at for at in record.deaths if now - DEATHS_WINDOW <= at <= now]
    return record.alive and len(recent) + 1 >= DEATHS_MAX


def _names(keys: Iterable[str]) -> str:
    return ", ".join(keys)
