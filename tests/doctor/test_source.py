"""What `check-config` and `doctor` say of ``camera.source`` before anybody stands before a dark screen."""

import pytest

from agent.config.tree import Camera, Config, Model
from agent.doctor.known import require_known
from agent.errors import ConfigError


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("rtps://cam/1", "cannot read rtps:// addresses"),
        ("rtsp://cam:99999/1", "is not a valid address"),
        ("rtsp://gym:a@b/c@cam/1", "is not a valid address"),
        ("clip:nowhere", "nowhere"),
        ("clip:rtsp://u:pw@cam/1", "is no address"),
    ],
)
def test_a_source_that_cannot_be(source: str, words: str) -> None:
    """A slip in scheme, port, password or clip is found without connecting anywhere; no password is repeated."""
    with pytest.raises(ConfigError, match=words) as caught:
        require_known(Config(device_id="gym", camera=Camera(source=source)), "box.toml")
    assert "box.toml: camera.source: " in str(caught.value)
    assert not {"a@b", "pw@"} & set(str(caught.value).split())


@pytest.mark.parametrize(
    "source", ["rtsp://cam/1", "/dev/video0", "3", "https://gym:a%40b@[fe80::1%25eth0]:8443/x", "a.mp4"]
)
def test_a_source_that_may_be(source: str) -> None:
    """Whether it is there is for the box to say."""
    require_known(Config(device_id="gym", camera=Camera(source=source)), "box.toml")


def test_a_first_stage_alone_starts_nowhere() -> None:
    """A network that finds people and no joints is told by `check-config`, not only by the agent's end."""
    with pytest.raises(ConfigError, match=r"box\.toml: model: yolox-tiny finds people and no joints"):
        require_known(Config(device_id="gym", model=Model(name="yolox-tiny")), "box.toml")
