"""Promises of the device strings: one canonical text each, everything else refused with what may have been meant."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.wire.commands import CommandError, ErrorCode
from agent.wire.devices import BATCH_MAX, MODES, DeviceString, DeviceStringError, canonical, require

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}(\.[0-9]{1,2})?", fullmatch=True).filter(
    lambda name: name not in MODES and canonical(name) == name
)
MEMBERS = st.lists(NAMES, min_size=1, max_size=4, unique=True)
LEFT_OUT = st.lists(NAMES | st.just("GPU.0"), min_size=1, max_size=3, unique_by=canonical)
DEVICES = st.one_of(
    NAMES.map(lambda name: DeviceString(None, (name,))),
    st.just(DeviceString("AUTO", ())),
    st.builds(DeviceString, st.sampled_from(["AUTO", "MULTI", "HETERO"]), MEMBERS.map(tuple)),
    LEFT_OUT.map(lambda names: DeviceString("AUTO", (), without=tuple(names))),
    st.builds(DeviceString, st.just("BATCH"), st.tuples(NAMES), st.none() | st.integers(1, BATCH_MAX)),
)
NOISE = st.text(" \tACGHINOPTUacghinoptu:,.()-04", max_size=24)


@given(DEVICES)
def test_the_canonical_text_is_read_back(device: DeviceString) -> None:
    """The text of a device string is that device string."""
    assert DeviceString.parse(str(device)) == device


@given(DEVICES, st.randoms(use_true_random=False))
def test_capitals_and_blanks_make_no_difference(device: DeviceString, random) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Any case and blanks around the parts give the same device string."""
    loose = "".join(random.choice((letter.upper(), letter.lower())) for letter in str(device))
    loose = re.sub(r"[:,(]", lambda mark: f"{random.choice(('', ' '))}{mark[0]}{random.choice(('', '  '))}", loose)
    assert DeviceString.parse(f" {loose}\t") == device


@example("MULTI:-A\x1f0")
@given(st.text(max_size=300) | NOISE | st.sampled_from(MODES).flatmap(lambda m: NOISE.map(lambda n: f"{m}:{n}")))
def test_any_text_is_a_device_string_or_refused(text: str) -> None:
    """What is read has a canonical text; the rest is refused in one line with a hint whose proposals can be read."""
    fault = None
    try:
        device = DeviceString.parse(text)
    except DeviceStringError as error:
        fault = error
    if fault is not None:
        assert fault.code == ErrorCode.UNKNOWN_DEVICE
        assert (fault.message + fault.hint).isprintable()
        for proposed in re.findall(r"[A-Z]+:[A-Z][\w.,()]*[A-Z\d)]", fault.hint):
            DeviceString.parse(proposed)
    else:
        assert DeviceString.parse(str(device)) == device
        assert str(device).upper() == str(device)
        assert not re.search(r"\s", str(device))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("CPU", "CPU"),
        ("gpu.1", "GPU.1"),
        (" npu ", "NPU"),
        ("simcpu", "SIMCPU"),
        ("auto", "AUTO"),
        ("auto: gpu , cpu", "AUTO:GPU,CPU"),
        ("Multi:GPU,CPU", "MULTI:GPU,CPU"),
        ("hetero:gpu,cpu", "HETERO:GPU,CPU"),
        ("HETERO:CPU", "HETERO:CPU"),
        ("batch:gpu( 04 )", "BATCH:GPU(4)"),
        ("BATCH:GPU", "BATCH:GPU"),
        ("gpu.0", "GPU"),
        ("hetero:gpu.0,cpu", "HETERO:GPU,CPU"),
        ("GPU.01", "GPU.01"),
        ("auto:- gpu", "AUTO:-GPU"),
        ("AUTO:-GPU.0", "AUTO:-GPU.0"),
        ("auto:gpu,npu,-cpu", "AUTO:GPU,NPU,-CPU"),
    ],
)
def test_what_is_allowed(text: str, canonical: str) -> None:
    """Every form of the contract, in the form in which it is told."""
    assert str(DeviceString.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "is empty", "for example CPU"),
        ("HETRO:GPU,CPU", "before the colon", "did you mean HETERO:GPU,CPU?"),
        ("multy:gpu,cpu", "before the colon", "did you mean MULTI:GPU,CPU?"),
        ("GPU,CPU", "several devices need a mode", "did you mean MULTI:GPU,CPU or HETERO:GPU,CPU?"),
        ("CPU:GPU", "CPU is a device, not a mode", "did you mean HETERO:CPU,GPU or MULTI:CPU,GPU?"),
        ("GPU(4)", "needs the mode BATCH", "did you mean BATCH:GPU(4)?"),
        ("HETERO:AUTO,CPU", "HETERO works on devices, not on modes", "HETERO:GPU,CPU"),
        ("MULTI:HETERO:GPU", "MULTI works on devices, not on modes", "MULTI:GPU,CPU"),
        ("BATCH:AUTO(4)", "BATCH works on devices, not on modes", "BATCH:GPU(4)"),
        ("AUTO:AUTO", "AUTO works on devices, not on modes", "AUTO:GPU,CPU"),
        ("HETERO", "does not name every device", "HETERO:GPU,CPU"),
        ("BATCH", "does not name every device", "BATCH:GPU(4)"),
        ("HETERO:", "does not name every device", "HETERO:GPU,CPU"),
        ("AUTO:", "does not name every device", "AUTO:GPU,CPU"),
        ("AUTO:CPU,", "does not name every device", "AUTO:GPU,CPU"),
        ("MULTI:,CPU", "does not name every device", "MULTI:GPU,CPU"),
        ("BATCH:(4)", "is no device's name", "CPU"),
        ("MULTI:CPU,cpu", "names a device twice", "once"),
        ("MULTI:GPU,GPU.0", "names a device twice", "once"),
        ("BATCH:GPU,CPU", "BATCH works on one device", "BATCH:GPU(4)"),
        ("BATCH:GPU(0)", "1 to 1024", "BATCH:GPU(4)"),
        ("BATCH:GPU(-1)", "is no device", "BATCH:GPU(4)"),
        ("BATCH:GPU()", "is no device", "BATCH:GPU(4)"),
        ("BATCH:GPU(1025)", "1 to 1024", "BATCH:GPU(4)"),
        ("BATCH:GPU(4)(4)", "is no device", "BATCH:GPU(4)"),
        ("MULTI:CPU(2),GPU", "is no device", "MULTI:GPU,CPU"),
        ("AUTO:-", "is no device to leave out", "AUTO:-GPU"),
        ("AUTO:--GPU", "is no device to leave out", "AUTO:-GPU"),
        ("AUTO:-MULTI", "is no device to leave out", "AUTO:-GPU"),
        ("AUTO:-GPU(4)", "is no device's name", "CPU"),
        ("AUTO:GPU,-GPU", "names a device twice", "once"),
        ("AUTO:-GPU,-GPU.0", "names a device twice", "once"),
        ("MULTI:-GPU", "only AUTO can leave a device out", "AUTO:-GPU"),
        ("HETERO:GPU,-CPU", "only AUTO can leave a device out", "AUTO:-CPU"),
        ("BATCH:-GPU(4)", "only AUTO can leave a device out", "AUTO:-GPU"),
        ("-GPU", "is no device's name", "CPU"),
        ("C PU", "is no device's name", "CPU"),
        ("GPU.x", "is no device's name", "GPU.1"),
        ("GPU.-1", "is no device's name", "GPU.1"),
        ("\uff23\uff30\uff35", "is no device string", "CPU"),
        ("C" * 257, "is no device string", "CPU"),
    ],
)
def test_what_is_refused(text: str, message: str, hint: str) -> None:
    """What OpenVINO would misread or answer obscurely is refused, and the hint has what was probably meant."""
    with pytest.raises(DeviceStringError) as caught:
        DeviceString.parse(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["CPU", "SIMCPU", "AUTO", "HETERO:SIMCPU,CPU", "BATCH:CPU(4)"])
def test_devices_that_are_here_pass(text: str) -> None:
    """A device of the box passes, wherever it stands; AUTO alone needs none in particular."""
    require(DeviceString.parse(text), ("CPU", "SIMCPU"))


@pytest.mark.parametrize("text", ["GPU", "GPU.0", "GPU.1", "HETERO:GPU,CPU", "AUTO:GPU.1,CPU"])
def test_gpu_is_the_first_of_several(text: str) -> None:
    """With two cards, which OpenVINO lists as GPU.0 and GPU.1, GPU alone is the first; of one card GPU.0 is it too."""
    require(DeviceString.parse(text), ("CPU", "GPU.0", "GPU.1"))
    if ".1" not in text:
        require(DeviceString.parse(text), ("CPU", "GPU"))


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("GPU", "GPU"),
        ("GPU.0", "GPU"),
        ("NPU", "NPU"),
        ("AUTO:GPU,CPU", "GPU, which AUTO:GPU,CPU needs"),
        ("MULTI:NPU,GPU.1", "NPU and no GPU.1, which MULTI:NPU,GPU.1 needs"),
        ("CPU.1", "CPU.1"),
        ("CPU.0", "CPU.0"),
        ("SIMCPU.1", "SIMCPU.1"),
    ],
)
def test_a_device_of_other_boxes_is_unavailable(text: str, missing: str) -> None:
    """A device that a box can have and this one has not is named, with the list of those here."""
    with pytest.raises(CommandError) as caught:
        require(DeviceString.parse(text), ("SIMCPU", "CPU"))
    assert caught.value.code == ErrorCode.UNAVAILABLE_DEVICE
    assert caught.value.message == f"this box has no {missing}"
    assert caught.value.hint.startswith("devices here: CPU, SIMCPU;")


@pytest.mark.parametrize(
    ("text", "name", "hint"),
    [
        ("CUP", "CUP", "did you mean CPU? devices here: CPU, SIMCPU"),
        ("HETERO:SINCPU,CPU", "SINCPU", "did you mean SIMCPU? devices here: CPU, SIMCPU"),
        ("AUTO:NOPE,GPU", "NOPE", "devices here: CPU, SIMCPU"),
    ],
)
def test_a_name_nobody_knows_is_unknown(text: str, name: str, hint: str) -> None:
    """A name that is no device anywhere is told apart from a missing device, with the nearest name there is."""
    with pytest.raises(CommandError) as caught:
        require(DeviceString.parse(text), ("CPU", "SIMCPU"))
    assert caught.value.code == ErrorCode.UNKNOWN_DEVICE
    assert caught.value.message == f"{text} names {name}, which is no device"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "present", "chosen"),
    [
        ("AUTO", ("CPU", "GPU"), ("CPU", "GPU")),
        ("AUTO:-GPU", ("CPU", "GPU"), ("CPU",)),
        ("AUTO:-GPU", ("CPU", "GPU.0", "GPU.1"), ("CPU",)),
        ("AUTO:-GPU.0", ("CPU", "GPU.0", "GPU.1"), ("CPU", "GPU.1")),
        ("AUTO:-GPU.0", ("CPU", "GPU"), ("CPU",)),
        ("AUTO:-GPU.1", ("CPU", "GPU.0", "GPU.1"), ("CPU", "GPU")),
        ("AUTO:-NPU", ("CPU", "GPU"), ("CPU", "GPU")),
        ("AUTO:-CPU", ("CPU", "SIMCPU"), ("SIMCPU",)),
        ("AUTO:GPU,CPU,-CPU.1", ("CPU", "GPU"), ("GPU", "CPU")),
        ("HETERO:GPU.0,CPU", ("CPU", "GPU.0", "GPU.1"), ("GPU", "CPU")),
    ],
)
def test_what_auto_may_choose(text: str, present: tuple[str, ...], chosen: tuple[str, ...]) -> None:
    """A name alone leaves out every card of its kind, one with a number that card; GPU.0 is GPU."""
    device = DeviceString.parse(text)
    require(device, present)
    assert device.among(present) == chosen


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("AUTO:-CPU,-SIMCPU", ErrorCode.UNAVAILABLE_DEVICE, "AUTO:-CPU,-SIMCPU leaves no device to choose from"),
        ("AUTO:-CUP", ErrorCode.UNKNOWN_DEVICE, "AUTO:-CUP names CUP, which is no device"),
    ],
)
def test_leaving_out_what_cannot_be(text: str, code: ErrorCode, message: str) -> None:
    """A name nobody knows cannot be left out, nor can every device be."""
    with pytest.raises(CommandError) as caught:
        require(DeviceString.parse(text), ("CPU", "SIMCPU"))
    assert (caught.value.code, caught.value.message) == (code, message)
