"""Every box on a broker: who is there, what it runs, and who has people in view."""

import sys

from controller.client import Address, Session


def main(broker: str) -> None:
    """Print a line for each box."""
    with Session(Address.of(broker, {})) as session:
        for box in session.all_agents():
            metrics = box.metrics if box.availability == "online" else None
            people = "?" if metrics is None or metrics.persons_mean is None else f"{metrics.persons_mean:.1f}"
            print(f"{box.device_id}: {box.availability}, {people} people")


main(sys.argv[1])
