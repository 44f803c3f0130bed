"""The command ``models``, run as a command."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from models.commands import options
from models.shelf.store import Store
from tests.nursery import NURSERY

MODELS = [sys.executable, "-m", "models.cli"]


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return NURSERY.run(["models", *arguments], {**os.environ, **environment})


def test_list(store: Store) -> None:
    """What the catalogue holds and what of it is installed, for machines and for people."""
    rows = {row["name"]: row for row in json.loads(run("list", "--json", "--models-dir", str(store.folder)).stdout)}
    assert rows["movenet-multipose"]["precisions"][:2] == ["FP32", "FP16"]
    assert rows["vtest"]["kind"] == "clip"
    assert rows["vtest"]["installed"]
    table = run("list", "--models-dir", str(store.folder)).stdout
    assert all(name in table for name in rows)
    assert "FP32 FP16" in table


def test_inspect(store: Store) -> None:
    """Inspect gives the same figures to machines and to people."""
    document = json.loads(run("inspect", "movenet-multipose", "--json", "--models-dir", str(store.folder)).stdout)
    assert document["licence"] == "Apache-2.0"
    table = run("inspect", "movenet-multipose", "--models-dir", str(store.folder)).stdout
    assert f"{document['gflops']:.3f} GFLOPs at 256x256" in table
    assert "keypoint_heatmap  [1,1..,1..,17]" in table


def test_fetch_of_what_is_there(store: Store) -> None:
    """Fetching what is installed says so, touches nothing and needs no network."""
    done = run("fetch", "movenet-multipose", "vtest", "--json", "--models-dir", str(store.folder))
    assert [row["fetched"] for row in json.loads(done.stdout)] == [False, False]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("fetch", "movenet"), "there is no network or clip called 'movenet'", "did you mean movenet-multipose?"),
        (("inspect", "movenet-multipose"), "movenet-multipose is not in", "models fetch movenet-multipose"),
        (("fetch", "vtest", "--from", "/nowhere"), "/nowhere does not exist", ""),
    ],
)
def test_known_fault_is_two_lines(arguments: tuple[str, ...], error: str, hint: str, tmp_path: Path) -> None:
    """A fault of the user's ends in `error:` and `hint:` on stderr, exit 1, no traceback, and nothing on stdout."""
    failed = run(*arguments, EDGEPOSE_PATHS__MODELS=str(tmp_path))
    lines = failed.stderr.splitlines()
    assert (failed.returncode, failed.stdout) == (1, "")
    assert lines[0].startswith(f"Error: {error}")
    assert (lines[1:] == []) if not hint else lines[1].startswith(f"Hint: {hint}")


def test_wrong_usage_exits_with_2() -> None:
    """A command line that makes no sense exits with 2."""
    assert run("fetch").returncode == 2
    assert run("inspect", "movenet-multipose", "--height", "none").returncode == 2


HEADER = ("network", "input", "people", "missed", "mean OKS", "layers in INT8", "over FP32", "size", "what")
ROW = ["movenet-multipose@INT8", "256x256", "127", "17", "0.951", "64 of 82", "1.91 x", "5.1 MB", "finds everybody"]


@pytest.mark.parametrize("width", [60, 80, 100, 110, 120, 200])
def test_a_table_fits(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal too narrow for the columns has a line for each figure: none is cut, and no word broken."""
    screen = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(options, "Console", lambda **_settings: screen)
    options.print_table(HEADER, [ROW, ROW, [*ROW[:-1], ""]])
    assert isinstance(screen.file, io.StringIO)
    shown = screen.file.getvalue()
    if width == 60:
        assert [line.split()[:1] for line in shown.splitlines()].count(["what"]) == 2, "what is empty has no line"
    assert all(len(line) <= width for line in shown.splitlines())
    assert all(shown.count(value) >= 2 for value in ROW[:-1])
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
    assert all(name in shown for name in HEADER)


def test_interrupt_ends_cleanly(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a package client's work exits with 130, ends the client and leaves nothing behind."""
    client = tmp_path / "bin" / "apt-get"
    client.parent.mkdir()
    started = tmp_path / "started"
    os.mkfifo(started)
    client.write_text(f"#!/bin/sh\necho $$ > {started}\nexec sleep 100\n")
    client.chmod(0o755)
    environment = {**os.environ, "PATH": f"{client.parent}:{os.environ['PATH']}", "HTTPS_PROXY": "http://127.0.0.1:9"}
    command = [*MODELS, "fetch", "vtest", "--models-dir", str(tmp_path / "cache")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        pid = int(started.read_text())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not any(path.is_file() for path in (tmp_path / "cache" / ".building").rglob("*"))


def test_help_imports_nothing_heavy() -> None:
    """Help and list answer without OpenVINO, numpy, requests or rich's progress bars."""
    code = (
        "import sys, models.cli\n"
        "heavy = {'openvino', 'numpy', 'requests', 'rich.progress', 'cv2'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_reported_to_anybody(tmp_path: Path) -> None:
    """Importing OpenVINO through this project writes no client id into the home folder and starts no process."""
    code = (
        "import models.shelf.inspect, psutil, sys\n"
        "sys.exit(f'children: {c}' if (c := psutil.Process().children(recursive=True)) else 0)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_what_is_removed_is_gone(store: Store, tmp_path: Path) -> None:
    """With --yes, whole, and said how much is free; without it nobody is here to be asked, and nothing is touched."""
    shutil.copytree(store.folder / "vtest", tmp_path / "vtest")
    folder = ["--models-dir", str(tmp_path)]
    unasked = run("remove", "vtest", *folder)
    assert (unasked.returncode, "--yes" in unasked.stderr, (tmp_path / "vtest").exists()) == (2, True, True)
    twice = run("remove", "vtest", "vtest", "--yes", "--json", *folder)
    (row,) = json.loads(twice.stdout)
    assert (row["name"], row["bytes"]) == ("vtest", sum(file.size for file in store.manifest("vtest").files.values()))
    assert not (tmp_path / "vtest").exists()
    again = run("remove", "vtest", "--yes", *folder)
    assert (again.returncode, "vtest is not in" in again.stderr) == (1, True)
    unknown = run("remove", "movenet", "--yes", *folder)
    assert "`models list` shows what there is" in unknown.stderr


def test_a_first_stage_is_not_removed_alone(store: Store, tmp_path: Path) -> None:
    """What another network needs stays, unless that goes with it."""
    for name in ("rtmpose-s", "yolox-tiny"):
        if name not in store.names():
            pytest.skip(f"{name} is not here")
        shutil.copytree(store.folder / name, tmp_path / name)
    folder = ["--yes", "--models-dir", str(tmp_path)]
    refused = run("remove", "yolox-tiny", *folder)
    assert (refused.returncode, "a part of rtmpose-s" in refused.stderr) == (1, True)
    both = run("remove", "yolox-tiny", "rtmpose-s", *folder)
    assert (both.returncode, Store(tmp_path).names()) == (0, ())
