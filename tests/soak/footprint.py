"""What a process holds, as the kernel tells it."""

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
