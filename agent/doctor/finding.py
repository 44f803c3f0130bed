"""What a check of ``agent doctor`` finds."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; ``cure`` says what to do about it and is empty where nothing needs doing."""

    name: str
    level: Level
    finding: str
    cure: str = ""
