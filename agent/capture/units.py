"""Putting a picture together from the packets of RTP, without waiting for the first packet of the next one.

FFmpeg's parser knows the end of an H.264 or H.265 picture by the beginning of the next: each picture comes one period
late, which is a second for a camera that sends one a second. RTP says the end with a marker bit, which FFmpeg does not
pass on. What it passes on tells enough: how many slices a picture of this camera has, and that the last fragment of a
slice is shorter than those before it. Sources: RFC 6184 (H.264 over RTP), RFC 7798 (H.265 over RTP).
"""

import re
from dataclasses import dataclass, field
from typing import Final, Literal

Codec = Literal["h264", "hevc"]

_START: Final = b"\x00\x00\x00\x01"
_NAL: Final = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)
_AGREEING: Final = 3
"""So many pictures in a row must have ended as foretold before it is believed."""
_FAULTS_MAX: Final = 3
"""So many pictures cut short in one connection, and the camera is one whose pictures cannot be foretold."""
_HEAD: Final = 6
"""The first fragment is longer than the ones after it by the start code and the header, at most."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture, still encoded."""

    data: bytes
    stamp: int | None
    arrived_s: float
    """When its last packet came, on the clock of the caller."""


@dataclass(slots=True)
class _Unit:
    """The picture that is being put together."""

    stamp: int | None = None
    parts: list[bytes] = field(default_factory=list)
    arrived_s: float = 0.0
    slices: int = 0
    key: bool = False


class AccessUnits:
    """The packets of one stream as FFmpeg's RTP reader gives them with the parser off.

    A packet that begins with a start code holds whole NAL units, or the first fragment of one; any other goes on with
    the fragment before it. Packets of one picture have one time stamp.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._unit = _Unit()
        self._first = 0
        """Bytes of a full first fragment, 0 while none was seen."""
        self._start = 0
        """Bytes of the last packet with a start code."""
        self._largest = 0
        """The most of those so far: a larger one may be a first fragment."""
        self._slices: dict[bool, int] = {}
        """Slices of the last key picture and of the last other one."""
        self._agreed = 0
        self.faults = 0
        """Pictures that were taken for complete too early."""
        self._given: int | None = None
        """Time stamp of the picture given away early."""
        self._foretold = False

    def add(self, data: bytes, stamp: int | None, now_s: float) -> list[AccessUnit]:
        """Take a packet that came just now; returns what is complete by now, oldest first."""
        done = []
        if self._unit.parts and stamp != self._unit.stamp:
            self._learn()
            done.append(self._take())
        if self._given is not None and stamp == self._given:
            self.faults += 1
            self._agreed = 0
        self._given = None
        closed = self._append(data, stamp)
        self._unit.arrived_s = now_s
        self._foretold = closed and self._unit.slices > 0 and self._unit.slices == self._slices.get(self._unit.key)
        if self._foretold and self._agreed >= _AGREEING and self.faults < _FAULTS_MAX:
            self._given = stamp
            done.append(self._take())
        return done

    def rest(self) -> list[AccessUnit]:
        """Give what is left at the end of the stream."""
        return [self._take()] if self._unit.parts else []

    def _append(self, data: bytes, stamp: int | None) -> bool:
        """Whether the packet may be the last one of its NAL unit."""
        unit = self._unit
        unit.stamp = stamp
        unit.parts.append(data)
        if not data.startswith(_START):
            self._first = max(self._first, self._start)
            return len(data) < self._first - _HEAD
        self._start = len(data)
        for nal in _NAL.finditer(data):
            kind = nal[1][0] & 0x1F if self._codec == "h264" else nal[1][0] >> 1 & 0x3F
            unit.slices += self._is_slice(kind)
            unit.key |= kind == 5 if self._codec == "h264" else 16 <= kind <= 23
        closed = len(data) < self._first - 1 if self._first else len(data) <= self._largest
        self._largest = max(self._largest, len(data))
        return closed

    def _is_slice(self, kind: int) -> bool:
        return kind in (1, 5) if self._codec == "h264" else kind < 32

    def _learn(self) -> None:
        """A picture ended by the next one's beginning: was that foretold?"""
        self._agreed = self._agreed + 1 if self._foretold else 0
        self._slices[self._unit.key] = self._unit.slices

    def _take(self) -> AccessUnit:
        unit, self._unit = self._unit, _Unit()
        return AccessUnit(b"".join(unit.parts), unit.stamp, unit.arrived_s)
