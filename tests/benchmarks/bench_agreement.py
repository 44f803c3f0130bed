"""Our raw limit against OpenVINO's own benchmark_app, on the same IR: ``make bench-agreement``.

Nothing here passes or fails. The two take turns, our turn before and after each of benchmark_app's, so that what else
the machine does meets both; a ratio is taken between neighbours and printed as median with its spread. They should
agree within 5 %.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from agent.benchmark.limit import raw_throughput
from agent.config.tree import Log
from agent.inference.devices import open_core
from agent.observe import logs
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.benchmarks.bench import NETWORK, SIZE, engine_of, report

THROUGHPUT = re.compile(r"Throughput:\s+([\d.]+) FPS")


def benchmark_app(xml: Path, seconds: float) -> float:
    """Inferences per second by benchmark_app. Its request count and its random input are its own."""
    program = Path(sys.executable).parent / "benchmark_app"
    command = [str(program), "-m", str(xml), "-d", "CPU", "-hint", "throughput", "-infer_precision", "f32"]
    command += ["-shape", f"[1,{SIZE},{SIZE},3]", "-t", str(seconds)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = THROUGHPUT.search(told)
    assert found, f"benchmark_app told no throughput:\n{told}"
    return float(found[1])


def main() -> None:
    """Run both in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=10, help="of each turn")
    arguments = parser.parse_args()

    logs.setup(Log(level="warning"))
    store = Store(models_dir())
    fetch(catalogue.card(NETWORK), store)
    with engine_of(open_core({}), store, "FP32", "throughput") as engine:
        raw_throughput(engine, 1.0)  # warm-up, not counted
        ours = [raw_throughput(engine, arguments.seconds)]
        theirs: list[float] = []
        ratios: list[float] = []
        for _ in range(arguments.rounds):
            theirs.append(benchmark_app(store.variant(NETWORK, "FP32"), arguments.seconds))
            ours.append(raw_throughput(engine, arguments.seconds))
            ratios.append((ours[-2] + ours[-1]) / 2 / theirs[-1])
            print(f"{ours[-2]:.1f} and {ours[-1]:.1f}, benchmark_app {theirs[-1]:.1f}: {ratios[-1]:.3f}", flush=True)
    report("raw limit, CPU FP32", ours, "FPS")
    report("benchmark_app, CPU FP32", theirs, "FPS")
    report("ratio", ratios)


if __name__ == "__main__":
    main()
