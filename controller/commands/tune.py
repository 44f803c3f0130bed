"""`tune`: what to run on a box for a wish, found by the box itself."""

from pathlib import Path
from typing import Any, Final

import click

from controller.commands.access import open_session
from controller.commands.change import PRECISIONS
from controller.commands.completion import from_info
from controller.commands.execute import given_ones, leave, order_of, target_of
from controller.commands.execute_job import BEGIN_S, Started, print_started, start
from controller.commands.files import require_new, write
from controller.commands.options import Given
from controller.commands.study import HINTS, DevicesType, NamesType, SidesType, lists
from controller.commands.targets import FleetCommand, addressed
from controller.report.files import tuning_in
from controller.report.tuned import as_html
from controller.terminal.surroundings import print_json, tell

HELP: Final = """Find the network, size, precision, device and hint that hold a wish.

The box looks at the same frames with every configuration, tries the best at the camera's pace, and answers with those
worth having. Best is what finds most of the people that the best network finds; the wish says what that may cost. A
tenth of each part of the wish is kept to spare. Publishing pauses meanwhile. Ctrl-C leaves the job running;
`controller job DEVICE ID --follow` comes back to it.

\b
  controller tune gym-01 --fps 10 --age 100 --cpu 60
  controller tune gym-01 --fps 25 --apply
  controller tune gym-01 --models rtmpose-s --long-sides 320,416 --devices CPU
"""


class WordsType(click.ParamType[tuple[str, ...]]):
    """Names with commas between them."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:  # noqa: ANN401
        """Split it; what each is called is the box's to say."""
        words = tuple(part.strip() for part in value.split(","))
        if not all(words):
            self.fail("a name is empty", param, ctx)
        return words


@click.command(cls=FleetCommand, help=HELP)
@click.option("--fps", type=click.FloatRange(0, 1000, min_open=True), metavar="N", help="Default: the camera's rate.")
@click.option(
    "--age",
    "age_ms",
    type=click.FloatRange(0, 60_000, min_open=True),
    metavar="MS",
    help="From a frame to its message, of 95 in 100.",
)
@click.option(
    "--cpu",
    "cpu_percent",
    type=click.FloatRange(0, 25_600, min_open=True),
    metavar="PERCENT",
    help="Of the agent; 100 is one core.",
)
@lists("--models", WordsType(), "NAME[,NAME...]", "Default: every network on the box.")
@lists("--devices", DevicesType(), "DEVICE[/DEVICE...]", "Default: each device of the box by itself.")
@lists("--precisions", NamesType(PRECISIONS), "FP32,FP16,INT8", "Default: all that a network has.")
@lists("--hints", NamesType(HINTS), "latency,throughput", "Default: both.")
@lists("--long-sides", SidesType(), "PIXELS[,PIXELS...]", "Input sizes. Default: 256 to 640.")
@click.option(
    "--reference",
    metavar="NAME",
    help="The network that is right. Default: the one that computes most.",
    shell_complete=from_info(lambda info: (model.name for model in info.models)),
)
@click.option("--frames", type=click.IntRange(10, 1000), metavar="N", help="That each looks at. Default: 100.")
@click.option("--seconds", type=click.FloatRange(10, 7200), metavar="S", help="At most, in all. Default: 900.")
@click.option("--clip", metavar="NAME", help="An installed clip. Default: what the box looks at, or a recording of it.")
@click.option("--apply", is_flag=True, default=None, help="Switch to the winner at the end.")
@click.option(
    "--html",
    metavar="FILE.html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="One page, with what finding more costs as a chart.",
)
@click.option("--force", is_flag=True, help="Replace the file.")
@addressed(changes=True, answer_s=BEGIN_S)
@click.pass_obj
def tune(given: Given, /, *, html: Path | None, force: bool, **args: Any) -> None:  # noqa: ANN401
    """Send what was given, follow the job, and print what it has found."""
    if html is not None:
        if not target_of(given).single:
            raise click.UsageError("--html is the page of one box: name it")
        require_new(html, (".html",), force=force)
    order = order_of(given, "tune", given_ones(args), answer_s=BEGIN_S)
    with open_session(given) as session:
        started = start(session, given, order)
    if html is not None:
        _write(started, html)
    _print(given, started)
    leave(started.exit_codes, complete=started.complete)


def _write(started: Started, page: Path) -> None:
    """Write what one box has found as a page, if it has found anything."""
    (outcome,) = started.outcomes
    job = started.followed.known.get(outcome.device_id)
    if job is not None and (found := tuning_in(job)) is not None:
        write(page, as_html(found).encode())
        tell(f"{page} is written")


def _print(given: Given, started: Started) -> None:
    """Print what each box has found, or how far its job was seen; --json of one box is the document itself."""
    if given.json and target_of(given).single:
        (outcome,) = started.outcomes
        job = started.followed.known.get(outcome.device_id)
        print_json(job.result if job is not None and tuning_in(job) is not None else started.as_json(outcome))
    else:
        print_started(given, started)
