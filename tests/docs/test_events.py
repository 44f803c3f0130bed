"""The page of events and the code say the same."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from agent.wire.messages import EVENT_CODES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "events.md"
NAME = re.compile(r"[a-z]+\.[a-z_]+")
ROW = re.compile(r"^\| `([a-z]+\.[a-z_]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]*?) ?\|$", re.MULTILINE)
LOGGED = {"debug", "info", "warning", "error", "exception"}
TOLD = {"note", "Note", "_event", "_tell"}
"""What brings an event to the broker."""
ON_BOTH = {"Note", "note", "_tell"}
"""Of those, what is logged as well."""


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def events() -> dict[str, set[str]]:
    """Every event of the source, and the names of the calls that tell it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / package for package in ("agent", "models")), key=str):
        for file in path.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or called(node) not in LOGGED | TOLD or not node.args:
                    continue
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str) and NAME.fullmatch(first.value):
                    found[first.value].add(called(node))
    return found


def page() -> dict[str, tuple[str, str, str, str]]:
    """Every row: severity, where, meaning, what to do."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len({row[0] for row in rows}) == len(rows), "an event has two rows"
    return {name: (severity, where, means, todo) for name, severity, where, means, todo in rows}


def test_every_event_has_a_row_and_every_row_an_event() -> None:
    """Whoever meets an event finds it on the page, and the page names none that does not exist."""
    assert len(events()) > 30, "the source is not read as it should be"
    assert events().keys() - page().keys() == set(), "not on docs/events.md"
    assert page().keys() - events().keys() == set(), "on docs/events.md, not in the source"


def test_the_page_says_where_an_event_appears() -> None:
    """What goes to the broker and what goes to the log is told as it is."""
    for name, calls in events().items():
        where = page()[name][1]
        assert ("broker" in where) is bool(calls & TOLD), f"{name} is told by {calls}"
        assert ("log" in where) is bool(calls & (LOGGED | ON_BOTH)), f"{name} is told by {calls}"


@pytest.mark.parametrize("name", sorted(page()))
def test_what_is_grave_has_a_cure(name: str) -> None:
    """An error or warning says what to do; the severity is one of three words."""
    severity, _where, means, todo = page()[name]
    assert severity.split(";")[0] in {"info", "warning", "error"}
    assert means.strip()
    if severity != "info" and name != "state.reset":
        assert todo.strip(), f"{name} does not say what to do"


def test_the_wire_lists_what_goes_to_the_broker() -> None:
    """The page of the wire names every code an event message can have."""
    wire = (ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
    told = {name for name, (_severity, where, *_rest) in page().items() if "broker" in where}
    section = wire[wire.index("/event`\n\n") : wire.index("## Commands")]
    assert set(re.findall(r"`([a-z]+\.[a-z_]+)`", section)) == told


def test_the_list_of_codes_is_what_goes_to_the_broker() -> None:
    """Whoever must know the codes beforehand, as Home Assistant does, is given every one."""
    told = {name for name, (_severity, where, *_rest) in page().items() if "broker" in where}
    assert set(EVENT_CODES) == told
    assert len(EVENT_CODES) == len(told)
