"""The page beside the code."""

import re
import tomllib
from pathlib import Path

from agent.capture import redact
from agent.capture.address import parse
from agent.config.tree import Camera

README = Path(__file__).parents[2] / "agent" / "capture" / "README.md"


def test_samples_of_the_readme_are_valid() -> None:
    """Every sample configuration of the page loads, and its source can be parsed and shown."""
    samples = re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    cameras = [Camera.model_validate(tomllib.loads(sample)["camera"]) for sample in samples]
    assert len(cameras) >= 4
    for camera in cameras:
        parse(camera.source)
        assert "secret" not in redact(camera.source)
