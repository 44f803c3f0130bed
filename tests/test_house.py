"""The rules of the house, held by reading the source."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("agent", "controller", "models")
LINES_PER_FILE = 300
LINES_PER_FUNCTION = 40


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Full name of everything a file imports, wherever in it the import stands."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def importers(module: str, *folders: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for path in sources(*folders)
        if any(name == module or name.startswith(f"{module}.") for name in imports(path))
    }


def docstring_lines(node: ast.AST) -> int:
    """Lines of the docstrings in a piece of source, those of inner functions and classes included."""
    described = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return sum(
        (inner.body[0].end_lineno or 0) - inner.body[0].lineno + 1
        for inner in ast.walk(node)
        if isinstance(inner, described) and ast.get_docstring(inner) is not None
    )


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1 - docstring_lines(node)


def test_openvino_stays_in_its_rooms() -> None:
    """Only agent/inference and models know OpenVINO."""
    outside = {
        file for file in importers("openvino", *PACKAGES) if not file.startswith(("agent/inference/", "models/"))
    }
    assert not outside


def test_cameras_are_opened_in_capture_alone() -> None:
    """Only agent/capture opens a VideoCapture."""
    users = {
        str(path.relative_to(ROOT))
        for path in sources(*PACKAGES)
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Attribute) and node.attr == "VideoCapture")
        or (isinstance(node, ast.Name) and node.id == "VideoCapture")
    }
    assert {user for user in users if not user.startswith("agent/capture/")} == set()


def test_paho_has_one_door_in_each_program() -> None:
    """One file of the agent's link and the controller's client import paho, nothing else does."""
    doors = importers("paho", *PACKAGES)
    in_agent = {file for file in doors if file.startswith("agent/link")}
    assert len(in_agent) <= 1
    assert doors - in_agent <= {"controller/client.py"}


def test_wire_needs_pydantic_alone() -> None:
    """What describes the wire imports the standard library, pydantic and itself, so that anybody can use it."""
    foreign = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("agent/wire")
        for name in imports(path)
        if name.split(".")[0] not in {*sys.stdlib_module_names, "pydantic"} and not name.startswith("agent.wire.")
    }
    assert not foreign


def test_controller_knows_the_wire_alone() -> None:
    """The controller imports nothing of the agent but agent.wire, and nothing of models: a laptop has neither."""
    inner = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("controller")
        for name in imports(path)
        if name.split(".")[0] in {"agent", "models"} and not name.startswith("agent.wire")
    }
    assert not inner


def test_files_are_short() -> None:
    """No file of the packages is longer than a person reads in one sitting, docstrings not counted."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) - docstring_lines(tree(path))
        for path in sources(*PACKAGES)
    }
    assert not {file: lines for file, lines in lengths.items() if lines > LINES_PER_FILE}


def test_functions_are_short() -> None:
    """No function of the packages is longer than a screen, docstrings not counted."""
    lengths = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": function_lines(node)
        for path in sources(*PACKAGES)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {function: lines for function, lines in lengths.items() if lines > LINES_PER_FUNCTION}


# Written so that it does not find itself.
UNWANTED = re.compile(
    r"registry\.npmjs|pypi\.org|files\.pythonhosted|deb\.debian\.org|(?<![\w.])/[r]oot/|(?<![\w.])/[w]ork/"
)


def test_the_repository_names_no_machine_and_no_registry() -> None:
    """No committed file holds a path of the machine it was written on or the host name of a package registry."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository here: .git is missing")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = (ROOT / name for name in listed.split("\0") if name)
    found = {
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in files
        if file.is_file()
        for match in UNWANTED.finditer(file.read_text(encoding="utf-8", errors="replace"))
    }
    assert not found
