"""What of the configuration may be changed from afar, and the configuration with such changes in it.

The list is one of what is allowed: a key that is not on it cannot be changed, whatever is sent. None of them is a path,
an address, an account or a key, opens a port, lets a picture out, or decides whom the box believes. What has a command
of its own (device, precision, network, hint, input size, zones) is not on it either.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from pydantic import ValidationError

from agent.config.faults import KeyPath, faults_of
from agent.config.tree import Config, Table
from agent.errors import ConfigError
from agent.wire.settings import SettingValue

LIVE: Final = frozenset(
    {
        "log.level",
        "metrics.window_s",
        "model.person_score_min",
        "smoothing.cutoff_hz",
        "smoothing.enabled",
        "smoothing.speed_gain",
        "tracking.birth_frames",
        "tracking.enabled",
        "tracking.keep_s",
        "tracking.similarity_min",
    }
)
"""These hold from the next frame, or the next summary, on."""
AT_START: Final = frozenset(
    {
        "camera.decoder",
        "camera.format",
        "camera.fps",
        "camera.fps_max",
        "camera.frozen_after_s",
        "camera.height",
        "camera.open_timeout_s",
        "camera.read_timeout_s",
        "camera.roi.height",
        "camera.roi.width",
        "camera.roi.x",
        "camera.roi.y",
        "camera.rotate",
        "camera.transport",
        "camera.width",
        "inference.cache",
        "inference.hang_timeout_s",
        "inference.threads",
        "model.detect_every",
        "model.persons_max",
        "switch.good_after_s",
        "switch.measure_s",
        "switch.min_fps_ratio",
        "switch.missed_max",
        "switch.oks_min",
        "switch.timeout_s",
    }
)
"""These hold from the next start on."""
REMOTE: Final = tuple(sorted(LIVE | AT_START))
"""All that may be changed from afar."""


class UnknownSettingError(ConfigError):
    """A key that nobody may change from afar, be there one of this name or not."""


def require(keys: Iterable[str]) -> None:
    """Refuse a key that is not on the list. Raises UnknownSettingError."""
    for key in keys:
        if key not in REMOTE:
            near = difflib.get_close_matches(key, REMOTE, n=1)
            guess = f"did you mean {near[0]}? " if near else ""
            raise UnknownSettingError(
                f"{key} is no setting that may be changed from afar", hint=f"{guess}`controller get` lists those"
            )


def value_of(config: Config, key: str) -> SettingValue | None:
    """What a configuration says of a key on the list; None where it leaves it open."""
    found: Any = config
    for step in key.split("."):
        found = getattr(found, step)
    return cast("SettingValue | None", found)


def with_values(config: Config, values: Mapping[str, SettingValue | None]) -> Config:
    """The configuration with these values in place of its own; None is one left open, as :func:`value_of` gives it.

    Each table that is touched is judged whole, by the same models and as strictly as the file's. Raises
    UnknownSettingError, and ConfigError once for all that is wrong, one line each.
    """
    require(values)
    tables: dict[str, dict[KeyPath, SettingValue | None]] = {}
    for key, value in values.items():
        first, *others = key.split(".")
        tables.setdefault(first, {})[tuple(others)] = value
    found, faults = {}, []
    for name, inside in tables.items():
        table: Table = getattr(config, name)
        said = table.model_dump(mode="json", exclude_unset=True)  # what nobody has said stays unsaid
        for steps, value in inside.items():
            _put(said, steps, value)
        try:
            found[name] = type(table).model_validate_json(json.dumps(said), strict=True)
        except ValidationError as error:
            faults += faults_of(error, {}, below=(name,))
    if faults:
        raise ConfigError("; ".join(f"{each.key}: {each.text}" for each in faults), hint="nothing was changed")
    return config.model_copy(update=found)


def _put(said: dict[str, Any], steps: KeyPath, value: SettingValue | None) -> None:
    for step in steps[:-1]:
        said = said.setdefault(step, {})
    said[steps[-1]] = value
