"""The configuration of Prometheus is one, by Prometheus' own tool, and its alerts come when they should."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs" / "prometheus"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.mark.parametrize("words", [("check", "config", "prometheus.yml"), ("test", "rules", "rules.test.yml")])
def test_promtool_agrees(words: tuple[str, ...]) -> None:
    """`promtool check config`, rules included, and `promtool test rules` pass."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: Debian's package prometheus brings it")
    done = subprocess.run(["promtool", *words], cwd=CONFIGS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_ask_for_metrics_that_exist() -> None:
    """Every metric a rule reads is on the page of metrics, which is held to the agent."""
    known = set(re.findall(r"^\| `(edgepose_\w+)` \|", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE))
    text = (CONFIGS / "rules.yml").read_text(encoding="utf-8")
    asked = {name for expr in re.findall(r"expr: (.*)", text) for name in re.findall(r"\b(edgepose_\w+)[\[{ )]", expr)}
    labels = {"edgepose_status", "edgepose_camera_status"}
    assert asked
    assert asked | labels <= known
