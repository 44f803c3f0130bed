"""The grammar of device strings, so that OpenVINO never sees one it would misread.

OpenVINO itself compiles ``AUTO:NOPE,CPU`` and ``MULTI:CPU,CPU`` without a word, knows no ``hetero:cpu`` and answers
``HETERO:`` with an obscure error.

    device  = name | mode [":" member {"," member}]        only AUTO can do without members
    mode    = "AUTO" | "MULTI" | "HETERO" | "BATCH"
    member  = name | name "(" size ")"                     a size, and a single member, with BATCH
    name    = letter {letter | digit | "_"} ["." number]   GPU.1 is the second graphics card

Capitals or not is the same, and so are blanks around the parts. HETERO and MULTI of one device are allowed: OpenVINO
runs them, and they show what the mode itself costs.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

from agent.wire.commands import CommandError, ErrorCode
from agent.wire.wording import nearest, shown

Mode = Literal["AUTO", "MULTI", "HETERO", "BATCH"]

MODES: Final[tuple[Mode, ...]] = get_args(Mode)
KINDS: Final = ("CPU", "GPU", "NPU")
"""Devices OpenVINO knows; a box has some of them."""
LENGTH_MAX: Final = 256
BATCH_MAX: Final = 1024

_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*(\.[0-9]+)?")
_MEMBER: Final = re.compile(r"([^()]*)(?:\(\s*([0-9]+)\s*\))?")


class DeviceStringError(CommandError):
    """A text is no device string; the hint says what may have been meant."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(ErrorCode.UNKNOWN_DEVICE, message, hint)


@dataclass(frozen=True, slots=True)
class DeviceString:
    """A device, or a mode and the devices it works on; :meth:`parse` makes it, ``str()`` is the canonical text."""

    mode: Mode | None
    """None of a device alone, which is the one member then."""
    members: tuple[str, ...]
    """In capitals, in the order given; empty for AUTO alone, which chooses among all."""
    batch: int | None = None
    """Of BATCH, where None leaves the size to OpenVINO."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a device string in any case. Raises :class:`DeviceStringError` and nothing else."""
        if len(text) > LENGTH_MAX or not text.isascii():
            raise DeviceStringError(f"{shown(text)} is no device string", "for example CPU or HETERO:GPU,CPU")
        head, colon, tail = (part.strip() for part in text.upper().partition(":"))
        mode = head if head in MODES else None
        if colon and mode is None:
            raise _no_mode(text, head, tail)
        if mode is None:
            return cls(None, (_alone(text, head),))
        if mode == "AUTO" and not colon:
            return cls(mode, ())
        sized = [_member(text, mode, item.strip()) for item in tail.split(",")]
        members = tuple(name for name, _size in sized)
        if len({first_card(name) for name in members}) < len(members):
            raise DeviceStringError(f"{shown(text)} names a device twice", "name every device once")
        if mode == "BATCH" and len(members) > 1:
            raise DeviceStringError(f"{shown(text)}: BATCH works on one device", f"for example BATCH:{members[0]}(4)")
        return cls(mode, members, sized[0][1])

    def __str__(self) -> str:
        size = "" if self.batch is None else f"({self.batch})"
        return ":".join(part for part in (self.mode, ",".join(self.members) + size) if part)


def require(device: DeviceString, present: Collection[str]) -> None:
    """Refuse a device string that names a device this box does not have.

    ``present`` are the names of the devices of the box, aliases included. Of several graphics cards OpenVINO lists
    GPU.0, GPU.1 and takes GPU for the first; of one it lists GPU. Raises :class:`CommandError` with
    ``unavailable_device`` for a device that boxes can have and this one has not, and with ``unknown_device`` for a name
    nobody knows.
    """
    here = {first_card(name) for name in present}
    missing = [name for name in device.members if first_card(name) not in here]
    if not missing:
        return
    listed = f"devices here: {', '.join(sorted(present))}"
    kinds = {*KINDS, *(_kind(name) for name in present)}
    unknown = [name for name in missing if _kind(name) not in kinds]
    if unknown:
        meant = nearest(unknown[0], present)
        raise CommandError(
            ErrorCode.UNKNOWN_DEVICE,
            f"{device} names {', '.join(unknown)}, which is no device",
            f"did you mean {meant}? {listed}" if meant else listed,
        )
    raise CommandError(
        ErrorCode.UNAVAILABLE_DEVICE,
        f"{device} needs {', '.join(missing)}, which this box does not have",
        f"{listed}; `agent doctor` says why one may be missing",
    )


def first_card(name: str) -> str:
    """GPU.0 under the name it shares with GPU."""
    return "GPU" if name == "GPU.0" else name


def _kind(name: str) -> str:
    return name.partition(".")[0]


def _example(mode: str) -> str:
    return "for example BATCH:GPU(4)" if mode == "BATCH" else f"for example {mode}:GPU,CPU"


def _meant(*candidates: str, otherwise: str) -> str:
    """The hint that proposes those candidates that are device strings."""
    good = []
    for candidate in candidates:
        try:
            good.append(str(DeviceString.parse(candidate)))
        except DeviceStringError:
            continue
    return f"did you mean {' or '.join(good)}?" if good else otherwise


def _no_mode(text: str, head: str, tail: str) -> DeviceStringError:
    example = "for example HETERO:GPU,CPU"
    if _kind(head) in KINDS:
        hint = _meant(f"HETERO:{head},{tail}", f"MULTI:{head},{tail}", otherwise=example)
        return DeviceStringError(f"{shown(text)}: {_kind(head)} is a device, not a mode", hint)
    meant = nearest(head, MODES)
    hint = _meant(f"{meant}:{tail}", otherwise=example) if meant else example
    return DeviceStringError(f"{shown(text)}: before the colon stands one of {', '.join(MODES)}", hint)


def _alone(text: str, name: str) -> str:
    if not name:
        raise DeviceStringError("the device string is empty", "for example CPU or HETERO:GPU,CPU")
    if "," in name:
        hint = _meant(f"MULTI:{name}", f"HETERO:{name}", otherwise="for example MULTI:GPU,CPU")
        raise DeviceStringError(f"{shown(text)}: several devices need a mode", hint)
    if "(" in name:
        hint = _meant(f"BATCH:{name}", otherwise="for example BATCH:GPU(4)")
        raise DeviceStringError(f"{shown(text)}: a batch size needs the mode BATCH", hint)
    return _name(text, name)


def _member(text: str, mode: Mode, item: str) -> tuple[str, int | None]:
    example = _example(mode)
    if not item:
        raise DeviceStringError(f"{shown(text)} does not name every device", example)
    if re.split(r"\s*[:(]", item)[0] in MODES:
        raise DeviceStringError(f"{shown(text)}: {mode} works on devices, not on modes", example)
    match = _MEMBER.fullmatch(item)
    if match is None or (match[2] and mode != "BATCH"):
        raise DeviceStringError(f"{shown(text)}: {shown(item)} is no device", example)
    size = int(match[2]) if match[2] else None
    if size is not None and not 1 <= size <= BATCH_MAX:
        raise DeviceStringError(f"{shown(text)}: a batch is of 1 to {BATCH_MAX} frames", example)
    return _name(text, match[1].strip()), size


def _name(text: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise DeviceStringError(
            f"{shown(text)}: {shown(name)} is no device's name", "for example CPU, GPU, GPU.1 or NPU"
        )
    return name
