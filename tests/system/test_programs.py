"""What the three programs have in common: their versions, how they speak of faults, and what they do without room."""

import re
import subprocess
from pathlib import Path

import pytest

from agent import __version__
from agent.config.file import load
from agent.errors import ConfigError
from tests.nursery import BIN

PROGRAMS = ("agent", "controller", "models")


def ended(*words: str, out: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, its output in a file where one is named."""
    command = [str(BIN / words[0]), *words[1:]]
    if out is None:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    with Path(out).open("w", encoding="utf-8") as file:
        return subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=False, timeout=120)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_tells_its_version_alike(program: str) -> None:
    """One form for all three, on standard output."""
    assert ended(program, "--version").stdout == f"edgepose {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("agent", "check-config", "nowhere.toml"),
        ("agent", "run", "--config", "nowhere.toml"),
        ("agent", "fly"),
        ("controller", "fly"),
        ("controller", "list", "--broker", "http://x"),
        ("models", "fetch", "nowhere"),
        ("models", "fly"),
    ],
    ids=" ".join,
)
def test_faults_begin_alike(words: tuple[str, ...]) -> None:
    """`Error:`, and `Hint:` where there is a cure, whichever program it is and whoever found the fault."""
    done = ended(*words)
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("Usage:", "Try "))]
    assert done.returncode in {1, 2}
    assert [line for line in lines if re.match("error:|hint:|warning:", line)] == []
    assert any(line.startswith("Error: ") for line in lines)


@pytest.mark.parametrize(
    "words",
    [
        ("agent", "schema"),
        ("agent", "--help"),
        ("controller", "--help"),
        ("controller", "--version"),
        ("models", "list"),
    ],
    ids=" ".join,
)
def test_a_full_disk_is_told(words: tuple[str, ...]) -> None:
    """Where there is no room for the output that is an error with its cure: no traceback, and not exit 0."""
    done = ended(*words, out="/dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: the output cannot be written: No space left on device",
        "Hint: free some space where the output goes, or send it elsewhere",
    ]


@pytest.mark.parametrize("given", ["fp16", "Fp16", "FP16"])
def test_a_precision_is_written_in_any_case(given: str, tmp_path: Path) -> None:
    """In the file and in a variable as on a command line; the agent goes on in capitals."""
    file = tmp_path / "box.toml"
    file.write_text(f'[inference]\nprecision = "{given}"\n', encoding="utf-8")
    assert load(file, environ={}).inference.precision == "FP16"
    assert load(None, environ={"EDGEPOSE_INFERENCE__PRECISION": given}).inference.precision == "FP16"
    with pytest.raises(ConfigError, match="FP32"):
        load(None, environ={"EDGEPOSE_INFERENCE__PRECISION": "fp8"})


@pytest.mark.parametrize("given", ["::1", "[::1]"])
def test_an_address_of_ipv6_is_written_with_brackets_or_without(given: str, tmp_path: Path) -> None:
    """Wherever the configuration has a host or an address."""
    file = tmp_path / "box.toml"
    file.write_text(f'[mqtt]\nhost = "{given}"\n[prometheus]\naddress = "{given}"\n', encoding="utf-8")
    config = load(file, environ={})
    assert (config.mqtt.host, config.prometheus.address) == ("::1", "::1")
