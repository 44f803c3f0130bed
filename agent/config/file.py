"""Fill the configuration: defaults, then the TOML file, then ``EDGEPOSE_*`` variables, then the command line.

``EDGEPOSE_MQTT__PORT=1884`` sets ``mqtt.port``: two underscores step into a table. A variable's value is written as in
the file, but a text needs no quotes. A relative path in the file starts at the file's folder, so that the file means
the same from everywhere; one in a variable or on the command line starts at the working directory, as in a shell.
``$CREDENTIALS_DIRECTORY`` at the start of the file's path is the folder into which systemd put the service's secrets.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from agent.config.faults import Fault, KeyPath, dotted, faults_of, schema_at, steps_of, unknown_variable
from agent.config.tree import Config
from agent.errors import ConfigError

ENV_PREFIX: Final = "EDGEPOSE_"
# Variables of the same prefix that belong to other programs of the project.
FOREIGN_VARIABLES: Final = frozenset(
    {
        "EDGEPOSE_BROKER",
        "EDGEPOSE_BROKER_CAFILE",
        "EDGEPOSE_BROKER_CERT",
        "EDGEPOSE_BROKER_KEY",
        "EDGEPOSE_BROKER_PASSWORD",
        "EDGEPOSE_BROKER_PASSWORD_FILE",
        "EDGEPOSE_BROKER_PREFIX",
        "EDGEPOSE_BROKER_TIMEOUT",
        "EDGEPOSE_BROKER_USERNAME",
        "EDGEPOSE_CONFIG",
        "EDGEPOSE_PROFILE",
        "EDGEPOSE_SIGNING_KEY",
    }
)
CONTROLLER: Final = "EDGEPOSE_CONTROLLER_"
"""Before the variables of the controller's options."""
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
COMMAND_LINE: Final = "command line"


def load(
    path: Path | None, *, overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ
) -> Config:
    """Read the configuration; ``overrides`` maps dotted keys (``camera.source``) to values and wins over everything.

    Raises :class:`ConfigError` once for all faults, one a line: where, key, what was given, what was expected.
    """
    values: dict[str, Any] = {}
    origins: dict[KeyPath, str] = {}
    if path is not None:
        values = _read(path)
        origins[()] = str(path)
        _anchor(values, (), path.absolute().parent, environ.get(CREDENTIALS))
    faults = _put_variables(environ, values, origins)
    for key, value in (overrides or {}).items():
        steps = tuple(key.split("."))
        if isinstance(value, str) and not _is_utf8(value):
            faults.append(Fault(COMMAND_LINE, key, "is not UTF-8"))
            continue
        _put(values, steps, value)
        origins[steps] = COMMAND_LINE
    try:
        # Through JSON because pydantic's strict mode takes a text for a path and a list for a tuple only from there.
        config = Config.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        faults += faults_of(error, origins)
    # Outside of the except: pydantic's own error repeats what was given, passwords too, and must not be chained.
    if faults:
        raise ConfigError(
            "\n".join(map(str, faults)), hint="configs/agent.toml lists every key with its default and what it does"
        )
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file", hint="name an existing file with --config") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; a configuration is TOML in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}", hint=_unquoted(text, str(error))) from error


def _unquoted(text: str, reason: str) -> str:
    """The cure where TOML's fault is a text without quotes; empty where it is not. The text itself is not shown."""
    place = re.search(r"Invalid value \(at line (\d+), column (\d+)\)", reason)
    if place is None:
        return ""
    line = text.splitlines()[int(place[1]) - 1]
    before, given = line[: int(place[2]) - 1], line[int(place[2]) - 1 :]
    return f'a text stands in quotes: {before}"..."' if re.match(r"[^\W\d]|[/.~$:]", given) else ""


def _anchor(values: dict[str, Any], parents: KeyPath, folder: Path, credentials: str | None) -> None:
    """Make relative paths of the file absolute, in place."""
    for key, value in values.items():
        steps = (*parents, key)
        if isinstance(value, dict):
            _anchor(value, steps, folder, credentials)
        elif isinstance(value, str) and value and _is_path(steps, value):
            here = f"${CREDENTIALS}/"
            named = f"{credentials}/{value.removeprefix(here)}" if credentials and value.startswith(here) else value
            values[key] = str(folder / Path(named).expanduser())


def _is_path(steps: KeyPath, value: str) -> bool:
    if steps == ("camera", "source"):
        return "://" not in value and not value.startswith("clip:") and not value.isdigit()
    return schema_at(steps).get("format") in {"path", "file-path"}


def _put_variables(environ: Mapping[str, str], values: dict[str, Any], origins: dict[KeyPath, str]) -> list[Fault]:
    """Put every variable of ours into ``values``; the faults are those that name no key."""
    faults = []
    for name, text in sorted(environ.items()):
        if not name.startswith(ENV_PREFIX) or name in FOREIGN_VARIABLES or name.startswith(CONTROLLER):
            continue
        steps = steps_of(name.removeprefix(ENV_PREFIX).split("__"))
        if steps is None:
            faults.append(unknown_variable(name, ENV_PREFIX))
        elif not _is_utf8(text):
            faults.append(Fault(name, dotted(steps), "is not UTF-8"))
        else:
            _put(values, steps, _parse(text, steps))
            origins[steps] = name
    return faults


def _is_utf8(text: str) -> bool:
    """Tell whether the operating system could decode it: what it could not stands in the text as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _parse(text: str, steps: KeyPath) -> Any:  # noqa: ANN401 - any TOML value
    """Read a variable's text as TOML where the key takes no plain text; what cannot be parsed is judged as a text."""
    if schema_at(steps).get("type") == "string":
        return text
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _put(values: dict[str, Any], steps: KeyPath, value: object) -> None:
    for step in steps[:-1]:
        inner = values.setdefault(step, {})
        if not isinstance(inner, dict):
            return  # the file gives a value where a table belongs: validation names that fault
        values = inner
    values[steps[-1]] = value
