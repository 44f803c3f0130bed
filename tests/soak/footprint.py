"""What a process holds, as the kernel tells it."""

import statistics
from collections import deque
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the process holds."""

    rss_kb: int
    anon_kb: int
    """What of it no file holds: the kernel cannot take that away by itself, and it is where a leak shows."""
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> "Footprint":
        """Read it off the kernel. Raises OSError when the process has gone."""
        process = Path("/proc") / str(pid)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
        rss_kb, anon_kb = (int(status[name].split()[0]) for name in ("VmRSS", "RssAnon"))
        return cls(rss_kb, anon_kb, int(status["Threads"]), len(list((process / "fd").iterdir())))


class Breath:
    """What a process holds over some time, by the last ``count`` readings.

    The agent's heap breathes: what frames leave free is given back with every summary and taken again before the next,
    5 MB of it. Single readings a summary apart would meet that now at its low, now at its high, drift from one to the
    other within an hour, and take it for growth. Over a whole summary it is the same each time.
    """

    def __init__(self, pid: int, count: int) -> None:
        self._pid = pid
        self._readings: deque[Footprint] = deque(maxlen=count)

    def read(self) -> None:
        """Take one more. Raises OSError when the process has gone."""
        self._readings.append(Footprint.of(self._pid))

    @property
    def now(self) -> Footprint:
        """The last reading."""
        return self._readings[-1]

    @property
    def rss_mb(self) -> float:
        """The mean."""
        return round(statistics.fmean(each.rss_kb for each in list(self._readings)) / 1024, 2)

    @property
    def anon_mb(self) -> float:
        """The mean of what no file holds."""
        return round(statistics.fmean(each.anon_kb for each in list(self._readings)) / 1024, 2)

    @property
    def least_mb(self) -> float:
        """The least: with nothing free."""
        return round(min(each.rss_kb for each in list(self._readings)) / 1024, 2)
