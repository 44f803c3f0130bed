"""The grammar of device strings, so that OpenVINO never sees one it would misread.

OpenVINO itself compiles ``AUTO:NOPE,CPU`` and ``MULTI:CPU,CPU`` without a word, knows no ``hetero:cpu`` and answers
``HETERO:`` with an obscure error.

    device  = name | mode [":" member {"," member}]        only AUTO can do without members
    mode    = "AUTO" | "MULTI" | "HETERO" | "BATCH"
    member  = name | name "(" size ")" | "-" name          a size, and a single member, with BATCH; "-" with AUTO
    name    = letter {letter | digit | "_"} ["." number]   GPU.1 is the second graphics card

Capitals or not is the same, and so are blanks around the parts. The first graphics card has two names, GPU and GPU.0,
and is GPU in everything that is told. AUTO:-GPU chooses among all but the graphics cards, AUTO:-GPU.1 among all but the
second. HETERO and MULTI of one device are allowed: OpenVINO runs them, and they show what the mode itself costs.
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
_LEFT_OUT: Final = re.compile(r"-\s*([A-Z].*)")
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
    """In capitals, in the order given; empty where AUTO chooses among all."""
    batch: int | None = None
    """Of BATCH, where None leaves the size to OpenVINO."""
    without: tuple[str, ...] = ()
    """What AUTO may not choose; a name without a number stands for all cards of its kind."""

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
        items = [item.strip() for item in tail.split(",")]
        without = tuple(_left_out(text, mode, item) for item in items if item.startswith("-"))
        sized = [_member(text, mode, item) for item in items if not item.startswith("-")]
        members = tuple(name for name, _size in sized)
        named = [*members, *map(canonical, without)]
        if len(set(named)) < len(named):
            raise DeviceStringError(f"{shown(text)} names a device twice", "name every device once")
        if mode == "BATCH" and len(members) > 1:
            raise DeviceStringError(f"{shown(text)}: BATCH works on one device", f"for example BATCH:{members[0]}(4)")
        return cls(mode, members, sized[0][1] if sized else None, without)

    def __str__(self) -> str:
        size = "" if self.batch is None else f"({self.batch})"
        names = ",".join([*self.members, *(f"-{name}" for name in self.without)])
        return ":".join(part for part in (self.mode, names + size) if part)

    def among(self, present: Collection[str]) -> tuple[str, ...]:
        """The devices it may run on, canonical: the members, or what AUTO may choose of those ``present``."""
        candidates = self.members or (tuple(map(canonical, present)) if self.mode == "AUTO" else ())
        return tuple(name for name in candidates if not any(_covers(other, name) for other in self.without))


def require(device: DeviceString, present: Collection[str]) -> None:
    """Refuse a device string that names a device this box does not have.

    ``present`` are the names of the devices of the box, aliases included. Of several graphics cards OpenVINO lists
    GPU.0, GPU.1 and takes GPU for the first; of one it lists GPU. Raises :class:`CommandError` with
    ``unavailable_device`` for a device that boxes can have and this one has not, and with ``unknown_device`` for a name
    nobody knows.
    """
    here = {canonical(name) for name in present}
    missing = [name for name in device.members if name not in here]
    listed = f"devices here: {', '.join(sorted(here))}"
    kinds = {*KINDS, *(_kind(name) for name in present)}
    unknown = [name for name in (*missing, *device.without) if _kind(name) not in kinds]
    if unknown:
        meant = nearest(unknown[0], present)
        raise CommandError(
            ErrorCode.UNKNOWN_DEVICE,
            f"{device} names {', '.join(unknown)}, which is no device",
            f"did you mean {meant}? {listed}" if meant else listed,
        )
    if missing:
        lacks = f"this box has no {' and no '.join(missing)}"
        raise CommandError(
            ErrorCode.UNAVAILABLE_DEVICE,
            lacks if device.mode is None else f"{lacks}, which {device} needs",
            f"{listed}; `agent doctor` says why one may be missing",
        )
    if device.without and not device.among(present):
        raise CommandError(ErrorCode.UNAVAILABLE_DEVICE, f"{device} leaves no device to choose from", listed)


def canonical(name: str) -> str:
    """The one name of a device, given in any case: of the first graphics card, which OpenVINO calls GPU.0 too, GPU."""
    name = name.strip().upper()
    return "GPU" if name == "GPU.0" else name


def _covers(left_out: str, name: str) -> bool:
    """Whether a device is among those left out: GPU stands for every card, GPU.0 for the first."""
    return left_out == _kind(name) or canonical(left_out) == name


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


def _left_out(text: str, mode: Mode, item: str) -> str:
    match = _LEFT_OUT.fullmatch(item)
    if mode != "AUTO":
        fault = f"{shown(text)}: only AUTO can leave a device out"
        named = match is not None and _NAME.fullmatch(match[1])
        raise DeviceStringError(fault, f"for example AUTO:-{named[0] if named else 'GPU'}")
    if match is None or match[1] in MODES:
        raise DeviceStringError(f"{shown(text)}: {shown(item)} is no device to leave out", "for example AUTO:-GPU")
    _name(text, match[1])
    return match[1]


def _name(text: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise DeviceStringError(
            f"{shown(text)}: {shown(name)} is no device's name", "for example CPU, GPU, GPU.1 or NPU"
        )
    return canonical(name)
