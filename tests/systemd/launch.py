"""`agent run` with one seam that hangs or dies as soon as a file appears: ``launch.py SEAM FILE run --config ...``.

The file is taken away when it has happened, so that the process after it is a healthy one.
"""

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)


def spoil(owner: Any, name: str, flag: Path, happen: Callable[[], object]) -> None:
    """Let ``happen`` come before the next call of ``owner.name`` once the file is there."""
    sound = getattr(owner, name)

    def spoilt(*args: Any, **keywords: Any) -> Any:
        if flag.exists():
            flag.unlink()
            happen()
        return sound(*args, **keywords)

    setattr(owner, name, spoilt)


def main() -> None:
    """Spoil a seam and be the agent."""
    seam, flag = sys.argv[1], Path(sys.argv[2])
    del sys.argv[1:3]
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # threads that imports start inherit it
    from agent import link  # noqa: PLC0415
    from agent.cli import main as agent  # noqa: PLC0415
    from agent.control.control import Control  # noqa: PLC0415
    from agent.inference.engine import Slot  # noqa: PLC0415

    hang = threading.Event().wait
    match seam:
        case "inference":
            spoil(Slot, "wait", flag, hang)
        case "supervisor":
            spoil(Control, "tick", flag, hang)
        case "link":
            spoil(link.link, "pause_s", flag, sys.exit)
        case "nothing":
            pass
    agent()


if __name__ == "__main__":
    main()
