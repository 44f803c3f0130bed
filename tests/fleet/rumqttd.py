"""rumqttd, another broker that speaks MQTT 5, in a process of its own: as the wheel of iotcore carries it."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from agent.demo import BROKER_TOML, LISTENER_TOML
from tests.broker import START_TIMEOUT_S, free_port

PROGRAM: Final = """
import sys, threading
from iotcore import Broker
broker = Broker(config_path=sys.argv[1], listen="127.0.0.1", port=int(sys.argv[2]))
broker.start()
threading.Event().wait()
"""


class Rumqttd:
    """The broker on a loopback port of its own, as :class:`tests.broker.Broker` is used. It keeps nothing on disk."""

    def __init__(self, folder: Path, connections_max: int) -> None:
        self.port = free_port()
        self._config = folder / "rumqttd.toml"
        text = BROKER_TOML.replace("max_connections = 1000", f"max_connections = {connections_max}")
        # Its plain listener speaks 3.1.1 alone.
        for section, port in (("v5.1", self.port), ("v4.1", free_port())):
            text += LISTENER_TOML.format(section=section, name=section, host="127.0.0.1", port=port)
        self._config.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until it accepts connections."""
        command = [sys.executable, "-c", PROGRAM, str(self._config), str(self.port)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        for _ in range(round(START_TIMEOUT_S / 0.02)):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
                break
        raise AssertionError("rumqttd did not start")

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)  # iotcore has the broker in a process of its own
            self._process.wait()
            self._process = None
