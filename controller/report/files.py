"""A study as CSV, Markdown and a file of its own, read and written."""

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from agent.wire.commands import Job
from agent.wire.study import Row, Study
from agent.wire.tuning import Tuning
from agent.wire.wording import in_words
from controller.errors import ControllerError
from controller.report.charts import charts
from controller.report.facts import facts, reasons, title
from controller.report.rows import COLUMNS, entries
from controller.report.words import conclusion

COMMANDS: Final = frozenset({"benchmark", "sweep"})
"""Whose jobs end with a study."""


def study_in(job: Job) -> Study | None:
    """Return the study of a job, finished or not; None of other jobs, and of a version that cannot be read."""
    if job.command not in COMMANDS or job.result is None:
        return None
    try:
        return Study.model_validate(job.result, extra="ignore")
    except ValidationError:
        return None


def tuning_in(job: Job) -> Tuning | None:
    """Return what a job `tune` has found; None of other jobs, and of a version that cannot be read."""
    if job.command != "tune" or job.result is None:
        return None
    try:
        return Tuning.model_validate(job.result, extra="ignore")
    except ValidationError:
        return None


def measured(path: Path) -> Study | Tuning:
    """Read what `sweep`, `benchmark` or `tune` has found. Raises :class:`ControllerError` where it is none of that."""
    try:
        return Tuning.model_validate_json(path.read_bytes().removeprefix(BOM_UTF8), extra="ignore")
    except (OSError, ValidationError):
        return read(path)


def read(path: Path) -> Study:
    """Read the file that --out has written. Raises :class:`ControllerError` where it is none."""
    try:
        return Study.model_validate_json(path.read_bytes().removeprefix(BOM_UTF8), extra="ignore")
    except OSError as error:
        raise ControllerError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ControllerError(
            f"{path} is no study: {in_words(error, 'the file')}",
            hint="give the file that --out of `controller sweep` has written",
        ) from error


def as_csv(study: Study) -> str:
    """One line for each row, with an empty `run`, and below it one for each of its runs, numbered from 1.

    Every figure of the document has a column, nested names joined by dots; unknown ones are empty.
    """
    lines: list[dict[str, object]] = []
    for number, entry in enumerate(entries(study)):
        row = entry.row.model_dump(mode="json", exclude={"runs"})
        known: dict[str, object] = {"row": number, "run": None, "name": entry.name}
        lines.append(known | dict(_flat("", row)))
        known |= dict(_flat("recipe", row["recipe"]))
        for order, run in enumerate(entry.row.runs, 1):
            lines.append(known | {"run": order} | dict(_flat("run", run.model_dump(mode="json"))))
    names = dict.fromkeys(name for line in lines for name in line)
    parents = {name.rpartition(".")[0] for name in names}  # without a value themselves wherever they have parts
    tops = ["row", "run", "name", *Row.model_fields]
    columns = sorted(
        (name for name in names if name not in parents or name in tops[:3]),
        key=lambda name: (name.startswith("run."), tops.index(name.partition(".")[0])),
    )
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def _flat(place: str, value: Any) -> Iterator[tuple[str, object]]:  # noqa: ANN401 - JSON
    match value:
        case Mapping():
            for name, inner in value.items():
                yield from _flat(f"{place}.{name}" if place else name, inner)
        case [int() | float() as low, int() | float() as high]:
            yield f"{place}.low", low
            yield f"{place}.high", high
        case list():
            yield place, ",".join(map(str, value))
        case _:
            yield place, value


def as_markdown(study: Study, pictures: Mapping[str, str]) -> str:
    """The report as Markdown; ``pictures`` are the addresses of charts by their names."""
    parts = [f"# {_plain(title(study))}", "## What it found"]
    parts.append("\n".join(f"- **{_plain(each.topic)}**{_lines(each.lines)}" for each in conclusion(study)))
    parts += [f"![{_plain(each.words)}]({pictures[each.name]})" for each in charts(study) if each.name in pictures]
    rows = [[column.text(entry) for column in COLUMNS] for entry in entries(study)]
    parts += ["## Every configuration", as_table([column.heading for column in COLUMNS], rows)]
    if unmeasured := [[entry.name, entry.row.status, reason] for entry, reason in reasons(study)]:
        parts += ["## Rows without figures", as_table(["configuration", "status", "reason"], unmeasured)]
    parts += [
        "## What was measured, on what",
        "\n".join(f"- {each.name}: {_plain(each.value)}" for each in facts(study)),
    ]
    parts += ["## What the figures mean", "\n".join(f"- **{each.heading}**: {each.meaning}" for each in COLUMNS)]
    return "\n\n".join(parts) + "\n"


def _lines(lines: tuple[str, ...]) -> str:
    """One line goes on behind its topic, several stand below it."""
    texts = [_plain(line) for line in lines]
    return f": {texts[0]}" if len(texts) == 1 else "".join(f"\n  - {text}" for text in texts)


def as_table(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown, whose cells are no Markdown themselves."""
    lines = [headings, ["---"] * len(headings), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Keep what a box has written from being read as Markdown."""
    return re.sub(r"([\\`*<>|\[\]])", r"\\\1", text)
