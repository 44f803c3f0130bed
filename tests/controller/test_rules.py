"""Rules of an affinity as they are written on a command line."""

from codecs import BOM_UTF8
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.affinity import Affinity, Match, Preset, Rule
from agent.wire.commands import SetPrecision
from agent.wire.devices import canonical
from agent.wire.trust import read_keys
from controller.commands.change import PRECISIONS, PRESETS
from controller.commands.rules import affinity, format_rule, parse_rule
from controller.errors import UsageError
from controller.report.files import read
from tests.controller.studies import study

DEVICES = st.from_regex(r"(CPU|GPU|NPU|SIM[A-Z_]{0,5})(\.[0-9])?", fullmatch=True).map(canonical)
MATCHES = st.one_of(
    st.builds(Match, type=st.text(min_size=1, max_size=64)),
    st.builds(Match, name=st.text(min_size=1, max_size=256)),
    st.builds(Match, first=st.floats(0, 1, exclude_min=True)),
    st.builds(Match, heaviest=st.integers(1, 10_000)),
)
RULES = st.builds(Rule, match=MATCHES, device=DEVICES)


@given(RULES)
def test_what_is_written_is_read_back(rule: Rule) -> None:
    """Any rule of the wire can be written and is read as the same, colons and equals signs in names included."""
    assert parse_rule(format_rule(rule)) == rule


@given(st.text() | st.from_regex(r"(type|name|first|heaviest|x)=[^:]*:[A-Za-z.:0-9]*", fullmatch=True))
def test_any_text_is_a_rule_or_wrong_usage(text: str) -> None:
    """Whatever is typed is a rule or refused as wrong usage, never anything else."""
    try:
        rule = parse_rule(text)
    except UsageError:
        return
    assert parse_rule(format_rule(rule)) == rule


@given(st.lists(RULES, min_size=1, max_size=5), st.none() | DEVICES)
def test_rules_keep_their_order(rules: list[Rule], default: str | None) -> None:
    """The first rule that matches counts, so their order goes onto the wire as typed."""
    made = affinity(None, [format_rule(rule) for rule in rules], default, None)
    assert made == Affinity(rules=tuple(rules), default=default)
    assert Affinity.model_validate(made.model_dump(mode="json", exclude_defaults=True)) == made


def test_devices_may_be_typed_in_any_case() -> None:
    """A device of a rule becomes canonical; a mode is none."""
    assert parse_rule("heaviest=10: gpu.1 ").device == "GPU.1"
    for mode in ("AUTO", "HETERO:GPU,CPU", ""):
        with pytest.raises(UsageError):
            parse_rule(f"heaviest=10:{mode}")


def test_the_command_line_offers_what_the_wire_takes() -> None:
    """The presets and precisions of the help are those of the wire, which it does not import."""
    assert set(PRESETS) == set(get_args(Preset))
    assert set(PRECISIONS) == set(get_args(SetPrecision.model_fields["precision"].annotation))


def test_a_file_may_begin_with_a_mark(tmp_path: Path) -> None:
    """Editors of Windows put one before the text; it is no fault of rules, of a study or of a key."""
    rules = tmp_path / "rules.json"
    rules.write_bytes(BOM_UTF8 + b'{"preset": "split"}')
    assert affinity(None, (), None, rules).preset == "split"
    document = tmp_path / "study.json"
    document.write_bytes(BOM_UTF8 + study().model_dump_json(by_alias=True).encode())
    assert read(document).device_id == study().device_id
    keys = tmp_path / "keys"
    keys.write_bytes(BOM_UTF8 + b"ab" * 32 + b"\n")
    assert read_keys(keys)[0]
