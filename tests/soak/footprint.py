"""What a process holds, as the kernel tells it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the process holds."""

    rss_kb: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> "Footprint":
        """Read it off the kernel. Raises OSError when the process has gone."""
        process = Path("/proc") / str(pid)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
        return cls(int(status["VmRSS"].split()[0]), int(status["Threads"]), len(list((process / "fd").iterdir())))
