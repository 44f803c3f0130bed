"""Promises as rows: each has a figure, a measurement that gives it, and the short form of it in `make test`."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the full form is."""

    warm_up_s: float = 180.0
    """So long an agent runs before growth of its memory is measured."""
    outages: int = 20
    outage_max_s: float = 60.0
    flips: int = 1000
    agents: int = 100

    @property
    def full(self) -> bool:
        """Whether this is what the promises speak of."""
        return self == Scale()


class Stage:
    """What the measurements of one run share: a folder, the scale, and what was found by those that serve two rows."""

    def __init__(self, folder: Path, scale: Scale, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.scale = scale
        self.say = say
        self._found: dict[Callable[[Any], Any], Any] = {}

    def once(self, experiment: Callable[["Stage"], Found]) -> Found:
        """What an experiment finds; it is done for the first row that asks, and an error of it is every row's."""
        if experiment not in self._found:
            try:
                self._found[experiment] = experiment(self)
            except Exception as error:  # noqa: BLE001 - raised below, for each row that asks
                self._found[experiment] = error
        found = self._found[experiment]
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    def room(self) -> Path:
        """An empty folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))


@dataclass(frozen=True, slots=True)
class Row:
    """One promise."""

    name: str
    promise: str
    limit: float
    unit: str
    measure: Callable[[Stage], float]
    short: tuple[str, ...]
    """The tests of `make test` that hold it without its figure: file, and function."""
    at_least: bool = False

    @property
    def wanted(self) -> str:
        """The figure in words."""
        return f"at {'least' if self.at_least else 'most'} {self.limit:g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a row."""

    row: Row
    measured: float | None
    """None when it could not be measured because something else broke."""
    reason: str = ""
    took_s: float = field(default=0.0, compare=False)

    @property
    def kept(self) -> bool:
        """Whether the figure is within what was promised."""
        if self.measured is None:
            return False
        return self.measured >= self.row.limit if self.row.at_least else self.measured <= self.row.limit

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        row = self.row
        return {
            "name": row.name,
            "promise": row.promise,
            "wanted": row.wanted,
            "limit": row.limit,
            "measured": self.measured,
            "unit": row.unit,
            "kept": self.kept,
            "reason": self.reason,
            "took_s": round(self.took_s, 1),
        }


COLUMNS: Final = "{:<22} {:<24} {:<16} {:<9} {}"


def judge(row: Row, stage: Stage) -> Verdict:
    """Measure one row."""
    began = time.monotonic()
    try:
        measured, reason = round(row.measure(stage), 3), ""
    except Exception as error:  # noqa: BLE001 - whatever broke, the promise was not kept
        measured, reason = None, f"{type(error).__name__}: {error}"
    return Verdict(row, measured, reason, time.monotonic() - began)


def as_table(verdicts: list[Verdict]) -> str:
    """For people."""
    lines = [COLUMNS.format("row", "wanted", "measured", "", "promise")]
    for verdict in verdicts:
        row = verdict.row
        measured = "-" if verdict.measured is None else f"{verdict.measured:g} {row.unit}"
        lines.append(
            COLUMNS.format(row.name, row.wanted, measured, "kept" if verdict.kept else "NOT KEPT", row.promise)
        )
        if verdict.reason:
            lines.append(f"  {verdict.reason[:2000]}")
    return "\n".join(lines)
