"""A study as one HTML page that fetches nothing: its charts are in it, there is no script, no font, no style sheet."""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from agent.wire.study import Study
from agent.wire.wording import many
from controller.report.charts import charts
from controller.report.compare import Finding
from controller.report.facts import RUN_HEADINGS, RUN_MEANING, facts, reasons, run_cells, title
from controller.report.inline import STYLE as CHARTS_STYLE
from controller.report.inline import figure
from controller.report.rows import COLUMNS, entries, runs_of
from controller.report.words import conclusion

STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 100rem; margin: 0 auto; }
body { padding: 1rem clamp(.7rem, 2vw, 1.5rem) 4rem; }
p, dl { max-width: 70rem; }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 2.5rem; }
dt { font-weight: 600; margin-top: .7rem; }
dd { margin: 0 0 0 1.2rem; }
figure { margin: 1.5rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .45rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
td.figure, th.figure { text-align: right; }
td.figure { white-space: nowrap; }
@media (max-width: 85rem) { table { font-size: 12px; } td.figure { white-space: normal; } }
tr.set { font-weight: 600; background: var(--soft); }
tr.not td { opacity: .65; }
@media print {
  body { max-width: none; padding: 0; font-size: 11px; }
  table { font-size: 8px; }
  th, td { padding: 1px 3px; }
  td.figure, th { white-space: normal; }
  figure, tr, dd { break-inside: avoid; }
  .wide { overflow: visible; }
}
"""


def as_html(study: Study) -> str:
    """Make the page; it is XML as well."""
    return whole(
        title(study),
        section("What it found", _findings(conclusion(study))),
        section("Charts", map(figure, charts(study))),
        section("Every configuration", _rows(study)),
        section("Rows without figures", _reasons(study)),
        section("What was measured, on what", pairs((fact.name, escape(fact.value)) for fact in facts(study))),
        section("What the figures mean", pairs((each.heading, _code(each.meaning)) for each in COLUMNS)),
        section("Every run", _runs(study)),
    )


def whole(name: str, *sections: Iterable[str]) -> str:
    """A page of this title, of sections that are HTML already; XML as well."""
    name = escape(name)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml">\n<head>\n<meta charset="utf-8" />',
            '<meta name="viewport" content="width=device-width, initial-scale=1" />',
            f"<title>{name}</title>\n<style>{STYLE}{CHARTS_STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>",
            *(part for each in sections for part in each),
            "</body>\n</html>\n",
        ]
    )


def section(heading: str, parts: Iterable[str]) -> Iterator[str]:
    """Nothing at all where there is nothing to say."""
    if found := list(parts):
        yield f"<h2>{escape(heading)}</h2>"
        yield from found


def _findings(found: list[Finding]) -> Iterator[str]:
    yield from pairs((each.topic, "<br />".join(map(escape, each.lines))) for each in found)


def pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Names, and texts that are HTML already."""
    inner = "\n".join(f"<dt>{escape(name)}</dt><dd>{text}</dd>" for name, text in pairs)
    if inner:
        yield f"<dl>\n{inner}\n</dl>"


def _code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _rows(study: Study) -> Iterator[str]:
    best = {study.best_throughput, study.best_latency}
    lines = []
    for number, entry in enumerate(entries(study)):
        kind = "set" if number in best and entry.choosable else "" if entry.choosable else "not"
        kind = "" if entry.kind == "original" else kind
        lines.append((kind, [column.text(entry) for column in COLUMNS]))
    if lines:
        yield table([each.heading for each in COLUMNS], lines, [each.figure for each in COLUMNS])
        yield "<p>Bold: the best. Pale: not to be chosen.</p>"


def _reasons(study: Study) -> Iterator[str]:
    lines = [("", [entry.name, entry.row.status, reason]) for entry, reason in reasons(study)]
    if lines:
        yield table(["configuration", "status", "reason"], lines, [False] * 3)


def _runs(study: Study) -> Iterator[str]:
    lines = [("", run_cells(*each)) for each in runs_of(study)]
    if lines:
        every = table(RUN_HEADINGS, lines, [False, *[True] * (len(RUN_HEADINGS) - 2), False])
        # Open: what is folded is not printed.
        yield f"<p>{escape(RUN_MEANING)}</p>"
        yield f'<details open="open"><summary>{many(len(lines), "run")}</summary>\n{every}\n</details>'


def table(headings: Sequence[str], lines: Iterable[tuple[str, list[str]]], figures: Sequence[bool]) -> str:
    """Rows, each of a class and its cells; ``figures`` says which columns stand on the right."""
    kinds = [' class="figure"' if figure else "" for figure in figures]
    head = "".join(f'<th scope="col"{kind}>{escape(text)}</th>' for kind, text in zip(kinds, headings, strict=True))
    body = "\n".join(
        f'<tr class="{kind}">'
        + "".join(f"<td{own}>{escape(text)}</td>" for own, text in zip(kinds, cells, strict=True))
        + "</tr>"
        for kind, cells in lines
    )
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
