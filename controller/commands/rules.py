"""How rules of an affinity are written on a command line.

    rule  = key "=" value ":" device        key is type, name, first or heaviest

Names of operations may hold colons and equals signs, devices and keys never do: the key ends at the first equals sign,
the device begins after the last colon.
"""

from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

from pydantic import ValidationError

from agent.wire.affinity import Affinity, Match, Preset, Rule
from agent.wire.devices import DeviceString, DeviceStringError
from agent.wire.wording import first_fault, in_words, words_of
from controller.errors import UsageError

KEYS: Final = tuple(Match.model_fields)
EXPECTED: Final = f"expected KEY=VALUE:DEVICE with a key of {', '.join(KEYS)}, for example type=Convolution:GPU"


def parse_rule(text: str) -> Rule:
    """Read ``type=Convolution:GPU``. Raises :class:`UsageError`."""
    what, colon, device = text.rpartition(":")
    key, equals, value = what.partition("=")
    if not colon or not equals or key not in KEYS:
        raise UsageError(f"{text!r} is no rule: {EXPECTED}")
    try:
        return Rule.model_validate({"match": {key: value}, "device": device_name(device)})
    except ValidationError as error:
        raise UsageError(f"{text!r} is no rule: {key}: {words_of(first_fault(error))}") from None


def format_rule(rule: Rule) -> str:
    """Write a rule so that :func:`parse_rule` reads it."""
    ((key, value),) = rule.match.model_dump(exclude_none=True).items()
    return f"{key}={value}:{rule.device}"


def device_name(text: str) -> str:
    """Return the canonical name of one device. Raises :class:`UsageError` for modes, AUTO among them."""
    try:
        parsed = DeviceString.parse(text)
    except DeviceStringError as error:
        raise UsageError(error.message, hint=error.hint) from error
    if parsed.mode is not None:
        raise UsageError(f"{text!r} is no single device", hint="layers are placed on devices: CPU, GPU, GPU.1, NPU")
    return str(parsed)


def affinity(preset: str | None, rules: Sequence[str], default: str | None, file: Path | None) -> Affinity:
    """Make what the options say. Raises :class:`UsageError` unless it is a preset, or rules, or a file."""
    if (preset is not None) + bool(rules) + (file is not None) != 1:
        raise UsageError("give one of --preset, --rule and --file", hint=f"presets: {', '.join(get_args(Preset))}")
    if file is not None:
        if default is not None:
            raise UsageError("--default goes with --rule; a file says `default` itself")
        return _from_file(file)
    try:
        return Affinity.model_validate(
            {
                "preset": preset,
                "rules": [parse_rule(rule) for rule in rules],
                "default": None if default is None else device_name(default),
            }
        )
    except ValidationError as error:
        raise UsageError(in_words(error)) from None


def _from_file(file: Path) -> Affinity:
    try:
        return Affinity.model_validate_json(file.read_bytes().removeprefix(BOM_UTF8))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        example = '{"rules": [{"match": {"type": "Convolution"}, "device": "GPU"}], "default": "CPU"}'
        raise UsageError(f"{file}: {in_words(error)}", hint=f"for example {example}") from None
