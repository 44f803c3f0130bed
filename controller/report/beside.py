"""Studies of several boxes side by side: a line for each configuration, a column for each box."""

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from agent.wire.study import Study
from controller.client.fleet import printable
from controller.report.files import as_table
from controller.report.rows import Entry, entries, number


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known of each box, and its figures in the order of the boxes; None where it has no such row."""

    boxes: tuple[str, ...]
    """What each is called: its id, or the name of its file where an id comes twice."""
    studies: tuple[Study, ...]
    lines: tuple[tuple[str, tuple[Entry | None, ...]], ...]
    """Configuration, and its row of each box."""

    @property
    def about(self) -> list[str]:
        """What each box is, in the order of the columns."""
        return [
            printable(f"{box}: {each.host.cpu}, {each.host.cores} cores, OpenVINO {each.openvino_version}")
            for box, each in zip(self.boxes, self.studies, strict=True)
        ]

    @property
    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headings, and a line of texts for each configuration."""
        best = [each.best_throughput for each in self.studies]
        chosen = [each.rows[at] if at is not None else None for each, at in zip(self.studies, best, strict=True)]
        rows = [
            [name, *(_cell(entry, chosen=of) for entry, of in zip(found, chosen, strict=True))]
            for name, found in self.lines
        ]
        return ["configuration", *self.boxes], rows

    def as_markdown(self) -> str:
        """The table, and what the boxes are."""
        return as_table(*self.table) + "\n\n" + "\n".join(f"- {each}" for each in self.about) + "\n"

    def as_csv(self) -> str:
        """A line for each configuration of each box; unknown figures are empty."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["configuration", "box", "processor", "status", "fps", "latency_ms", "cpu_ms"])
        for name, found in self.lines:
            for box, study, entry in zip(self.boxes, self.studies, found, strict=True):
                if entry is not None:
                    row = entry.row
                    figures = [row.fps and row.fps.mean, row.latency_ms and row.latency_ms.mean, entry.cpu_ms]
                    told = ["" if each is None else each for each in figures]
                    writer.writerow([name, box, printable(study.host.cpu), row.status, *told])
        return stream.getvalue()


def side_by_side(studies: Sequence[tuple[str, Study]]) -> Beside:
    """Put studies, each with the name of its file, beside each other: rows of the same recipe stand on one line."""
    ids = [printable(study.device_id) for _file, study in studies]
    boxes = tuple(box if ids.count(box) == 1 else file for (file, _study), box in zip(studies, ids, strict=True))
    # Together, so that a recipe has one name in all of them.
    together = studies[0][1].model_copy(update={"rows": tuple(row for _file, each in studies for row in each.rows)})
    named = iter(entries(together))
    lines: dict[str, tuple[str, list[Entry | None]]] = {}
    for place, (_file, study) in enumerate(studies):
        for entry in itertools.islice(named, len(study.rows)):
            _name, found = lines.setdefault(entry.alike(), (entry.name, [None] * len(studies)))
            found[place] = entry
    told = tuple((name, tuple(row)) for name, row in lines.values())
    return Beside(boxes, tuple(study for _file, study in studies), told)


def _cell(entry: Entry | None, *, chosen: object) -> str:
    if entry is None:
        return "-"
    if not entry.measured:
        return entry.row.status
    told = f"{number(entry.fps.mean)} fps, {number(entry.latency.mean)} ms"
    if entry.row.accurate is False:
        return f"{told}, loses people"
    return f"{told}, best" if entry.row is chosen else told
