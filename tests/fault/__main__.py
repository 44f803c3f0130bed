"""``make fault``: does to the real agent what a gym does in a year, and holds each promise against its figure.

Prints a table of promise, figure wanted, and figure measured; the exit code is 1 when one was not kept.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog

from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.fault.rows import ROWS
from tests.fault.table import Scale, Stage, as_table, judge

FULL = Scale()


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows, or the beginning of their names, as `camera.`")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--list", action="store_true", help="name the rows and measure nothing")
    parser.add_argument("--warm-up", type=float, default=FULL.warm_up_s, metavar="SECONDS")
    parser.add_argument("--outages", type=int, default=FULL.outages)
    parser.add_argument("--outage-max", type=float, default=FULL.outage_max_s, metavar="SECONDS")
    parser.add_argument("--flips", type=int, default=FULL.flips)
    parser.add_argument("--agents", type=int, default=FULL.agents)
    options = parser.parse_args()
    rows = [row for row in ROWS if not options.only or row.name.startswith(tuple(options.only))]
    if not rows:
        parser.error(f"no row begins with {' or '.join(options.only)}")
    if options.list:
        sys.stdout.writelines(f"{row.name}: {row.promise}: {row.wanted}\n" for row in rows)
        return 0
    # What links of this very process log would drown what is printed here; the agents' own logs are read, not shown.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    scale = Scale(options.warm_up, options.outages, options.outage_max, options.flips, options.agents)
    for name in ("movenet-multipose", "vtest"):
        fetch(catalogue.card(name), Store(models_dir()))
    verdicts, began = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgepose-fault-", ignore_cleanup_errors=True) as folder:
        stage = Stage(Path(folder), scale, lambda text: _say(f"{time.monotonic() - began:6.0f} s   {text}"))
        for row in rows:
            _say(f"{time.monotonic() - began:6.0f} s {row.name}: {row.promise}")
            verdicts.append(judge(row, stage))
            _say(f"{time.monotonic() - began:6.0f} s   {verdicts[-1].measured} {row.unit} {verdicts[-1].reason[:200]}")
    if options.json:
        sys.stdout.write(json.dumps([verdict.as_dict() for verdict in verdicts], indent=2) + "\n")
    else:
        sys.stdout.write(as_table(verdicts) + "\n")
    if not scale.full:
        _say(f"shortened: {scale}, of {FULL}")
    return 0 if all(verdict.kept for verdict in verdicts) else 1


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
