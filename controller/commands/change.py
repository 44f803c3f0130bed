"""Commands that change what a device does, and `plan-affinity`, which asks what a change would bring."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from agent.wire.devices import DeviceString, DeviceStringError
from agent.wire.messages import Info
from controller.client.request import Outcome
from controller.commands.completion import from_info
from controller.commands.execute import carry_out, given_ones
from controller.commands.options import FILE, Given
from controller.commands.rules import affinity
from controller.commands.targets import FleetCommand, addressed
from controller.errors import UsageError
from controller.terminal import outcome as tables

SLOW_S: Final = 150.0
"""How long a switch may take unless --timeout says otherwise: a GPU compiles for a minute and more."""
PRESETS: Final = ("convolutions", "split", "fallback")
PRECISIONS: Final = ("FP32", "FP16", "INT8")


class DeviceStringType(click.ParamType[str]):
    """A device string of OpenVINO: checked and made canonical before anything is sent."""

    name = "openvino_device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Refuse what no box could take; what a box has is its own to say."""
        try:
            return str(DeviceString.parse(value))
        except DeviceStringError as error:
            self.fail(f"{error.message}; {error.hint}" if error.hint else error.message, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete to the devices of the boxes; the modes' members would be cut at the colon by the shell."""
        return from_info(lambda info: (device.name for device in info.devices), "AUTO")(ctx, param, incomplete)


def _models(info: Info) -> Iterable[str]:
    return (model.name for model in info.models)


def _precisions(info: Info) -> Iterable[str]:
    offered = {precision for model in info.models for precision in model.precisions}
    return (precision for precision in PRECISIONS if precision in offered)


SET_DEVICE_HELP: Final = """Run on another processor, or on several.

OPENVINO_DEVICE is CPU, GPU, GPU.1, NPU, AUTO, AUTO:GPU,CPU, MULTI:GPU,CPU, HETERO:GPU,CPU or BATCH:GPU(4), in any case,
or an alias of the box. `controller describe` shows which devices a box has.

The new engine is built and tried beside the running one, which goes on until the swap.

\b
Examples:
  controller set-device gym-01 GPU
  controller set-device 'gym-*' AUTO:GPU,CPU
  controller set-device gym-01 GPU --detector CPU
  controller set-device --group halls CPU --json
"""


@click.command(cls=FleetCommand, help=SET_DEVICE_HELP)
@click.argument("openvino_device", type=DeviceStringType())
@click.option(
    "--detector",
    type=DeviceStringType(),
    metavar="OPENVINO_DEVICE",
    help="Where the first of two stages runs. Default: on the same.",
)
@addressed(changes=True, answer_s=SLOW_S)
@click.pass_obj
def set_device(given: Given, openvino_device: str, detector: str | None) -> None:
    """Send the device strings."""
    args = {"device": openvino_device} | ({"detector": detector} if detector else {})
    carry_out(given, "set-device", args, answer_s=SLOW_S)


@click.command(cls=FleetCommand)
@click.argument(
    "precision",
    type=click.Choice(PRECISIONS, case_sensitive=False),
    metavar="FP32|FP16|INT8",
    shell_complete=from_info(_precisions),
)
@addressed(changes=True, answer_s=SLOW_S)
@click.pass_obj
def set_precision(given: Given, precision: str) -> None:
    """Compute in another precision.

    One below FP32 is refused when its people agree too little with those of FP32: the answer says how many it missed.
    """
    carry_out(given, "set-precision", {"precision": precision}, answer_s=SLOW_S)


@click.command(cls=FleetCommand)
@click.argument("model", shell_complete=from_info(_models))
@addressed(changes=True, answer_s=SLOW_S)
@click.pass_obj
def set_model(given: Given, model: str) -> None:
    """Run another network, one that is installed on the box."""
    carry_out(given, "set-model", {"model": model}, answer_s=SLOW_S)


def _rules(command: Any) -> Any:  # noqa: ANN401
    options = [
        click.option("--preset", type=click.Choice(PRESETS), help="Rules that are made by the box."),
        click.option(
            "--rule",
            multiple=True,
            metavar="KEY=VALUE:DEVICE",
            help="The key is type, name, first or heaviest. May be given again: the first rule that matches counts.",
        ),
        click.option("--default", metavar="DEVICE", help="Where the rest goes. Default: left to OpenVINO."),
        click.option("--file", type=FILE, help="Rules as JSON."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _affinity(preset: str | None, rules: tuple[str, ...], default: str | None, file: Path | None) -> dict[str, Any]:
    return affinity(preset, rules, default, file).model_dump(mode="json", exclude_defaults=True)


RULES_HELP: Final = """
\b
Rules, each KEY=VALUE:DEVICE. The key ends at the first '=', the device begins
after the last ':'.
  type=Convolution:GPU    operations of a type
  name='Convolution_10*':CPU   operations whose name matches the glob
  first=0.6:GPU           the first 60 % of the operations, as they run
  heaviest=10:GPU         the ten operations that take longest when measured

\b
Presets, for the devices of the HETERO string that runs:
  convolutions   every convolution on the first, all else on the second
  split          one cut through the network, where the times measured on the
                 box promise most
  fallback       everything on the first that can run it, which is what
                 OpenVINO does by itself

\b
A file holds the same as JSON:
  {"rules": [{"match": {"type": "Convolution"}, "device": "GPU"}],
   "default": "CPU"}
"""

SET_AFFINITY_HELP: Final = f"""Choose which layers run on which device.

The box runs a HETERO device, or the rules name two devices.
{RULES_HELP}
\b
Examples:
  controller set-affinity gym-01 --preset split
  controller set-affinity gym-01 --rule type=Convolution:GPU --default CPU
  controller set-affinity 'gym-*' --rule first=0.6:GPU --default CPU
"""

PLAN_AFFINITY_HELP: Final = f"""Ask what set-affinity would do, changing nothing.

The answer has the operations on each device, the pieces the network falls into, and the tensors that cross between
them with their bytes; for `split` also the time it expects.
{RULES_HELP}
\b
Examples:
  controller plan-affinity gym-01 --preset convolutions
  controller plan-affinity gym-01 --preset split --mermaid > split.mmd
"""


@click.command(cls=FleetCommand, help=SET_AFFINITY_HELP)
@_rules
@addressed(changes=True, answer_s=SLOW_S)
@click.pass_obj
def set_affinity(
    given: Given, preset: str | None, rule: tuple[str, ...], default: str | None, file: Path | None
) -> None:
    """Send the rules."""
    carry_out(given, "set-affinity", _affinity(preset, rule, default, file), answer_s=SLOW_S)


@click.command(cls=FleetCommand, help=PLAN_AFFINITY_HELP)
@_rules
@click.option("--mermaid", is_flag=True, help="Print the picture alone, as the text of a Mermaid flowchart.")
@addressed(changes=False, answer_s=SLOW_S)
@click.pass_obj
def plan_affinity(
    given: Given,
    preset: str | None,
    rule: tuple[str, ...],
    default: str | None,
    file: Path | None,
    *,
    mermaid: bool,
) -> None:
    """Send the rules."""
    if mermaid and given.json:
        raise UsageError("give --mermaid or --json", hint="the JSON has the picture as `mermaid`")
    show = _print_pictures if mermaid else None
    carry_out(given, "plan-affinity", _affinity(preset, rule, default, file), answer_s=SLOW_S, show=show)


def _print_pictures(outcomes: list[Outcome]) -> None:
    for each in outcomes:
        if (plan := tables.plan_of(each)) is None or each.exit_code:
            tables.show_error(each)
            continue
        if len(outcomes) > 1:
            click.echo(f"%% {each.device_id}")
        click.echo(plan.mermaid.rstrip())


@click.command(cls=FleetCommand)
@click.argument("hint", type=click.Choice(["latency", "throughput"]), metavar="latency|throughput")
@click.option("--streams", type=click.IntRange(1, 1024), metavar="N", help="Default: left to OpenVINO.")
@click.option(
    "--requests", type=click.IntRange(1, 1024), metavar="N", help="Frames in work. Default: left to OpenVINO."
)
@addressed(changes=True, answer_s=SLOW_S)
@click.pass_obj
def set_hint(given: Given, hint: str, streams: int | None, requests: int | None) -> None:
    """Optimise for the time of a frame, or for frames a second."""
    args = {"hint": hint, "streams": streams, "requests": requests}
    carry_out(given, "set-hint", given_ones(args), answer_s=SLOW_S)


@click.command(cls=FleetCommand)
@click.option(
    "--long-side",
    type=click.IntRange(32, 4096),
    metavar="PIXELS",
    help="Of the input; the short side follows the camera. Default: what the box's configuration says.",
)
@addressed(changes=True, answer_s=SLOW_S)
@click.pass_obj
def set_input(given: Given, long_side: int | None) -> None:
    """Look at the picture at another size.

    A larger input finds smaller people and takes longer. It is of the network that runs: another one begins with the
    size of the configuration. Of a network of two stages it is the detector's. Without a size it is the configuration's
    again, or what the box has measured to fit its camera.
    """
    carry_out(given, "set-input", {"long_side": long_side}, answer_s=SLOW_S)


@click.command(cls=FleetCommand)
@addressed(changes=True)
@click.pass_obj
def pause(given: Given) -> None:
    """Stop looking at frames; engine and camera stay ready."""
    carry_out(given, "pause", {})


@click.command(cls=FleetCommand)
@addressed(changes=True)
@click.pass_obj
def resume(given: Given) -> None:
    """Go on after a pause."""
    carry_out(given, "resume", {})
