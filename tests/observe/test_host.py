"""Figures of the host: those of this machine, and of machines made of files."""

import socket
from pathlib import Path

import psutil
import pytest

from agent.observe.host import ProcessMeter, cpu_governors, cpu_model, host_info


def test_this_box_is_described() -> None:
    """The birth message names this very machine."""
    info = host_info()
    assert info.hostname == socket.gethostname()
    assert info.memory_mb == psutil.virtual_memory().total >> 20
    assert info.cores >= 1
    assert info.cpu
    assert info.os


def test_figures_of_this_process_are_its_own() -> None:
    """Memory is this process's resident set, and the processor's share is of the time since the reading before."""
    figures = ProcessMeter().figures()
    assert figures.rss_mb == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.1)
    assert figures.cpu_percent >= 0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "processor\t: 0\nmodel\t\t: 2\nmodel name\t: Intel Atom x6425RE\n\nmodel name\t: second\n",
            "Intel Atom x6425RE",
        ),
        ("processor\t: 0\nModel\t\t: Raspberry Pi 5\n", "Raspberry Pi 5"),
    ],
)
def test_processor_is_named_as_the_kernel_names_it(tmp_path: Path, text: str, name: str) -> None:
    """Intel and AMD carry a model name, ARM boards a board name."""
    (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    assert cpu_model(tmp_path) == name


def test_governors_are_listed_once(tmp_path: Path) -> None:
    """Cores that agree are one governor; a machine without frequency control has none."""
    assert cpu_governors(tmp_path) == ()
    for core, governor in enumerate(("powersave", "performance", "powersave")):
        folder = tmp_path / f"devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{governor}\n", encoding="ascii")
    assert cpu_governors(tmp_path) == ("performance", "powersave")
