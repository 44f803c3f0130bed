"""From what is asked of the agent and one command to what is then asked of it."""

from contextlib import suppress
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control.asking import Box, asked, placed, tuned
from agent.control.settings import Settings
from agent.wire.affinity import Affinity, Match, Rule
from agent.wire.commands import (
    AnyArgs,
    CommandError,
    ErrorCode,
    NoArgs,
    SetAffinity,
    SetDevice,
    SetHint,
    SetInput,
    SetModel,
    SetPrecision,
    Tune,
)
from agent.wire.devices import DeviceString, require

BOX = Box(
    "hall", ("CPU", "GPU.0", "GPU.1"), {"movenet-multipose": ("FP32", "INT8"), "human-pose-estimation-0001": ("FP32",)}
)
CPU = Settings(model="movenet-multipose", device="CPU", precision="FP32")
HETERO = CPU.model_copy(update={"device": "HETERO:GPU.1,CPU"})
RULES = SetAffinity(rules=(Rule(match=Match(first=0.6), device="GPU.1"),), default="CPU")


def refused(settings: Settings, args: AnyArgs, box: Box = BOX) -> CommandError:
    with pytest.raises(CommandError) as refusal:
        asked(settings, args, box)
    return refusal.value


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (Tune(precisions=("FP16",)), "movenet-multipose has no FP16"),
        (Tune(models=("movenet-multipose", "human-pose-estimation-0001"), precisions=("INT8",)), "0001 has no INT8"),
        (Tune(models=("human-pose-estimation-0001",), precisions=("FP16", "INT8")), "0001 has no FP16"),
    ],
)
def test_tuning_with_what_is_not_there_is_refused(args: Tune, told: str) -> None:
    """Before anything is measured: no network has the precision, or one that was named has not."""
    with pytest.raises(CommandError, match=told) as refusal:
        tuned(args, BOX)
    assert refusal.value.code is ErrorCode.UNAVAILABLE_PRECISION


@pytest.mark.parametrize(
    "args", [Tune(), Tune(precisions=("INT8",)), Tune(models=("movenet-multipose",), precisions=("FP16", "INT8"))]
)
def test_tuning_with_what_some_network_has_begins(args: Tune) -> None:
    """Networks that nobody named are left out where they lack it."""
    tuned(args, BOX)


@pytest.mark.parametrize(
    ("args", "changed"),
    [
        (SetDevice(device=" hetero: gpu.1 , cpu "), {"device": "HETERO:GPU.1,CPU"}),
        (SetDevice(device="auto"), {"device": "AUTO"}),
        (SetPrecision(precision="INT8"), {"precision": "INT8", "said": ("precision",)}),
        (SetPrecision(precision="FP32"), {"said": ("precision",)}),
        (SetModel(model="human-pose-estimation-0001"), {"model": "human-pose-estimation-0001"}),
        (SetHint(hint="throughput", streams=2), {"hint": "throughput", "streams": 2, "said": ("hint",)}),
        (SetInput(long_side=512), {"long_side": 512}),
    ],
)
def test_a_command_changes_what_it_names_and_nothing_else(args: AnyArgs, changed: dict[str, object]) -> None:
    """Of the settings only what the command is about is another, written as OpenVINO knows it."""
    paused = CPU.model_copy(update={"paused": True})
    assert asked(paused, args, BOX) == paused.model_copy(update=changed)


def test_what_was_named_is_left_to_the_measurement_again() -> None:
    """By giving the size back, as far as the configuration has it so; another size changes nothing of that."""
    named = asked(asked(CPU, SetPrecision(precision="FP32"), BOX), SetHint(hint="throughput"), BOX)
    assert named.said == ("precision", "hint")
    assert asked(named, SetInput(long_side=512), BOX).said == ("precision", "hint")
    assert asked(named, SetInput(), BOX).said == ("hint",)
    assert asked(asked(named, SetHint(hint="latency"), BOX), SetInput(), BOX) == CPU


def test_a_detector_elsewhere() -> None:
    """The first of two stages may have a device of its own, until a device or a network is chosen without one."""
    apart = asked(CPU, SetDevice(device="gpu.1", detector=" cpu "), BOX)
    assert (apart.device, apart.detector, apart.requested().detector) == ("GPU.1", "CPU", "CPU")
    assert Settings.model_validate_json(apart.model_dump_json()) == apart
    assert asked(apart, SetPrecision(precision="INT8"), BOX).detector == "CPU"
    assert asked(apart, SetDevice(device="GPU.1"), BOX).detector is None
    assert asked(apart, SetModel(model="human-pose-estimation-0001"), BOX).detector is None
    assert refused(CPU, SetDevice(device="CPU", detector="NPU")).code is ErrorCode.UNAVAILABLE_DEVICE
    assert refused(CPU, SetDevice(device="CPU", detector="no such")).code is ErrorCode.UNKNOWN_DEVICE
    assert "detector" not in CPU.model_dump()  # a version before it reads what is kept
    assert "detector" not in CPU.requested().model_dump()


def test_a_size_is_of_one_network() -> None:
    """Another network begins with the size of the configuration, and that can be asked for by itself."""
    large = asked(CPU, SetInput(long_side=512), BOX)
    assert asked(large, SetModel(model="human-pose-estimation-0001"), BOX).long_side is None
    assert asked(large, SetInput(), BOX) == CPU
    assert "long_side" not in CPU.model_dump()  # a version before it reads what is kept


def test_a_hint_is_given_whole() -> None:
    """Streams and requests that a hint leaves out are left to OpenVINO again."""
    tuned = asked(CPU, SetHint(hint="throughput", streams=4, requests=8), BOX)
    assert asked(tuned, SetHint(hint="latency"), BOX) == CPU.model_copy(update={"said": ("hint",)})


@pytest.mark.parametrize(
    ("args", "code", "message", "hint"),
    [
        (SetDevice(device="GPUU.1"), ErrorCode.UNKNOWN_DEVICE, "GPUU.1", "did you mean GPU.1? devices here: CPU, GPU"),
        (SetDevice(device="HETRO:GPU,CPU"), ErrorCode.UNKNOWN_DEVICE, "HETRO", "did you mean HETERO:GPU,CPU?"),
        (SetDevice(device="AUTO:NPU,CPU"), ErrorCode.UNAVAILABLE_DEVICE, "NPU", "devices here: CPU, GPU, GPU.1"),
        (SetPrecision(precision="FP16"), ErrorCode.UNAVAILABLE_PRECISION, "FP16", "present: FP32, INT8"),
        (SetModel(model="movenet-multipost"), ErrorCode.UNKNOWN_MODEL, "multipost", "did you mean movenet-multipose?"),
        (SetModel(model="zzz"), ErrorCode.UNKNOWN_MODEL, "zzz", "here: movenet-multipose, human-pose-estimation-0001"),
        (NoArgs(), ErrorCode.INTERNAL, "NoArgs", ""),
    ],
)
def test_a_refusal_names_what_is_wrong_and_what_there_is(
    args: AnyArgs, code: ErrorCode, message: str, hint: str
) -> None:
    """What this box cannot do is refused with the word that is wrong, what was probably meant, and what there is."""
    error = refused(CPU, args)
    assert error.code is code
    assert message in error.message
    assert hint in error.hint


def test_int8_that_is_missing_can_be_made() -> None:
    """Whoever asks for an INT8 variant that is not there is told of the command that makes it."""
    other = CPU.model_copy(update={"model": "human-pose-estimation-0001"})
    assert "controller quantize hall" in refused(other, SetPrecision(precision="INT8")).hint


def test_a_model_comes_at_the_precision_that_is_asked_for() -> None:
    """Another network is refused where it has no variant of the precision in use."""
    int8 = CPU.model_copy(update={"precision": "INT8"})
    error = refused(int8, SetModel(model="human-pose-estimation-0001"))
    assert error.code is ErrorCode.UNAVAILABLE_PRECISION


@pytest.mark.parametrize("default", [" ", "\r", "\u00df" * 40])
@pytest.mark.parametrize("runs", [CPU, HETERO], ids=["CPU", "HETERO"])
def test_a_default_that_names_no_device_is_refused(runs: Settings, default: str) -> None:
    """Blank, or longer in capitals than a name may be: a refusal, and never the end of the agent."""
    rules = tuple(Rule(match=Match(type="Add"), device=device) for device in ("CPU", "GPU.1"))
    told = refused(runs, SetAffinity(rules=rules, default=default))
    assert told.code in {ErrorCode.INVALID_AFFINITY, ErrorCode.UNKNOWN_DEVICE}


def test_rules_name_the_device_they_need() -> None:
    """Rules that name two devices run on HETERO of those two, in their order, whatever ran before."""
    found = asked(CPU, SetAffinity(rules=(Rule(match=Match(type="Add"), device=" gpu.1 "),), default="cpu"), BOX)
    assert found.device == "HETERO:GPU.1,CPU"
    assert found.affinity == Affinity(rules=(Rule(match=Match(type="Add"), device="GPU.1"),), default="CPU")


def test_a_heterogeneous_device_stays() -> None:
    """On HETERO the device stays as it is: rules may name some of its members, a preset names none."""
    one = SetAffinity(rules=(Rule(match=Match(heaviest=3), device="cpu"),))
    assert asked(HETERO, one, BOX).device == "HETERO:GPU.1,CPU"
    assert asked(HETERO, SetAffinity(preset="split"), BOX) == HETERO.model_copy(
        update={"affinity": Affinity(preset="split")}
    )


@pytest.mark.parametrize(
    ("settings", "args", "code", "message"),
    [
        (CPU, SetAffinity(preset="split"), ErrorCode.INVALID_AFFINITY, "CPU runs"),
        (CPU, SetAffinity(rules=RULES.rules), ErrorCode.INVALID_AFFINITY, "HETERO"),
        (
            HETERO,
            SetAffinity(rules=RULES.rules, default="GPU.0"),
            ErrorCode.INVALID_AFFINITY,
            "GPU is not part of HETERO:GPU.1,CPU",
        ),
        (
            CPU,
            SetAffinity(rules=(Rule(match=Match(first=0.5), device="GPU.0,GPU.1"),), default="CPU"),
            ErrorCode.INVALID_AFFINITY,
            "GPU.0,GPU.1 is not part of",
        ),
        (CPU, SetAffinity(rules=RULES.rules, default="NPU"), ErrorCode.UNAVAILABLE_DEVICE, "NPU"),
        (CPU, SetAffinity(rules=RULES.rules, default="AUTO"), ErrorCode.UNKNOWN_DEVICE, "AUTO"),
    ],
)
def test_layers_are_placed_on_members_alone(
    settings: Settings, args: SetAffinity, code: ErrorCode, message: str
) -> None:
    """An affinity needs a HETERO device, or rules that name one; what they name must be one of its devices each."""
    with pytest.raises(CommandError) as refusal:
        placed(settings, args, BOX)
    assert refusal.value.code is code
    assert message in refusal.value.message


@pytest.mark.parametrize(
    ("device", "kept"),
    [("HETERO:CPU,GPU.1", True), ("HETERO:GPU.1,CPU,GPU.0", True), ("HETERO:GPU.0,CPU", False), ("CPU", False)],
)
def test_an_affinity_stays_where_it_still_means_something(device: str, kept: bool) -> None:
    """Another device keeps the affinity when it has all the members the rules name, and drops it otherwise."""
    found = asked(asked(HETERO, RULES, BOX), SetDevice(device=device), BOX)
    assert (found.affinity is not None) == kept


NAMES = ["cpu", "CPU", "gpu", "GPU.0", " Gpu.1", "NPU", "AUTO", "cpu,GPU.1"]
STRINGS = [
    *NAMES,
    *(f"{mode}:{','.join(pair)}" for mode in ("hetero", "Multi ", "no") for pair in permutations(NAMES, 2)),
]
COMMANDS = [
    *(SetDevice(device=device) for device in STRINGS),
    *(SetAffinity.model_validate({"preset": preset}) for preset in ("split", "convolutions", "fallback")),
    *(
        SetAffinity(rules=(Rule(match=Match(first=0.5), device=device),), default=default)
        for device, default in product(NAMES, [None, *NAMES])
    ),
]


@given(commands=st.lists(st.sampled_from(COMMANDS), max_size=6))
def test_whatever_is_asked_the_settings_make_sense(commands: list[AnyArgs]) -> None:
    """After any row of commands the device is canonical and present, and every rule names one of its members."""
    settings = CPU
    for args in commands:
        with suppress(CommandError):
            settings = asked(settings, args, BOX)
        device = DeviceString.parse(settings.device)
        assert str(device) == settings.device
        require(device, BOX.devices)
        if settings.affinity is not None:
            assert device.mode == "HETERO"
            assert set(settings.affinity.devices()) <= set(device.members)
