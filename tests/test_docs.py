"""The documentation is true: commands exist and run, topics, keys and links lead somewhere, examples are messages."""

import ast
import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from agent.capture import frame as capture
from agent.cli import agent
from agent.config.file import load
from agent.config.tree import Config
from agent.control.machine import diagram
from agent.errors import ModelError
from agent.wire import messages
from agent.wire.topics import Topics
from controller.cli import cli as controller
from controller.commands import change
from models.cli import cli as models
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.fault.rows import ROWS

ROOT = Path(__file__).parents[1]
FOLDERS = ("systemd", "agent/capture", "configs/mosquitto")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / folder / "README.md" for folder in FOLDERS), *ROOT.glob("docs/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS: dict[str, click.Group] = {"agent": agent, "controller": controller, "models": models}


def commands_of(group: click.Group) -> dict[str, click.Command]:
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


COMMANDS = {program: commands_of(group) for program, group in PROGRAMS.items()}
KINDS = {kind.model_fields["schema_"].default: kind for kind in messages.Message.__subclasses__()}
TOPICS = Topics("hall")
LEAVES = {getattr(TOPICS, name) for name, value in vars(Topics).items() if isinstance(value, property)}
# What costs nothing and changes nothing is run for real.
RUN = [
    *([program, "--help"] for program in PROGRAMS),
    ["agent", "check-config", "configs/agent.toml"],
    ["agent", "check-config", "configs/demo.toml"],
    ["agent", "schema"],
    ["models", "list"],
]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fenced(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w+)\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def commands(*programs: str) -> Iterator[tuple[Path, list[str]]]:
    """Every command line of the pages whose program is one of these, in words: from blocks and from running text."""
    for page in PAGES:
        blocks = [line.removeprefix("$ ") for block in fenced(page, "console", "sh") for line in block.splitlines()]
        prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
        for line in [*blocks, *re.findall(r"`([^`\n]+)`", prose)]:
            words = _words(line)
            if len(words) > 1 and (program := words[0].rpartition("/")[2]) in programs:
                yield page, [program, *words[1:]]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # an apostrophe in an output line
        return []


def documented(*programs: str) -> list[object]:
    return [pytest.param(words, id=f"{page.name}: {shlex.join(words)}") for page, words in commands(*programs)]


def names_of(command: click.Command) -> set[str]:
    """Options of a command, --help included."""
    context = click.Context(command)
    return {name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("words", documented(*PROGRAMS))
def test_every_command_of_the_pages_exists(words: list[str]) -> None:
    """Whatever command and option a page names, the program has."""
    group = PROGRAMS[words[0]]
    options = {word.partition("=")[0] for word in words[1:] if word.startswith("-")}
    # The words of a running text may be nothing but an option: `models --help`.
    plain = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
    named = [word for word in plain if word in COMMANDS[words[0]]]
    if plain:
        assert named, f"{words[0]} has no command {plain[0]}"
    known = names_of(group).union(*(names_of(COMMANDS[words[0]][name]) for name in named[:1]))
    assert options <= known


def test_the_readme_has_every_command() -> None:
    """No command of the three programs is left out of the README."""
    listed = {(words[0], words[1]) for page, words in commands(*PROGRAMS) if page.name == "README.md"}
    assert {(program, name) for program, known in COMMANDS.items() for name in known} - listed == set()


def texts_of(source: Path) -> Iterator[str]:
    """Every text of a source file that is no docstring; what an f-string puts in is an X."""
    nodes = list(ast.walk(ast.parse(text_of(source))))
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else " X " for part in node.values)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (documentation | parts)
        ):
            yield node.value


def told_commands() -> Iterator[tuple[str, list[str]]]:
    """Every command that a program tells somebody to type: between backticks, or at the beginning of a text."""
    for source in sorted(path for program in PROGRAMS for path in (ROOT / program).rglob("*.py")):
        # Every process of a run that finds tests comes by here: what cannot hold one is not parsed.
        if not re.search(r"""[`"'](?:agent|controller|models) [a-z]""", text_of(source)):
            continue
        for text in texts_of(source):
            for mark, line in re.findall(r"(`|^)((?:agent|controller|models) [a-z][^`;,]*)", text):
                words = _words(line)
                # Without a mark it may be a sentence about the program.
                if len(words) > 1 and (mark or words[1] in COMMANDS[words[0]]):
                    yield f"{source.relative_to(ROOT)}: {line}", words


@pytest.mark.parametrize("words", [pytest.param(words, id=where) for where, words in told_commands()])
def test_every_command_that_a_hint_tells_exists(words: list[str]) -> None:
    """What an error, a hint or a help text tells to type is a command with those options."""
    known = COMMANDS[words[0]]
    assert words[1] in known, f"{words[0]} has no command {words[1]}"
    options = {word.partition("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
    assert options <= names_of(known[words[1]]) | names_of(PROGRAMS[words[0]])


def test_every_name_of_an_operation_is_one() -> None:
    """What a page or a help text gives as the glob of a rule matches something in the default network."""
    store = Store(models_dir())
    try:
        xml = store.variant("movenet-multipose", "FP32")
    except ModelError as missing:
        pytest.skip(str(missing))
    names = [layer.get("name", "") for layer in ET.parse(xml).getroot().iter("layer")]
    texts = [*map(text_of, PAGES), change.RULES_HELP]
    globs = {glob for text in texts for glob in re.findall(r"name='([^']+)'", text)}
    assert globs
    assert {glob for glob in globs if not fnmatch.filter(names, glob)} == set()


@pytest.mark.parametrize("words", RUN, ids=shlex.join)
def test_cheap_commands_run(words: list[str]) -> None:
    """Help, the catalogue, the schemas and the check of the shipped configurations work as a user starts them."""
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("words", [(name, command) for name, known in COMMANDS.items() for command in known])
def test_every_command_has_help(words: tuple[str, str]) -> None:
    """Each command explains itself, in a first line that ends with a full stop."""
    shown = CliRunner().invoke(PROGRAMS[words[0]], [words[1], "--help"])
    assert shown.exit_code == 0
    assert (COMMANDS[words[0]][words[1]].help or "").split("\n\n")[0].endswith(".")


@pytest.mark.parametrize("words", documented("mosquitto_sub", "mosquitto_pub"))
def test_the_broker_tools_know_their_options(words: list[str]) -> None:
    """A line with mosquitto's clients uses options those clients have."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    told = subprocess.run([words[0], "--help"], capture_output=True, text=True, check=False).stdout
    for option in (word for word in words[1:] if word.startswith("-")):
        assert re.search(rf"[\s\[{{]{re.escape(option)}\b", told), f"{words[0]} has no {option}"


@pytest.mark.parametrize("text", fenced(ROOT / "README.md", "toml"))
def test_the_configuration_of_the_readme_loads(text: str, tmp_path: Path) -> None:
    """What the README shows as a configuration is one."""
    path = tmp_path / "box.toml"
    path.write_text(text, encoding="utf-8")
    load(path, environ={})


def test_two_commands_set_everything_up() -> None:
    """The first block of the README is the whole set-up: make demo and make test."""
    first, *_ = fenced(ROOT / "README.md", "console")
    assert first.splitlines() == ["$ make demo", "$ make test"]


@pytest.mark.parametrize("words", documented("make"))
def test_every_target_exists(words: list[str]) -> None:
    """Every `make` target a page names is in the Makefile."""
    target = words[1]
    assert re.search(rf"^{re.escape(target)}:", text_of(ROOT / "Makefile"), re.MULTILINE)


def test_the_table_of_topics_is_the_wires() -> None:
    """The README's table has every topic of the agent and no other."""
    listed = set(re.findall(r"^\| `(edgepose/\S+)` \|", README, re.MULTILINE))
    assert listed == LEAVES | {TOPICS.zone("NAME"), TOPICS.job("ID"), TOPICS.reply("CLIENT")}


def test_the_readme_shows_the_table_of_the_state_machine() -> None:
    """The diagram of what commands do is drawn from the table, not beside it."""
    assert diagram() in fenced(ROOT / "README.md", "mermaid")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links to files of the repository resolve, their anchors too."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{target} is not there"
        assert path.is_relative_to(ROOT)
        if anchor:
            headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\s-]", "", heading).lower().replace(" ", "-") for heading in headings}


def tables(model: type[BaseModel] = Config) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from tables(field.annotation)


def _resolves(key: str) -> bool:
    model: type[BaseModel] | None = Config
    for step in key.split("."):
        if model is None or step not in model.model_fields:
            return False
        inner = model.model_fields[step].annotation
        model = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_key_with_its_table_exists(page: Path) -> None:
    """A dotted name that begins with a table of the configuration is a key of it; so with the state message."""
    for key in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?: = [^`]*)?`", text_of(page)):
        head, _, rest = key.partition(".")
        if key in EVENTS or ".demo_" in key:  # the latter are entities of Home Assistant
            continue
        if head == "state":
            assert rest in messages.State.model_fields, key
        elif head in Config.model_fields and key not in FAULTS:
            assert _resolves(key), f"{key} is no key of the configuration"


CAMERA_CODES = {code.removeprefix("camera.") for code in capture.CaptureCode.__args__}  # type: ignore[attr-defined]
EVENTS = set(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", text_of(ROOT / "docs/events.md"), re.MULTILINE))
"""Some are named like a table of the configuration; tests/docs/test_events.py holds them to the source."""
FAULTS = {row.name for row in ROWS}


def test_every_key_of_the_guide_exists() -> None:
    """A name with an underscore in the guide to the configuration is a key of one of its tables."""
    keys = {name for table in tables() for name in table.model_fields}
    assert set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text_of(ROOT / "docs/configuration.md"))) <= keys


def test_every_event_of_the_camera_is_told() -> None:
    """The page of the wire names each code a camera can send."""
    named = re.findall(r"`(camera\.\w+)`", text_of(ROOT / "docs/wire.md"))
    assert {name.removeprefix("camera.") for name in named} == CAMERA_CODES


@pytest.mark.parametrize("schema", sorted(KINDS))
def test_examples_are_messages(schema: str) -> None:
    """The page of the wire has one example of each message: all of its fields, no other, values as they are sent."""
    examples = [block for block in fenced(ROOT / "docs/wire.md", "json") if json.loads(block)["schema"] == schema]
    assert len(examples) == 1
    made = KINDS[schema].model_validate_json(examples[0])  # strict: an unknown field is refused
    assert json.loads(made.encode()) == json.loads(examples[0])


def test_the_page_of_the_wire_has_every_status() -> None:
    """Each status the state can have is named."""
    assert set(messages.Status) <= set(re.findall(r"`(\w+)`", text_of(ROOT / "docs/wire.md")))


def test_every_metric_that_is_explained_exists() -> None:
    """The table of definitions explains figures of the metrics message and leaves no number of its own out."""
    page = text_of(ROOT / "docs/architecture.md")
    section = page[page.index("## What a metric means") :]
    named = re.findall(r"`([a-z*_\d]+)`", section[: section.index("Time on the wire")])
    patterns = [re.compile(name.replace("*", r"\w+")) for name in named]
    fields = set(messages.Metrics.model_fields)
    assert [p.pattern for p in patterns if not any(p.fullmatch(field) for field in fields)] == []
    timed = {field for field in fields if re.match(r"fps|latency|age|stage|frames", field)}
    assert {field for field in timed if not any(p.fullmatch(field) for p in patterns)} == set()


def test_the_figures_are_those_of_the_benchmark() -> None:
    """Each measured figure of the README names the key under which `make bench` prints it."""
    printed = text_of(ROOT / "tests/benchmarks/bench.py").replace("{key}", "fp32")
    named = re.findall(r"^\| [^`|]+ \| [^|]+ \| [^|]+ \| `(\w+)` \|$", README, re.MULTILINE)
    assert len(named) == 11
    for key in named:
        assert key.replace("bf16", "fp32") in printed, key


def test_the_page_of_networks_has_the_whole_catalogue() -> None:
    """Every card is in the table, with the decoder of each network."""
    page = text_of(ROOT / "docs/models.md")
    table = dict(re.findall(r"^\| `([a-z\d-]+)` \|.*\| (?:`(\w+)` )?\|$", page, re.MULTILINE))
    cards = catalogue.cards().values()
    assert table == {card.name: card.decoder.family if card.kind == "network" else "" for card in cards}


def test_the_page_of_networks_has_every_decoder() -> None:
    """Whoever adds a network is told each family there is a decoder for."""
    told = text_of(ROOT / "docs/models.md").rpartition("## Adding a network")[2]
    families = catalogue.Decoder.model_fields["family"].annotation.__args__  # type: ignore[union-attr]
    assert set(families) == set(re.findall(r"`(\w+)`", told)) & set(families)


def test_pictures_load_nothing() -> None:
    """The pictures are small, and the drawn one names no address but that of SVG itself."""
    svg = text_of(ROOT / "docs/demo.svg")
    assert set(re.findall(r"https?://[^\"'\s)<]+", svg)) == {"http://www.w3.org/2000/svg"}
    assert (ROOT / "docs/demo.png").stat().st_size < 300_000
