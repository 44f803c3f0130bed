"""What the controller needs, on a laptop that has nothing of the agent's."""

import subprocess
import sys
from pathlib import Path

import pytest

import controller

HERE = Path(controller.__file__).parents[1]
EVERYTHING = ", ".join(
    ".".join(path.relative_to(HERE).with_suffix("").parts) for path in (HERE / "controller").rglob("[a-z]*.py")
)


def loaded(modules: str) -> set[str]:
    """Return the names of all modules in a fresh interpreter after importing these."""
    code = f"import {modules}, sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_nothing_of_the_agent_but_the_wire() -> None:
    """All of the controller loads of the agent its wire and what all programs share, and no library of the box."""
    names = loaded(EVERYTHING)
    ours = {name for name in names if name.split(".")[0] == "agent"}
    assert "agent.wire.commands" in ours
    assert {name for name in ours if not f"{name}.".startswith("agent.wire.")} == {
        "agent",
        "agent.durable",
        "agent.lazy",
        "agent.sheet",
        "agent.stdout",
    }
    tops = {name.split(".")[0] for name in names}
    assert not tops & {"openvino", "numpy", "cv2", "structlog", "platformdirs", "pydantic_settings", "psutil", "models"}


@pytest.mark.parametrize("heavy", ["paho", "rich", "pydantic", "asyncio"])
def test_the_command_line_starts_light(heavy: str) -> None:
    """What only a command needs is not imported for --help and usage errors."""
    assert heavy not in {name.split(".")[0] for name in loaded("controller.cli")}
