"""What faults leave behind: ``make soak-faults FAULTS=400``.

The faults of `make soak`, one right after the other, in rounds. After each round the agent is left alone for some
summaries, and it is read what it holds: half an hour has as many faults as a soak of hours, and tells growth by faults
of a few kilobytes from none. What grows with time alone it does not tell; that is what a soak of hours is for.
Ctrl-C ends it with what there is.
"""

import argparse
import itertools
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from tests.soak.endurance import READ_S, START_S, end, happen, report, sample, tell
from tests.soak.faults import FAULTS, Fault
from tests.soak.footprint import Breath
from tests.soak.rig import Rig, rig
from tests.soak.verdict import Soak, judge_rounds

WINDOW_S: Final = 2.0
"""Of the agent's metrics: with each it gives back what is free."""
OUTAGE_S: Final = (0.5, 1.0)
FROZEN_S: Final = 2.0
QUIET_S: Final = 5 * WINDOW_S
LONG_SIDE: Final = 256


def leftovers(running: Rig, count: int, faults: Sequence[Fault] = FAULTS, *, quiet_s: float = QUIET_S) -> Soak:
    """Let so many faults happen, then end the agent. A KeyboardInterrupt ends it early."""
    assert running.ear.poses_since(datetime.now(UTC), START_S), f"no poses: {running.process.errors}"
    done = Soak(datetime.now(UTC), datetime.now(UTC))
    with suppress(KeyboardInterrupt, OSError):  # the latter where it has gone
        for number, fault in enumerate(itertools.islice(itertools.cycle(faults), count), 1):
            happen(running, done, fault)
            if number % len(faults) == 0:
                breath = Breath(running.process.popen.pid, round(quiet_s / READ_S))
                until_s = time.monotonic() + quiet_s
                while time.monotonic() < until_s:
                    breath.read()
                    time.sleep(READ_S)
                done.samples.append(sample(running, done, breath, quiet=True))
                tell(done)
    end(running, done)
    return done


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=400)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with rig(WINDOW_S, OUTAGE_S, FROZEN_S, long_side=LONG_SIDE) as running:
        done = leftovers(running, given.faults)
    promises = judge_rounds(done)
    report(promises)
    return 1 if any(promise.kept is False for promise in promises) else 0


if __name__ == "__main__":
    sys.exit(main())
