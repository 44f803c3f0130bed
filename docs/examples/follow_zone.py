"""Follow a box: say when somebody enters a zone, and stop after the first."""

import sys

from agent.wire.messages import Event
from controller.client import Address, Session


def main(broker: str, device: str) -> None:
    """Print who entered where, once."""
    with Session(Address.of(broker, {})) as session:
        for message in session.watch(device, seconds=120)[1]:
            if isinstance(message, Event) and message.code == "zone.entered":
                print(f"person {message.facts['id']} entered {message.facts['zone']} at {message.facts['at']}")
                return


main(*sys.argv[1:])
