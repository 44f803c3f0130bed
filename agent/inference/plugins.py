"""Which of OpenVINO's plugins can be asked for their devices on this box, found out where it costs nobody's life.

A plugin that meets an old processor or a broken driver may end the process, or never come back, while devices are
listed; no exception is raised that could be caught. So each is asked once in a child process. One that does not survive
is left out: OpenVINO is told that its library is elsewhere, where there is none.
"""

import os
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Final, TextIO

import openvino as ov
import structlog

log = structlog.get_logger()

PLUGINS: Final = {
    "CPU": "libopenvino_intel_cpu_plugin.so",
    "GPU": "libopenvino_intel_gpu_plugin.so",
    "NPU": "libopenvino_intel_npu_plugin.so",
}
PROBE_S: Final = 30.0
"""A driver that has compiled nothing yet answers within seconds, on a slow box too."""
BEGUN: Final = "asked"
DONE: Final = "answered"
PROBE: Final = f"""
import sys
import openvino as ov

core = ov.Core()
for name in sys.argv[1:]:
    print("{BEGUN}", name, flush=True)
    try:
        for number in core.get_property(name, "AVAILABLE_DEVICES"):
            device = f"{{name}}.{{number}}" if number else name
            core.get_property(device, "FULL_DEVICE_NAME"), core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    except RuntimeError:  # there is none, or its driver says what is wrong: that is heard again, and told
        pass
    print("{DONE}", name, flush=True)
"""
_ASKING: Final = threading.Lock()


def plugin_folder() -> Path:
    """Where OpenVINO's libraries are."""
    return Path(ov.__file__).parent / "libs"


def sound_core() -> ov.Core:
    """A Core without the plugins that end the process."""
    if not left_out():
        return ov.Core()
    nowhere = "".join(f'<plugin name="{name}" location="/nonexistent/{name}.so"/>' for name in left_out())
    with _paper() as file:
        file.write(f"<ie><plugins>{nowhere}</plugins></ie>")
        file.flush()
        return ov.Core(f"/proc/self/fd/{file.fileno()}")


def left_out() -> dict[str, str]:
    """Plugins that do not survive being asked for their devices, each with what became of it; asked once a process."""
    with _ASKING:  # doctor's checks run side by side: they would each start a child
        return _left_out()


@cache
def _left_out() -> dict[str, str]:
    found: dict[str, str] = {}
    waiting = [name for name, library in PLUGINS.items() if (plugin_folder() / library).exists()]
    while waiting:
        said, ending = _ask(waiting)
        answered = {line.partition(" ")[2] for line in said if line.startswith(f"{DONE} ")}
        waiting = [name for name in waiting if name not in answered]
        if ending is None or not any(line.startswith(f"{BEGUN} ") for line in said):
            break  # all have answered, or it was none of them
        if waiting:
            culprit = waiting.pop(0)
            found[culprit] = ending
            log.warning("device.left_out", plugin=culprit, cause=ending)
    return found


def _ask(names: list[str]) -> tuple[list[str], str | None]:
    """What a child says that asks these plugins one after the other, and how it ended; None where it ended well."""
    with _paper() as said:
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter, and names from above
                [sys.executable, "-c", PROBE, *names],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.DEVNULL,
                timeout=PROBE_S,
                check=False,
            )
            ending = _ending(done.returncode)
        except subprocess.TimeoutExpired:
            ending = f"no answer within {PROBE_S:.0f} s"
        said.seek(0)
        return said.read().splitlines(), ending


def _paper() -> TextIO:
    """A file in memory: a box whose disk is full starts all the same, and what a hanging driver says is not lost."""
    return os.fdopen(os.memfd_create("edgepose-plugins"), "w+", encoding="utf-8", errors="replace")


def _ending(code: int) -> str | None:
    if code == 0:
        return None
    if code > 0:
        return f"ended its process with code {code}"
    try:
        return f"ended its process by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended its process by signal {-code}"
