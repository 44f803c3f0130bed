"""A real RTSP camera of the tests: GStreamer's server in a process of its own."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Any, Final, Self

import numpy as np
import pytest

from agent.capture import Image

SERVER: Final = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON: Final = "/usr/bin/python3"
_BITS: Final = 32
_WRAP: Final = 1 << _BITS


def require_gstreamer() -> None:
    """Skip where the machine has no RTSP server; ``.ci/run`` installs one."""
    asked = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    command = [SYSTEM_PYTHON, "-c", asked]
    if not shutil.which(SYSTEM_PYTHON) or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(
            "no RTSP server here: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi and GStreamer's plugins"
        )


class RtspCamera:
    """Serves ``/h264``, ``/h265``, ``/mjpeg`` and ``/interlaced``; every picture says when it was made."""

    def __init__(self, **wanted: Any) -> None:
        self._wanted = wanted
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def url(self, codec: str, account: str = "", host: str = "127.0.0.1") -> str:
        """Address of a stream."""
        scheme = "rtsps" if "certificate" in self._wanted else "rtsp"
        return f"{scheme}://{account}{'@' if account else ''}{host}:{self.port}/{codec}"

    def start(self) -> None:
        """Serve, on the same port as before."""
        wanted = json.dumps(self._wanted | ({"port": self.port} if self.port else {}))
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SERVER), wanted],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.port = int(_pipe(self._process.stdout).readline())

    def order(self, line: str) -> None:
        """Tell the server to ``stall``, ``freeze``, ``run``, or take ``size W H`` or ``fps N``; returns when it has."""
        assert self._process is not None
        _pipe(self._process.stdin).write(f"{line}\n")
        _pipe(self._process.stdin).flush()
        _pipe(self._process.stdout).readline()

    def stop(self) -> None:
        """Stop it amid whatever it does, as a box that hangs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a pulled plug does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.communicate()
            self._process = None


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def made_s(image: Image) -> float:
    """Read when a picture was made, on time.monotonic(), to the millisecond."""
    height, width = image.shape[:2]
    levels = image.reshape(height, _BITS, width // _BITS * 3).mean(axis=(0, 2))
    stamp = int(((levels > 127).astype(np.int64) << np.arange(_BITS)).sum())
    now = int(time.monotonic() * 1e3)
    return (now - (now - stamp) % _WRAP) / 1e3


def legible(image: Image) -> bool:
    """Whether every bit of the picture is clearly one or the other, which no unwritten buffer is."""
    height, width = image.shape[:2]
    if width % _BITS:
        return False
    levels = image.reshape(height, _BITS, width // _BITS * 3).mean(axis=(0, 2))
    return bool(((levels < 64) | (levels > 191)).all())
