"""Have a box run on another device, and say what that brought."""

import sys

from agent.wire.commands import SwitchResult
from controller.client import Address, Session, command


def main(broker: str, device: str, wanted: str) -> None:
    """Print the speed before and after, or why it was not done."""
    with Session(Address.of(broker, {})) as session:
        outcome = command(session, device, "set-device", {"device": wanted})
    if outcome.exit_code or outcome.reply is None:
        error = outcome.reply.error if outcome.reply else None
        sys.exit(f"{outcome.status}: {error.message if error else outcome.silence}")
    result = SwitchResult.model_validate(outcome.reply.result, extra="ignore")
    print(
        f"{result.before.fps} -> {result.after.fps} frames a second on {', '.join(result.effective.execution_devices)}"
    )


main(*sys.argv[1:])
