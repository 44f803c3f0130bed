"""Feed generated and mutated commands to the agent and compare what comes with what must come.

    python -m tests.fuzz.commands --codec 100000 --broker 10000

The first go through the codec alone, the second through a real broker to a real agent. It prints how many a second and
what became of them, and exits with 1 at the first violation.
"""

import argparse
import sys

from tests.fuzz.codec import ViolationError, codec, say
from tests.fuzz.flood import flood


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", type=int, default=0, metavar="N", help="so many payloads through the codec alone")
    parser.add_argument(
        "--broker",
        type=int,
        default=0,
        const=10_000,
        nargs="?",
        metavar="N",
        help="so many commands through a broker to an agent (10000)",
    )
    parser.add_argument("--seed", type=int, default=1, help="the same number makes the same payloads")
    options = parser.parse_args()
    try:
        for run, count in ((codec, options.codec), (flood, options.broker)):
            if count:
                for (kind, outcome), times in sorted(run(count, options.seed).items()):
                    say(f"{kind:18} {outcome:18} {times}")
    except ViolationError as violation:
        sys.exit(f"violation: {violation}")


if __name__ == "__main__":
    main()
