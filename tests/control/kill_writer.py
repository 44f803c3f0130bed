"""Kills -9 a process that saves one record after the other, again and again, and looks at what it left.

``python -m tests.control.kill_writer --times 200`` prints the counts; exit code 1 when a record was lost or broken.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from agent.control.journal import Journal, Record, StoredReply
from tests.control.records import CPU, NOW

LATEST_S = 0.03
"""A kill comes at most so long after the first save: some saves later."""


def record(version: int) -> Record:
    """The record with this version, whose size varies from 1 to 300 kB: half the kills are to hit a write."""
    payload = f"{version} " * (1 + 40_000 * (version % 3))
    return Record(version=version, base=CPU, settings=CPU, replies=(StoredReply(id="a", payload=payload, at=NOW),))


def write(journal: Journal, version: int, told: int) -> None:
    """Save versions without end, and tell of each once it is saved."""
    while True:
        version += 1
        journal.save(record(version))
        os.write(told, version.to_bytes(8))


def killed(journal: Journal, version: int, delay_s: float) -> int:
    """Let a process write and kill it; returns the last version it told of."""
    listening, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write(journal, version, told)
        finally:
            os._exit(1)
    os.close(told)
    with os.fdopen(listening, "rb") as pipe:
        first = pipe.read(8)
        time.sleep(delay_s)  # nothing to wait for: the moment is random
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the writer ended by itself"
        rest = pipe.read()
    return int.from_bytes((first + rest)[-8:])


def main() -> int:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "hall.json")
        version = 0
        for _ in range(options.times):
            last = killed(journal, version, moments.uniform(0, LATEST_S))
            counts["in the middle of a save"] += len(list(Path(folder).iterdir())) > 1
            found = journal.load()
            counts["old"] += found == record(last)
            counts["new"] += found == record(last + 1)
            counts["neither"] += found not in (record(last), record(last + 1))
            counts["leftovers"] += len(list(Path(folder).iterdir())) != 1
            version = found.version if found else 0
    sys.stdout.write(f"{options.times} kills: {', '.join(f'{count} {name}' for name, count in counts.items())}\n")
    return 1 if counts["neither"] or counts["leftovers"] else 0


if __name__ == "__main__":
    sys.exit(main())
