"""How busy accelerators are, read from files as kernels write them. No such silicon was at hand."""

from pathlib import Path

import pytest

from agent.observe.accelerators import BusyMeter

I915 = """pos:\t0
flags:\t02100002
mnt_id:\t26
drm-driver:\ti915
drm-client-id:\t{client}
drm-pdev:\t0000:00:02.0
drm-total-system0:\t12 MiB
drm-engine-render:\t{render} ns
drm-engine-copy:\t0 ns
drm-engine-video:\t{video} ns
drm-engine-capacity-video:\t2
drm-engine-video-enhance:\t0 ns
"""
XE = """pos:\t0
drm-driver:\txe
drm-client-id:\t{client}
drm-pdev:\t0000:03:00.0
drm-cycles-rcs:\t{busy}
drm-total-cycles-rcs:\t{total}
drm-cycles-ccs:\t0
drm-total-cycles-ccs:\t{total}
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "proc/self/fdinfo").mkdir(parents=True)
    (tmp_path / "sys").mkdir()
    return tmp_path


def write(machine: Path, **files: str) -> None:
    for name, text in files.items():
        (machine / "proc/self/fdinfo" / name.removeprefix("fd")).write_text(text, encoding="ascii")


def meter(machine: Path) -> BusyMeter:
    made = BusyMeter(machine / "proc", machine / "sys")
    made.read(1000.0)
    return made


def test_who_tells_nothing_is_unknown_and_not_idle(machine: Path) -> None:
    """Without a card, and with descriptors of other files, there is no figure."""
    write(machine, fd3="pos:\t0\nflags:\t02\nmnt_id:\t12\n")
    assert meter(machine).read(1005.0) == (None, None)


def test_i915_counts_nanoseconds(machine: Path) -> None:
    """The busiest engine of the time since the reading before; one client behind two descriptors counts once."""
    client = I915.format(client=7, render=10**9, video=0)
    write(machine, fd5=client, fd6=client)
    reader = meter(machine)
    later = I915.format(client=7, render=10**9 + 2 * 10**9, video=3 * 10**9)
    write(machine, fd5=later, fd6=later)
    assert reader.read(1005.0)[0] == pytest.approx(40.0), "two of five seconds; of two video engines, 1.5"
    assert reader.read(1010.0)[0] == 0.0


def test_xe_counts_cycles(machine: Path) -> None:
    """Cycles of the engine over those of the time; the work of two clients adds up, their clock does not."""
    write(machine, fd5=XE.format(client=1, busy=100, total=1000), fd6=XE.format(client=2, busy=0, total=1000))
    reader = meter(machine)
    write(machine, fd5=XE.format(client=1, busy=350, total=2000), fd6=XE.format(client=2, busy=250, total=2000))
    assert reader.read(1005.0)[0] == pytest.approx(50.0)


def test_a_client_that_ends_is_no_negative_work(machine: Path) -> None:
    """An engine that is closed takes its counters along."""
    write(machine, fd5=I915.format(client=1, render=10**10, video=0), fd6=I915.format(client=2, render=0, video=0))
    reader = meter(machine)
    (machine / "proc/self/fdinfo/5").unlink()
    assert reader.read(1001.0)[0] == 0.0


def test_a_switch_hides_no_work(machine: Path) -> None:
    """The old engine's client ends with all it ever did, and the new one's work counts all the same."""
    write(machine, fd5=I915.format(client=1, render=10**11, video=0))
    reader = meter(machine)
    (machine / "proc/self/fdinfo/5").unlink()
    write(machine, fd6=I915.format(client=2, render=4 * 10**9, video=0))
    assert reader.read(1005.0)[0] == pytest.approx(80.0)


def test_a_clock_read_once_tells_no_time(machine: Path) -> None:
    """The card's clock runs since the box started: a first reading of it is unknown, not idle."""
    reader = meter(machine)
    write(machine, fd5=XE.format(client=1, busy=1000, total=10**9))
    assert reader.read(1005.0)[0] is None
    write(machine, fd5=XE.format(client=1, busy=1500, total=10**9 + 1000))
    assert reader.read(1010.0)[0] == pytest.approx(50.0)


def test_a_card_that_counts_for_all_alone_is_read_so(machine: Path) -> None:
    """Amdgpu tells the whole card; no figure is None, a figure of 0 is 0, and the busiest card counts."""
    reader = meter(machine)
    for card, text, wanted in (("card0", "0\n", 0.0), ("card1", "37\n", 37.0), ("card2", "", 37.0)):
        device = machine / "sys/class/drm" / card / "device"
        device.mkdir(parents=True)
        (device / "gpu_busy_percent").write_text(text, encoding="ascii")
        assert reader.read()[0] == wanted


def test_a_neural_processor_counts_microseconds(machine: Path) -> None:
    """Its busy time over the time that passed."""
    device = machine / "sys/class/accel/accel0/device"
    device.mkdir(parents=True)
    (device / "npu_busy_time_us").write_text("1000000\n", encoding="ascii")
    reader = meter(machine)
    (device / "npu_busy_time_us").write_text("2250000\n", encoding="ascii")
    card, neural = reader.read(1005.0)
    assert (card, neural) == (None, 25.0)


def test_this_process_can_be_read() -> None:
    """On whatever machine this runs, reading is no error."""
    for figure in BusyMeter().read():
        assert figure is None or 0 <= figure <= 100
