"""What paho 2.2 gets wrong over WebSockets, put right from outside. Shared by agent and controller."""

from collections.abc import Callable
from typing import Protocol, cast


class Sender(Protocol):
    """Paho's wrapper of a socket."""

    send: Callable[[bytes], int]


def send_whole_frames(connection: object) -> None:
    """Have a WebSocket that took a part of a frame say that it would block.

    Paho's wrapper answers 0 then and keeps the rest, whereupon paho forgets the packet and counts the next one as sent
    when the rest has left: with a slow link messages are lost. What would block is given again, as it was.
    """
    sender = cast("Sender", connection)
    send = sender.send

    def whole(data: bytes) -> int:
        if not (sent := send(data)):
            raise BlockingIOError
        return sent

    sender.send = whole
