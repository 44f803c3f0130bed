"""The guide to the configuration is true."""

import re
from pathlib import Path

import pytest

from agent.config.faults import steps_of
from agent.config.file import ENV_PREFIX, FOREIGN_VARIABLES, load
from agent.errors import ConfigError

GUIDE = Path(__file__).parents[2] / "docs" / "configuration.md"
TEXT = GUIDE.read_text(encoding="utf-8")
SET_UPS = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", SET_UPS)
def test_every_set_up_of_the_guide_loads(text: str, tmp_path: Path) -> None:
    """What the guide shows is a configuration without a fault, once the files it names are there."""
    for name in ("password", "ca.pem", "command-keys"):
        (tmp_path / name).touch()
    path = tmp_path / "box.toml"
    path.write_text(text.replace("/etc/edgepose", str(tmp_path)), encoding="utf-8")
    load(path, environ={})


def test_every_variable_of_the_guide_exists() -> None:
    """The guide names no variable the agent would refuse, but for the one that shows how it refuses."""
    named = set(re.findall(rf"\b{ENV_PREFIX}[A-Z_]+", TEXT)) - FOREIGN_VARIABLES - {ENV_PREFIX}
    assert {name for name in named if steps_of(name.removeprefix(ENV_PREFIX).split("__")) is None} == {
        "EDGEPOSE_MQTTT__HOST"
    }


def test_faults_read_as_the_guide_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of a faulty file prints what the guide says it prints."""
    monkeypatch.chdir(tmp_path)
    Path("box.toml").write_text('[camera]\npace = "natve"\n[mqtt]\nprt = 1883\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(Path("box.toml"), environ={"EDGEPOSE_MQTTT__HOST": "broker.lan"})
    (shown,) = re.findall(r"^Error: (.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert shown.splitlines() == str(caught.value).splitlines()
