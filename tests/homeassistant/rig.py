"""Home Assistant in an environment of its own, kept in the user's cache, and a core that is spoken to."""

import json
import os
import subprocess
import sys
import threading
import venv
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, Self

from tests.tools import RigError, kept, run

HERE: Final = Path(__file__).parent
WANTED: Final = HERE / "requirements.txt"
START_S: Final = 120.0
ANSWER_S: Final = 60.0

Said = dict[str, Any]


def interpreter() -> Path:
    """The Python that has Home Assistant; installed now (two minutes) unless it was before. Raises RigError."""
    if sys.version_info[:2] not in {(3, 11), (3, 12)}:
        raise RigError("Home Assistant 2024.3 runs on Python 3.11 and 3.12")
    return _python(kept("homeassistant", WANTED.read_bytes() + sys.version.encode(), _install))


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _install(folder: Path) -> None:
    venv.create(folder, with_pip=True)
    pip: list[str | Path] = [_python(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--no-deps", "-r", WANTED], "Home Assistant")


class Core:
    """Home Assistant's core on a broker, as a context manager; what its entities become is kept."""

    def __init__(self, port: int, folder: Path) -> None:
        self._command = [os.environ["HOMEASSISTANT_PYTHON"], str(HERE / "inside.py"), str(port), str(folder)]
        self._news = threading.Condition()
        self.said: list[Said] = []
        self.noise: list[str] = []
        self.states: dict[str, Said] = {}
        """The newest of each entity."""
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for stream, take in ((self._process.stdout, self._take), (self._process.stderr, self._take_noise)):
            assert stream is not None
            reader = threading.Thread(target=self._read, args=(stream, take), daemon=True)
            reader.start()
            self._readers.append(reader)
        self.wait(lambda: any("ready" in said for said in self.said), START_S)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for reader in self._readers:
            reader.join(10)

    def call(self, domain: str, service: str = "", **data: Any) -> None:
        """Call one of its services, as a tap on its page would."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"domain": domain, "service": service, "data": data}) + "\n")
        self._process.stdin.flush()

    def ask(self, key: str) -> Any:
        """Its registry: ``registry`` is of entities, ``devices`` of devices."""
        self.said.clear()
        self.call("registry")
        self.wait(lambda: any(key in said for said in self.said))
        return next(said[key] for said in self.said if key in said)

    def wait_state(self, entity_id: str, wanted: Callable[[Any], bool], timeout_s: float = ANSWER_S) -> Said:
        """Wait until the entity's state is a wanted one."""
        self.wait(lambda: entity_id in self.states and wanted(self.states[entity_id]["state"]), timeout_s)
        return self.states[entity_id]

    def wait(self, done: Callable[[], bool], timeout_s: float = ANSWER_S) -> None:
        """Wait for something among what it says."""
        with self._news:
            known = {name: said["state"] for name, said in self.states.items()}
            assert self._news.wait_for(done, timeout_s), f"{known}\n" + "\n".join(self.noise[-40:])

    def _read(self, stream: IO[str], take: Callable[[str], None]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    take(line)
                    self._news.notify_all()

    def _take(self, line: str) -> None:
        said = json.loads(line)
        self.said.append(said)
        if "entity_id" in said:
            self.states[said["entity_id"]] = said

    def _take_noise(self, line: str) -> None:
        self.noise.append(line.rstrip("\n"))
