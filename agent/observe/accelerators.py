"""How busy graphics cards and neural processors are, as the kernel tells whoever asks without a privilege.

Graphics cards by the process's own counters: every client of the direct rendering manager has lines in
``/proc/self/fdinfo`` (the kernel's documentation, "DRM client usage stats"). i915 counts nanoseconds of an engine
(``drm-engine-render: 123 ns``), xe cycles of the engine and of the time (``drm-cycles-rcs``, ``drm-total-cycles-rcs``).
Where no driver counts for processes, as amdgpu's own figure for the whole card. Neural processors by the microseconds
that intel_vpu counts for all processes (``/sys/class/accel/accel*/device/npu_busy_time_us``).
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SYS: Final = Path("/sys")
PROC: Final = Path("/proc")
_LINE: Final = re.compile(r"^drm-([\w-]+):\s*(\S+)", re.MULTILINE)
_NANOSECONDS: Final = "engine-"
_CYCLES: Final = "cycles-"
_TOTAL: Final = "total-cycles-"
_CAPACITY: Final = "engine-capacity-"

Engine = tuple[str, str]
"""The card's place on the bus, and the engine's name."""


@dataclass(slots=True)
class _Counted:
    """Counters of one engine, over all clients this process has of its card."""

    busy: dict[str, float] = field(default_factory=dict)
    """By client: one that ends takes its count along, and one that begins starts at zero."""
    total: float | None = None
    """Of the same unit, the card's clock; None where busy counts nanoseconds."""
    capacity: int = 1
    """Engines of this kind."""


@dataclass(slots=True)
class BusyMeter:
    """Reads the counters; each figure covers the time since the reading before, the first since it was made."""

    proc: Path = PROC
    sys: Path = SYS
    _engines: dict[Engine, _Counted] = field(default_factory=dict)
    _npus: dict[Path, float] = field(default_factory=dict)
    _read_s: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self._engines, self._npus = self._engines_now(), self._npus_now()

    def read(self, now_s: float | None = None) -> tuple[float | None, float | None]:
        """Percent of the busiest engine of a graphics card and of the busiest neural processor; None where untold.

        ``now_s`` is a moment of time.perf_counter(), by default this one.
        """
        now_s = time.perf_counter() if now_s is None else now_s
        passed_s, self._read_s = now_s - self._read_s, now_s
        engines, before = self._engines_now(), self._engines
        npus, npus_before = self._npus_now(), self._npus
        self._engines, self._npus = engines, npus
        if passed_s <= 0:
            return None, None
        shares = [_share(counted, before.get(engine, _Counted()), passed_s) for engine, counted in engines.items()]
        cards = [share for share in shares if share is not None]
        neural = [(busy_us - npus_before.get(path, busy_us)) / 1e6 / passed_s for path, busy_us in npus.items()]
        whole = _whole_cards(self.sys)
        return (_percent(cards) if cards else max(whole, default=None)), _percent(neural) if neural else None

    def _engines_now(self) -> dict[Engine, _Counted]:
        found: dict[Engine, _Counted] = {}
        for client, facts in _clients(self.proc):
            card = facts.get("pdev", "")
            for name, value in facts.items():
                if name.startswith(_CAPACITY):
                    engine = found.setdefault((card, name.removeprefix(_CAPACITY)), _Counted())
                    engine.capacity = max(1, int(_number(value)))
                elif name.startswith(_TOTAL):
                    # The same clock for every client: it is not to be added up.
                    engine = found.setdefault((card, name.removeprefix(_TOTAL)), _Counted())
                    engine.total = max(engine.total or 0.0, _number(value))
                elif name.startswith((_NANOSECONDS, _CYCLES)):
                    engine = found.setdefault((card, name.partition("-")[2]), _Counted())
                    engine.busy[client] = _number(value)
        return found

    def _npus_now(self) -> dict[Path, float]:
        found = {}
        for path in self.sys.glob("class/accel/accel*/device/npu_busy_time_us"):
            try:
                found[path] = float(path.read_text(encoding="ascii"))
            except (OSError, ValueError):  # one that sleeps may refuse to be read
                continue
        return found


def _clients(proc: Path) -> Iterable[tuple[str, Mapping[str, str]]]:
    """Each client of a card and its facts, once: several descriptors of one client tell the same."""
    seen: set[tuple[str, str]] = set()
    for path in sorted((proc / "self/fdinfo").glob("*")):
        try:
            text = path.read_text(encoding="ascii", errors="replace")
        except OSError:  # closed meanwhile
            continue
        facts = dict(_LINE.findall(text))
        client = facts.get("pdev", ""), facts.get("client-id", path.name)
        if facts and client not in seen:
            seen.add(client)
            yield client[1], facts


def _share(now: _Counted, before: _Counted, passed_s: float) -> float | None:
    """Of the time that one engine was busy, 0 to 1; None where no earlier reading of the card's clock tells that time.

    What a client did since the reading before and took along as it ended is not known, and not in it.
    """
    busy = sum(max(0.0, count - before.busy.get(client, 0.0)) for client, count in now.busy.items())
    if now.total is None:
        return busy / 1e9 / passed_s / now.capacity
    if before.total is None:
        return None
    total = now.total - before.total
    return busy / total / now.capacity if total > 0 else 0.0


def _whole_cards(sys: Path) -> list[float]:
    readings = []
    for file in sys.glob("class/drm/card*/device/gpu_busy_percent"):
        try:
            readings.append(float(file.read_text(encoding="ascii")))
        except (OSError, ValueError):  # a card that sleeps refuses to be read
            continue
    return readings


def _percent(shares: list[float]) -> float:
    return min(100.0, 100 * max([0.0, *shares]))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
