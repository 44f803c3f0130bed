"""The page of promises is the table of `make fault`, and each row has a short form in `make test`."""

import ast
import re
from pathlib import Path

import pytest

from tests.fault.rows import ROWS
from tests.fault.table import Row, Scale, Stage, as_table, judge

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")


def test_the_page_has_every_row_and_no_other() -> None:
    """Name, promise and figure stand on the page as they are measured, and the files of the short form."""
    listed = re.findall(r"^\| `([a-z.-]+)` \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert [told[:3] for told in listed] == [(row.name, row.promise, row.wanted) for row in ROWS]
    for row, (*_, links) in zip(ROWS, listed, strict=True):
        files = {place.partition("::")[0] for place in row.short}
        assert {f"tests/{link}" for link in re.findall(r"\(\.\./tests/(.+?)\)", links)} == files, row.name


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_has_its_short_form(row: Row) -> None:
    """The tests a row names are there."""
    assert row.short
    for place in row.short:
        file, _, name = place.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, place


@pytest.mark.parametrize(
    ("measured", "at_least", "kept"), [(1.0, False, True), (1.1, False, False), (1.0, True, True), (0.9, True, False)]
)
def test_a_row_is_held_against_its_figure(tmp_path: Path, measured: float, at_least: bool, kept: bool) -> None:
    """At most, or at least, what was promised."""
    row = Row("a.b", "It holds", 1.0, "s", lambda _: measured, ("x",), at_least)
    verdict = judge(row, Stage(tmp_path, Scale(), lambda _: None))
    assert verdict.kept is kept
    assert ("NOT KEPT" in as_table([verdict])) is not kept


def test_what_breaks_is_not_kept(tmp_path: Path) -> None:
    """An error of an experiment is the verdict of every row that looks at it, with its reason."""
    tries = []

    def breaks(_stage: Stage) -> float:
        tries.append(1)
        raise AssertionError("no poses")

    stage = Stage(tmp_path, Scale(), lambda _: None)
    verdicts = [judge(Row("a.b", "It holds", 1.0, "s", lambda stage: stage.once(breaks), ("x",)), stage) for _ in "ab"]
    assert [(verdict.kept, verdict.reason) for verdict in verdicts] == [(False, "AssertionError: no poses")] * 2
    assert len(tries) == 1
