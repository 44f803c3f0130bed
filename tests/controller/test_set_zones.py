"""`controller set-zones`: what a file says goes onto the wire, and what is no zone does not."""

from pathlib import Path

import pytest

from controller.commands.zones import zones_of
from controller.errors import UsageError
from tests.broker import Broker
from tests.controller.conftest import run_inside
from tests.controller.responder import Responder, reply

FILE = """
[zones.weights]
polygon = [[0.1, 0.4], [0.6, 0.4], [0.6, 1.0]]
dwell_s = 600.0
[zones.mirror]
polygon = [[0.8, 0], [1, 0], [1, 0.5]]
mask = true
"""
ZONES = {
    "weights": {"polygon": [[0.1, 0.4], [0.6, 0.4], [0.6, 1.0]], "mask": False, "dwell_s": 600.0},
    "mirror": {"polygon": [[0.8, 0.0], [1.0, 0.0], [1.0, 0.5]], "mask": True, "dwell_s": 0.0},
}


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (("--file", "zones.toml"), {"zones": ZONES}),
        (("--none",), {"zones": {}}),
        (("--configured",), {"zones": None}),
    ],
)
def test_what_is_asked_goes_out(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], args: object
) -> None:
    """All zones of the file, none, or those of the configuration again; the box's answer ends it with 0."""
    monkeypatch.chdir(tmp_path)
    Path("zones.toml").write_text(FILE, encoding="utf-8")
    with Responder(broker.port, "gym-1", lambda asked: [reply("gym-1", asked, result={"zones": []})]) as box:
        code, _errors = run_inside("set-zones", "gym-1", *words, "--broker", f"127.0.0.1:{broker.port}")
        asked = box.request()
    assert (code, asked.name, asked.body["args"]) == (0, "set-zones", args)


@pytest.mark.parametrize("words", [(), ("--none", "--configured"), ("--file", "zones.toml", "--none")])
def test_one_way_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """Neither none nor two of them: wrong usage, and no broker is asked."""
    monkeypatch.chdir(tmp_path)
    Path("zones.toml").write_text(FILE, encoding="utf-8")
    code, errors = run_inside("set-zones", "gym-1", *words, "--broker", "127.0.0.1:1")
    assert code == 2
    assert "give one of" in errors


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[zones.a", "is no TOML"),
        ("[mqtt]\nport = 1\n", "only [zones.NAME] is expected"),
        ("[zones.A]\npolygon = [[0, 0], [1, 0], [1, 1]]\n", "zones: the name 'A'"),
        ("[zones.a]\npolygon = [[0, 0], [1, 0]]\n", "zones.a.polygon"),
        ("[zones.a]\npolygon = [[0, 0], [1, 0], [1, 2]]\n", "zones.a.polygon.2.1"),
        ("[zones.a]\npolygon = [[0, 0], [1, 1], [1, 0], [0, 1]]\n", "crosses itself"),
        ("[zones.a]\npolygon = [[0, 0], [1, 0], [1, 1]]\ndwell = 3\n", "zones.a.dwell"),
    ],
)
def test_what_is_no_zone_is_told_where_it_stands(tmp_path: Path, text: str, told: str) -> None:
    """The file, the key and the fault are named; nothing is sent."""
    path = tmp_path / "zones.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        zones_of(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
