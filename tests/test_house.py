"""The rules of the house, held by reading the source."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import click
import pytest

from agent.cli import agent
from agent.lazy import LazyGroup
from controller.cli import cli as controller
from models.cli import cli as models
from tests.house import (
    PACKAGES,
    PAGE,
    PICTURE,
    ROOT,
    arrows,
    imports,
    modules,
    needs,
    picture,
    room_of,
    rooms,
    sources,
    tree,
)

INNER_IMPORTS_MAX = 9
"""Imports inside functions, each with its reason beside it."""
BELOW_JUDGING = frozenset({"agent.durable", "agent.errors", "agent.policies", "agent.stdout", "agent.wire.wording"})
"""What the lower floors of `models`, and the package itself, know of the agent."""


def test_every_room_imports_what_the_table_says() -> None:
    """Each room imports of ours what its row in docs/architecture.md allows, and its row allows nothing idle."""
    found, allowed = arrows(), rooms()
    assert found.keys() == allowed.keys(), "every room has a row, and every row a room"
    differ = {
        room: {"not allowed": needed - allowed[room].may_import, "idle": allowed[room].may_import - needed}
        for room, needed in found.items()
        if needed != allowed[room].may_import
    }
    assert not differ


def test_a_library_has_its_doors() -> None:
    """A library that the table names is imported in the rooms that name it and nowhere else."""
    table = rooms()
    held = frozenset().union(*(room.libraries for room in table.values()))
    assert held >= {"openvino", "paho", "cv2"}
    used: dict[str, set[str]] = {room: set() for room in table}
    for module, path in modules().items():
        used[room_of(module)] |= {name.split(".")[0] for name in imports(path)} & held
    assert used == {name: room.libraries for name, room in table.items()}


def test_no_two_files_need_each_other() -> None:
    """No circle among the files, however long."""
    try:
        TopologicalSorter({module: needs(module) for module in modules()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_floors_of_models() -> None:
    """Below judging the agent's errors, policies and words for faults are known; the agent knows the shelf alone."""
    below = {module for module in modules() if re.match(r"models(\.(shelf|getting)\b|$)", module)}
    assert len(below) > 10
    known = {(module, needed) for module in below for needed in needs(module) if needed.split(".")[0] == "agent"}
    assert {needed for _, needed in known} <= BELOW_JUDGING, known
    above = {
        (module, needed)
        for module in modules()
        if module.split(".")[0] == "agent" and module != "agent.demo"
        for needed in needs(module)
        if needed.startswith("models") and not needed.startswith("models.shelf")
    }
    assert not above


def test_the_picture_is_of_this_house() -> None:
    """The picture in docs/architecture.md shows the imports as they are; `make house` makes it anew."""
    shown = PICTURE.search(PAGE.read_text(encoding="utf-8"))
    assert shown is not None
    assert shown[0] == picture()


def test_imports_stand_at_the_top() -> None:
    """An import inside a function is an exception, and says why."""
    lines = {
        f"{path.relative_to(ROOT)}:{number}": line
        for path in sources(*PACKAGES)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "noqa: PLC0415" in line
    }
    assert len(lines) <= INNER_IMPORTS_MAX, lines
    assert not [place for place, line in lines.items() if "noqa: PLC0415 - " not in line]


@pytest.mark.parametrize("group", [agent, controller, models])
def test_the_list_of_commands_says_what_the_commands_say(group: click.Group) -> None:
    """Every command is where the table has it, under its name, with the first sentence of its help."""
    assert isinstance(group, LazyGroup)
    context = click.Context(group)
    for name, place in group.places.items():
        command = group.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(1000) == place.summary


@pytest.mark.parametrize("package", ["agent", "controller", "models"])
def test_help_imports_no_command(package: str) -> None:
    """The list of commands, and completing a name, load none of them: --help answers at once."""
    code = (
        f"import sys; from {package}.cli import {'agent' if package == 'agent' else 'cli'} as group\n"
        "import click; context = click.Context(group, info_name='x'); group.get_help(context)\n"
        "group.shell_complete(context, '')\n"
        f"print(*(name for name in sys.modules if name.startswith('{package}.commands.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"controller.commands.options"}


def test_nobody_opens_a_video_capture() -> None:
    """Cameras and files are read through PyAV, in agent/capture; a VideoCapture hides errors and time stamps."""
    users = {
        str(path.relative_to(ROOT))
        for path in sources(*PACKAGES)
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Attribute) and node.attr == "VideoCapture")
        or (isinstance(node, ast.Name) and node.id == "VideoCapture")
    }
    assert users == set()


def test_paho_has_one_door_in_each_program() -> None:
    """One file of the agent's link and the controller's connection import paho, nothing else does."""
    doors = {
        module for module, path in modules().items() if any(f"{name}.".startswith("paho.") for name in imports(path))
    }
    assert doors == {"agent.link.session", "controller.client.connection"}


def test_wire_needs_pydantic_alone() -> None:
    """What describes the wire imports the standard library, pydantic with its core, and itself: anybody can use it."""
    foreign = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("agent/wire")
        for name in imports(path)
        if name.split(".")[0] not in {*sys.stdlib_module_names, "pydantic", "pydantic_core"}
        and not name.startswith("agent.wire.")
    }
    assert not foreign


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


def test_one_place_ends_a_thread_of_paho() -> None:
    """Whoever ends it anywhere else leaves two sockets to the collector, and a later test fails for it."""
    calls = {
        (node.func.attr, str(path.relative_to(ROOT)))
        for path in sources("tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    begun = {path for name, path in calls if name == "loop_start"}
    assert {path for name, path in calls if name == "loop_stop"} == {"tests/broker.py"}
    assert {path for path in begun if "hang_up(" not in (ROOT / path).read_text(encoding="utf-8")} == set()
