"""Who imports whom, read from the source: for the rules of the house, and for its picture in docs/architecture.md.

python -m tests.house          writes the picture anew
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("agent", "controller", "models")
PAGE: Final = ROOT / "docs" / "architecture.md"
ROW: Final = re.compile(r"^\| `(\w[\w/.]*)` \|([^|]+)\|([^|]*)\|([^|]*)\|$", re.MULTILINE)
PICTURE: Final = re.compile(r"(?<=```mermaid\n)flowchart.*?(?=```)", re.DOTALL)
GROUND: Final = frozenset(
    {
        "agent",
        *(f"agent/{name}.py" for name in ("durable", "errors", "extras", "policies", "redact", "scratch", "sheet")),
    }
)
"""What rooms stand on. An arrow to it would tell nothing: the picture leaves it out, the table does not."""


class Room(NamedTuple):
    """A row of the table of rooms."""

    holds: str
    may_import: frozenset[str]
    libraries: frozenset[str]
    """Beyond the standard library and what every room may use."""


def sources(*folders: str) -> list[Path]:
    """Every file of these folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax of a file."""
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


@cache
def modules() -> dict[str, Path]:
    """Every module of the packages by its dotted name."""
    found = {}
    for path in sources(*PACKAGES):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def module_of(name: str) -> str:
    """The module of ours that a full name is of; empty where it is none of ours."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name


def needs(module: str) -> set[str]:
    """The modules of ours that one imports."""
    found = {module_of(name) for name in imports(modules()[module])}
    return found - {"", module}


def room_of(module: str) -> str:
    """The room of a module: a folder of a package, or a file that stands in the package itself."""
    parts = module.split(".")[:2]
    path = "/".join(parts)
    return path if len(parts) == 1 or (ROOT / path).is_dir() else f"{path}.py"


def arrows() -> dict[str, set[str]]:
    """Every room, and the rooms it imports."""
    found: dict[str, set[str]] = {}
    for module in modules():
        here = found.setdefault(room_of(module), set())
        here |= {room_of(needed) for needed in needs(module)} - {room_of(module)}
    return found


def rooms() -> dict[str, Room]:
    """The table of rooms in docs/architecture.md."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len({name for name, *_ in rows}) == len(rows), "a room has two rows"
    return {
        name: Room(holds, frozenset(re.findall(r"`([^`]+)`", may)), frozenset(re.findall(r"`([^`]+)`", libraries)))
        for name, holds, may, libraries in rows
    }


def picture() -> str:
    """The rooms and their arrows as a Mermaid flowchart."""
    lines = ["flowchart TD"]
    shown = {room: needed - GROUND for room, needed in sorted(arrows().items()) if room not in GROUND}
    names = {room: re.sub(r"\W", "_", room) for room in shown}
    for package in PACKAGES:
        lines.append(f"  subgraph {package}_[{package}]")
        lines += [f'    {names[room]}["{room}"]' for room in shown if room.split("/")[0] == package]
        lines.append("  end")
    lines += [f"  {names[room]} --> {names[needed]}" for room in shown for needed in sorted(shown[room])]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Put the picture into the page."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PICTURE.sub(lambda _: picture(), page), encoding="utf-8")


if __name__ == "__main__":
    main()
