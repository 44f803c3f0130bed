"""Which boxes `list`, `top` and `inventory` show, in which order, and what of them."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.messages import Status
from controller.client.columns import KNOWN, Condition, View
from controller.client.fleet import Agent
from controller.errors import UsageError
from tests import samples
from tests.broker import Broker
from tests.controller.conftest import put_agent, run_inside


def box(device_id: str, fps: float | None = 10.0, *, status: Status = Status.RUNNING, group: str = "halls") -> Agent:
    return Agent(
        device_id,
        "online",
        samples.info(device_id).model_copy(update={"groups": (group,)}),
        samples.state(device_id, status=status),
        samples.metrics(device_id, fps_mean=fps) if fps is not None else None,
    )


BOXES = [box("a", 9.0), box("b", 30.0, status=Status.DEGRADED), box("c", None), box("d", 2.5, group="roof")]


def ids(*conditions: str, group: str | None = None, sort: str = "device_id") -> list[str]:
    view = View(("device_id",), tuple(map(Condition.of, conditions)), group, sort)
    return [row["device_id"] for row in view.rows(BOXES)]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (("status=degraded",), ["b"]),
        (("status!=degraded",), ["a", "c", "d"]),
        (("fps<10",), ["a", "d"]),
        (("fps>=9", "status=run*"), ["a"]),
        (("fps>100",), []),
        (("model=movenet*",), ["a", "b", "c", "d"]),
        (("fps=*",), ["a", "b", "d"]),
        (("fps!=*",), ["c"]),
    ],
)
def test_conditions(conditions: tuple[str, ...], found: list[str]) -> None:
    """All of them hold; who does not tell a value is like none, and unlike every."""
    assert ids(*conditions) == found


def test_order_and_group() -> None:
    """By a number or a word, either way; who does not tell it comes last; a group is its members alone."""
    assert ids(sort="fps") == ["d", "a", "b", "c"]
    assert ids(sort="-fps") == ["b", "a", "d", "c"]
    assert ids(sort="-device_id") == ["d", "c", "b", "a"]
    assert ids(group="roof") == ["d"]


@pytest.mark.parametrize("text", ["status", "nothing=1", "fps<fast", "=x", "Status=x"])
def test_what_is_no_condition_is_wrong_usage(text: str) -> None:
    """The columns that there are stand in the hint."""
    with pytest.raises(UsageError):
        Condition.of(text)


@given(column=st.sampled_from(KNOWN), known=st.sampled_from([BOXES, [Agent("x")], [Agent("y", "offline")]]))
def test_every_column_is_told_of_every_box(column: str, known: list[Agent]) -> None:
    """Also of one that has said nothing yet; and each can be sorted by."""
    rows = View((column,), sort=f"-{column}").rows(known)
    assert [list(row) for row in rows] == [[column]] * len(known)


def test_the_commands_show_them(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` chooses, `inventory --csv` is CSV, `top` shows as often as it is told; no such column is wrong usage."""
    for name in ("gym-1", "gym-2"):
        put_agent(broker.port, name, availability=b"online" if name == "gym-1" else b"offline")
    at = ("--broker", f"127.0.0.1:{broker.port}")

    def shown(*words: str) -> str:
        capsys.readouterr()
        code, errors = run_inside(*words, *at)
        assert code == 0, errors
        return capsys.readouterr().out

    told = shown("list", "--where", "availability=online", "--columns", "device_id,cpu", "--json")
    assert json.loads(told)["devices"] == [{"device_id": "gym-1", "cpu": "Intel N100"}]
    assert "gym-2" not in shown("list", "--where", "status=running")
    table = list(csv.DictReader(io.StringIO(shown("inventory", "--csv"))))
    assert [(row["device_id"], row["cores"]) for row in table] == [("gym-1", "4"), ("gym-2", "4")]
    lines = shown("top", "--count", "2", "--sort", "-device_id", "--json").splitlines()
    assert [[row["device_id"] for row in json.loads(line)["devices"]] for line in lines] == [["gym-2", "gym-1"]] * 2
    code, errors = run_inside("list", "--columns", "nothing", *at)
    assert code == 2
    assert "columns:" in errors
