"""The short version of `make soak`, and what its judge makes of figures."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.samples import metrics
from tests.soak.endurance import soak, write
from tests.soak.faults import CAMERA, KILLED
from tests.soak.rig import rig
from tests.soak.verdict import Happened, Sample, Soak, judge, memory_line, unexplained

BEGIN = datetime(2026, 1, 31, 6, 0, tzinfo=UTC)


@pytest.mark.usefixtures("store")
def test_half_a_minute_with_two_faults(tmp_path: Path) -> None:
    """After a killed broker and a lost camera poses flow again, and the log says nothing the two do not explain."""
    with rig(window_s=1.0, outage_s=(0.5, 1.0), frozen_after_s=10.0, long_side=128) as running:
        done = soak(running, 26.0, (CAMERA, KILLED), period_s=6.0)
    assert list(dict.fromkeys(fault.name for fault in done.happened)) == [CAMERA.name, KILLED.name]
    assert not [fault for fault in done.happened if fault.back_s is None or fault.wrong], done.happened
    assert not unexplained(done)
    assert done.code == 0
    promises = judge(done)
    write(done, promises, tmp_path)
    with (tmp_path / "soak.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(done.samples)
    assert all(float(row["rss_mb"]) > 50 for row in rows)
    assert json.loads((tmp_path / "soak.json").read_text())["promises"]
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


def hour(growth_mb_h: float = 0.0, late_latency_ms: float = 10.0) -> Soak:
    """An hour with a fault every five minutes, figures every minute."""
    done = Soak(BEGIN, BEGIN + timedelta(hours=1), code=0, asked_to_end=True)
    for minute in range(61):
        at = BEGIN + timedelta(minutes=minute)
        latency_ms = late_latency_ms if minute >= 50 else 10.0
        rss_mb = 300 + growth_mb_h * minute / 60 + (-1) ** minute * 0.1
        done.samples.append(
            Sample(at, "", True, rss_mb, 200.0, rss_mb - 2, 7, 14, 10.0, 8.0, latency_ms, 2 * latency_ms)
        )
        done.windows.append(metrics(sent_at=at, window_s=10.0, latency_ms_p99=latency_ms, age_ms_p99=2 * latency_ms))
    return done


def kept(done: Soak) -> dict[str, bool | None]:
    return {promise.name: promise.kept for promise in judge(done)}


def test_memory_is_judged_by_its_interval() -> None:
    """Flat memory is kept, two megabytes an hour are not, and what scatters too much for either is said not to tell."""
    assert kept(hour())["memory grows"] is True
    assert kept(hour(growth_mb_h=2.0))["memory grows"] is False
    scattered = hour()
    scattered.samples = [
        replace(sample, rss_mb=300 + 20 * (number * 7 % 11)) for number, sample in enumerate(scattered.samples)
    ]
    assert kept(scattered)["memory grows"] is None
    assert "cannot resolve" in judge(scattered)[1].measured


def test_the_line_has_the_slope_of_its_points() -> None:
    """A growth of 5 MB in an hour is told as such, with its warm-up left out."""
    done = hour(growth_mb_h=5.0)
    done.samples[:3] = [replace(sample, rss_mb=50.0) for sample in done.samples[:3]]
    line = memory_line(done)
    assert line is not None
    assert abs(line.mb_h - 5.0) < line.half_mb_h + 0.05


def test_what_comes_again_with_every_round_does_not_hide_a_growth() -> None:
    """Six megabytes that each round of ten faults takes and gives back neither are a growth nor cover one of 2 MB."""
    for growth_mb_h, is_kept in ((0.0, True), (2.0, False)):
        done = hour(growth_mb_h)
        for minute, sample in enumerate(done.samples):
            done.samples[minute] = replace(sample, rss_mb=sample.rss_mb + 0.6 * (minute % 10))
            kind = f"fault {minute % 10}"
            done.happened.append(Happened(kind, 5.0, frozenset(), sample.at, sample.at, 0.0, over=True))
        assert kept(done)["memory grows"] is is_kept


def test_late_latency_and_open_descriptors_are_told() -> None:
    """A p99 a quarter higher in the last ten minutes is not kept, nor is a descriptor too many at a quiet moment."""
    assert set(kept(hour()).values()) == {True, None}, "of an hour without a fault"
    assert kept(hour(late_latency_ms=12.5))["latency p99, between faults"] is False
    leaking = hour()
    leaking.samples[-1] = replace(leaking.samples[-1], descriptors=8)
    assert kept(leaking)["descriptors at quiet moments"] is False


def test_a_fault_explains_its_own_lines_alone() -> None:
    """A warning is explained by the fault it belongs to while that lasts, a traceback never."""
    done, at = hour(), BEGIN + timedelta(minutes=20)
    fault = Happened("broker killed", 10.0, frozenset({"broker.lost"}), at, at + timedelta(seconds=5), 2.0, over=True)
    done.happened.append(fault)

    def line(event: str, seconds: float, **more: str) -> dict[str, str]:
        moment = (at + timedelta(seconds=seconds)).isoformat()
        return {"timestamp": moment, "level": "warning", "event": event} | more

    done.log = [line("broker.lost", 1), line("broker.connected", 6) | {"level": "info"}]
    assert not unexplained(done)
    done.log += [line("camera.lost", 1), line("broker.lost", 60), line("broker.lost", 1, exception="Traceback")]
    assert len(unexplained(done)) == 3
    assert kept(done)["back after: broker killed"] is True
    fault.back_s = 11.0
    assert kept(done)["back after: broker killed"] is False
