"""Which broker, and who we are there, by a name: the profiles of one file."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from controller.errors import UsageError

DEFAULT: Final = "default"
FILES: Final = frozenset({"password_file", "cafile", "cert", "key", "signing_key"})
TEXTS: Final = frozenset({"broker", "username", "prefix"})
NUMBERS: Final = frozenset({"timeout"})
KNOWN: Final = FILES | TEXTS | NUMBERS


def file_of(environ: Mapping[str, str]) -> Path:
    """Where the profiles stand."""
    home = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "edgepose" / "controller.toml"


def profile(name: str | None, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the options of a profile by their names; without a name those of `default`, which need not be there.

    Files are named from the folder of the profiles' file. Raises :class:`UsageError`, which never quotes a value.
    """
    path = file_of(environ)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if name is None:
            return {}
        raise UsageError(f"there is no {path}", hint=f"write one with a section [{name}]") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    found = document.get(name or DEFAULT)
    if found is None and name is None:
        return {}
    if not isinstance(found, dict):
        seen = ", ".join(each for each, value in document.items() if isinstance(value, dict)) or "none"
        raise UsageError(f"{path} has no profile {name!r}", hint=f"it has: {seen}")
    return {key: _value(path, name or DEFAULT, key, value) for key, value in found.items()}


def _value(path: Path, name: str, key: str, value: object) -> Any:  # noqa: ANN401 - as the options have it
    at = f"{path}: [{name}] {key}"
    if key not in KNOWN:
        cure = "a password stands in a file of its own: password_file" if key == "password" else ""
        raise UsageError(f"{at} is no option of a profile", hint=cure or f"known: {', '.join(sorted(KNOWN))}")
    if key in NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3600:
            raise UsageError(f"{at}: expected a number of seconds above 0, at most 3600")
        return float(value)
    if not isinstance(value, str) or not value:
        raise UsageError(f"{at}: expected a text")
    if key in TEXTS:
        return value
    file = path.parent / Path(value).expanduser()
    if not file.is_file():
        raise UsageError(f"{at}: there is no file {file}")
    return file
