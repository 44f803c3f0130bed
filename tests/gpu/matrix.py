"""What each device string is on the real GPU plugin: the table of docs/devices.md, written by `make gpu-table`.

Every row is built twice, compiled and taken from the cache; a row whose two engines differ says so.
"""

import itertools
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.errors import EngineError
from agent.inference.checked import build_checked
from agent.inference.devices import open_core
from agent.inference.engine import Engine
from agent.inference.spec import EngineFacts, EngineSpec, Hint
from models.shelf.catalogue import Precision
from models.shelf.store import Store, models_dir
from tests.gpu.people import DECODER, SIZE, People, people
from tests.gpu.rig import build
from tests.inference.engines import CARD

STRINGS: Final = (
    "CPU",
    "GPU",
    "GPU.0",
    "AUTO",
    "AUTO:GPU,CPU",
    "AUTO:-GPU",
    "MULTI:GPU,CPU",
    "HETERO:GPU,CPU",
    "HETERO:CPU,GPU",
    "BATCH:GPU(4)",
)
PRECISIONS: Final[tuple[Precision, ...]] = ("FP32", "FP16")
HINTS: Final[tuple[Hint, ...]] = ("latency", "throughput")
PAGE: Final = Path(__file__).parents[2] / "docs" / "devices.md"
BEGIN: Final = "<!-- table: make gpu-table -->\n"
END: Final = "<!-- end of table -->\n"
HEAD: Final = "| device | precision | hint | runs on | in | requests | submodels | OKS, lowest |\n" + "|---" * 8 + "|\n"


@dataclass(frozen=True, slots=True)
class Built:
    """What one engine turned out to be."""

    facts: EngineFacts
    oks: float


class Bench:
    """Builds engines on the real plugin and compares what they find with what the processor finds at FP32."""

    def __init__(self, store: Store, cache: Path) -> None:
        self.core = open_core({})
        self.store = store
        self._cache = cache
        self._people: People | None = None

    def engine(self, device: str, precision: Precision = "FP32", **spec: object) -> Engine:
        """Build and check an engine, from the cache where it was built before. Raises EngineError, CommandError."""
        wanted = EngineSpec(CARD.name, device, precision, *SIZE, **spec)  # type: ignore[arg-type]
        return build_checked(self.core, self.store, CARD, wanted, DECODER.roles, self._cache)

    def people(self) -> People:
        """The people, and where the processor finds them."""
        if self._people is None:
            with self.engine("CPU") as reference:
                self._people = people(self.store, reference)
        return self._people

    def built(self, device: str, precision: Precision = "FP32", **spec: object) -> Built:
        """Build an engine, let it look for the people, and close it. Raises EngineError."""
        with self.engine(device, precision, **spec) as engine:
            return Built(engine.facts, self.people().oks(engine))


def alike(cold: EngineFacts, warm: EngineFacts) -> bool:
    """Whether two engines are the same but for where they came from and what it took."""
    same = {"compile_ms": 0.0, "first_infer_ms": 0.0, "from_cache": False}
    return replace(cold, **same) == replace(warm, **same)  # type: ignore[arg-type]


def row(bench: Bench, device: str, precision: Precision, hint: Hint) -> str:
    """A row of the table."""
    try:
        cold, warm = (bench.built(device, precision, hint=hint) for _ in range(2))
    except EngineError as error:
        return f"| `{device}` | {precision} | {hint} | {error} | | | | |\n"
    facts = cold.facts
    cells = [
        f"`{device}`",
        precision,
        hint,
        ", ".join(facts.execution_devices) + ("" if alike(facts, warm.facts) else " (another from the cache)"),
        facts.inference_precision,
        str(facts.infer_requests),
        "" if facts.submodels is None else str(facts.submodels),
        f"{min(cold.oks, warm.oks):.3f}",
    ]
    return f"| {' | '.join(cells)} |\n"


def main() -> int:
    """Measure, and put the table in its place."""
    os.environ.update(build())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Store(models_dir()), Path(folder))
        for device, precision, hint in itertools.product(STRINGS, PRECISIONS, HINTS):
            rows.append(row(bench, device, precision, hint))
            print(rows[-1], end="", flush=True)  # noqa: T201 - a program
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _old, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + HEAD + "".join(rows) + END + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
