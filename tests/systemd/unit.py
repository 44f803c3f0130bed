"""A unit file, read as far as the stand-in needs it. The standard library alone: it also runs on a bare box."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

UNITS_S = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 0.001, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Unit:
    """What one instance of a template says; values in order, an empty one resets those before it."""

    instance: str
    settings: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path, instance: str) -> "Unit":
        """Read a template as ``instance``."""
        settings: dict[str, list[str]] = {}
        for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            key, equals, value = line.strip().partition("=")
            if not equals or key.startswith(("#", ";")):
                continue
            value = re.sub("%(.)", lambda found: {"i": instance, "%": "%"}[found[1]], value.strip())
            settings[key] = [*settings.get(key, ()), value] if value else []
        return cls(instance, settings)

    def one(self, key: str, default: str = "") -> str:
        """The last value of a setting."""
        return (self.settings.get(key) or [default])[-1]

    def seconds(self, key: str, default: str = "0") -> float:
        """A time span such as ``1min 30s``."""
        spans = re.findall(r"([\d.]+)\s*([a-z]*)", self.one(key, default))
        return sum(float(number) * UNITS_S[unit] for number, unit in spans)

    def command(self) -> list[str]:
        """The words of ExecStart."""
        return shlex.split(self.one("ExecStart"))

    def environment(self) -> dict[str, str]:
        """What Environment and EnvironmentFile set; a file with a dash may be missing."""
        words = [word for value in self.settings.get("Environment", ()) for word in shlex.split(value)]
        for name in self.settings.get("EnvironmentFile", ()):
            path = Path(name.removeprefix("-"))
            if path.exists() or not name.startswith("-"):
                words += shlex.split(path.read_text(encoding="utf-8"), comments=True)
        return dict(word.split("=", 1) for word in words)
