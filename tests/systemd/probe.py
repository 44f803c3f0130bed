"""What a process is refused: tried in the service's place, and outside it. One JSON object; the standard library alone.

Each of these is allowed to an ordinary process without capabilities, but for the socket, whose error differs.
"""

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
PERSONALITY = 0x0040000  # ADDR_NO_RANDOMIZE
NEWUSER = 0x10000000


def called(name: str, *arguments: int) -> None:
    """Call the C library; raises OSError."""
    if getattr(LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def setuid_file() -> None:
    """Make a program that runs as its owner."""
    with tempfile.NamedTemporaryFile() as file:
        os.fchmod(file.fileno(), 0o4700)


def own_file_to_own_group() -> None:
    """Give a file away, to ourselves."""
    with tempfile.NamedTemporaryFile() as file:
        os.fchown(file.fileno(), -1, os.getgid())


def executable_memory() -> None:
    """Memory that is written and run: just-in-time code."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


ATTEMPTS: dict[str, Callable[[], object]] = {
    "a setuid program": setuid_file,
    "chown": own_file_to_own_group,
    "another personality": lambda: called("personality", PERSONALITY),
    "ptrace": lambda: called("ptrace", 0, 0, 0, 0),
    "a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "executable memory": executable_memory,
    "a lower priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 19),
    "an internet socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
    "a namespace of its own": lambda: called("unshare", NEWUSER),  # last: it changes who we are
}


def outcome(attempt: Callable[[], object]) -> str:
    """`done`, or the name of the error."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps({name: outcome(attempt) for name, attempt in ATTEMPTS.items()}))
