"""`benchmark`, `sweep` and `report`: the study, repeated on a box from a distance, and what it shows."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote

import click

from agent.wire.study import Study
from controller.client.request import OFFLINE, Order, Outcome
from controller.commands.access import open_session
from controller.commands.change import PRECISIONS, PRESETS, DeviceStringType
from controller.commands.execute import given_ones, leave, order_of, print_tables, target_of
from controller.commands.execute_job import BEGIN_S, Started, check_out, print_end, save_study, start, study_out
from controller.commands.files import require_new, write
from controller.commands.options import FILE, Given
from controller.commands.targets import FleetCommand, addressed
from controller.errors import UsageError
from controller.report import charts as report_charts
from controller.report import drawing as charts
from controller.report import files as report_files
from controller.report.beside import side_by_side
from controller.report.files import study_in
from controller.report.page import as_html
from controller.terminal import study as report_tables
from controller.terminal.surroundings import print_devices, print_json, tell

HINTS: Final = ("throughput", "latency")
AIMS: Final = ("best", "best-throughput", "best-latency")


class DevicesType(click.ParamType[tuple[str, ...]]):
    """Device strings with slashes between them: each may hold commas of its own."""

    name = "openvino_devices"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:  # noqa: ANN401
        """Check each, and make it canonical."""
        one = DeviceStringType()
        try:
            return tuple(one.convert(part, param, ctx) for part in value.split("/"))
        except click.BadParameter as error:
            hint = " (a slash stands between devices: CPU/MULTI:CPU,GPU)" if "," in value else ""
            self.fail(f"{error.message}{hint}", param, ctx)


class NamesType(click.ParamType[tuple[str, ...]]):
    """Known words with commas between them, in any case."""

    name = "names"

    def __init__(self, known: tuple[str, ...]) -> None:
        self.choice = click.Choice(known, case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:  # noqa: ANN401
        """Refuse any other word."""
        return tuple(self.choice.convert(part.strip(), param, ctx) for part in value.split(","))


class SidesType(click.ParamType[tuple[int, ...]]):
    """Long sides of the input in pixels, with commas between them."""

    name = "pixels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:  # noqa: ANN401
        """Refuse what no network takes."""
        side = click.IntRange(32, 4096)
        return tuple(side.convert(part.strip(), param, ctx) for part in value.split(","))


def _joined(_ctx: click.Context, _param: click.Parameter, value: tuple[tuple[Any, ...], ...]) -> list[Any] | None:
    """Put what each use of an option has given into one list; None where it was not used."""
    return list(dict.fromkeys(word for words in value for word in words)) or None


def lists(name: str, kind: click.ParamType[Any], metavar: str, text: str) -> Callable[[Any], Any]:
    """Decorate a command with an option that takes a list, and adds to it each time it is given."""
    return click.option(name, type=kind, metavar=metavar, multiple=True, callback=_joined, help=text)


def _measuring(command: Any) -> Any:  # noqa: ANN401
    options = [
        click.option("--runs", type=click.IntRange(1, 100), metavar="N", help="Of each configuration. Default: 20."),
        click.option(
            "--seconds",
            type=click.FloatRange(0, 3600, min_open=True),
            metavar="S",
            help="Of the clip at its own pace, for each run. Default: 60.",
        ),
        click.option(
            "--frames", type=click.IntRange(10, 100_000), metavar="N", help="Of the clip, instead of --seconds."
        ),
        click.option(
            "--clip", metavar="NAME", help="An installed clip. Default: what the box looks at, or a recording of it."
        ),
        study_out("Also write the study to FILE, for `controller report`; of several boxes one each, FILE-DEVICE."),
        addressed(changes=True, answer_s=BEGIN_S),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(cls=FleetCommand)
@click.option("--device", type=DeviceStringType(), metavar="OPENVINO_DEVICE", help="For example MULTI:GPU,CPU.")
@click.option("--precision", type=click.Choice(PRECISIONS, case_sensitive=False))
@click.option("--affinity", type=click.Choice(PRESETS), help="Of a HETERO device.")
@click.option("--hint", type=click.Choice(HINTS))
@_measuring
@click.pass_obj
def benchmark(given: Given, /, out: Path | None, *, force: bool, **args: Any) -> None:  # noqa: ANN401
    """Measure one configuration of DEVICE; what is left out is as it runs now.

    Every run takes the application's own pipeline through the same clip. Publishing pauses meanwhile and comes back as
    it was. Ctrl-C leaves the job running; `controller job DEVICE ID --follow` comes back to it. Of several boxes one
    is measured after the other.
    """
    _carry_out(given, "benchmark", args, out, force=force)


SWEEP_HELP: Final = """Repeat the whole study on DEVICE: the original model, and every combination.

What is left out is what the study measured, AUTO and NPU. What the box does not have is reported as unavailable. The
study goes on when the agent restarts, and without us: Ctrl-C leaves it running, `controller job DEVICE ID --follow`
comes back to it. Of several boxes one is measured after the other.

\b
Lists: devices have slashes between them, since a device string holds commas;
all else has commas.
  controller sweep gym-01 --out gym-01.json
  controller sweep gym-01 --devices CPU/GPU/MULTI:GPU,CPU --precisions INT8
  controller sweep gym-01 --devices CPU --devices GPU --runs 3 --apply best
  controller sweep gym-01 --devices CPU --long-sides 256,384,512
  controller sweep gym-01 --devices GPU --detector CPU/GPU
"""


@click.command(cls=FleetCommand, help=SWEEP_HELP)
@lists("--devices", DevicesType(), "DEVICE[/DEVICE...]", "OpenVINO's, for example CPU/MULTI:GPU,CPU.")
@lists("--precisions", NamesType(PRECISIONS), "FP32,FP16,INT8", "Default: all three.")
@lists("--affinity", NamesType(PRESETS), "fallback,convolutions,split", "Of HETERO devices. Default: all three.")
@lists("--detector", DevicesType(), "DEVICE[/DEVICE...]", "Of two stages, for the first. Default: each row's device.")
@lists("--hints", NamesType(HINTS), "throughput,latency", "Default: throughput.")
@lists("--long-sides", SidesType(), "PIXELS[,PIXELS...]", "Input sizes, 384,512. Default: the one that runs.")
@click.option(
    "--baseline-runs",
    type=click.IntRange(0, 100),
    metavar="N",
    help="Runs of the original model, 0 to leave it out. Default: 10.",
)
@click.option("--apply", type=click.Choice(AIMS), help="Switch to the winner at the end.")
@click.option(
    "--max-accuracy-loss",
    type=click.FloatRange(0, 1),
    metavar="FRACTION",
    help="Of the people FP32 finds, those the winner may miss: 0.02. Default: the bar of the box.",
)
@_measuring
@click.pass_obj
def sweep(given: Given, /, out: Path | None, *, force: bool, **args: Any) -> None:  # noqa: ANN401
    """Send what was given."""
    args["affinities"] = args.pop("affinity")
    args["detectors"] = args.pop("detector")
    _carry_out(given, "sweep", args, out, force=force)


def _carry_out(given: Given, command: str, args: dict[str, Any], out: Path | None, *, force: bool) -> None:
    if args["seconds"] is not None and args["frames"] is not None:
        raise UsageError("give --seconds or --frames")
    if out is not None and given.values.get("wait") is False:
        raise UsageError("--out is written at the end, and --no-wait does not wait for it")
    check_out(out, force=force)
    order = order_of(given, command, given_ones(args), answer_s=BEGIN_S)
    if not target_of(given).single:
        _one_after_the_other(given, order, out, force=force)
    with open_session(given) as session:
        started = start(session, given, order, out=out)
    found = _saved(given, started, out)
    if given.json:
        print_json(found)
    leave(started.exit_codes, complete=started.complete)


def _one_after_the_other(given: Given, order: Order, out: Path | None, *, force: bool) -> NoReturn:
    """Measure several boxes, each when the one before has ended; a box that fails does not keep the others from it."""
    found, codes, complete = [], [], True
    with open_session(given) as session:
        devices = target_of(given).find(session)
        files = {device: out and out.with_stem(f"{out.stem}-{device}") for device in devices}
        for file in files.values():
            check_out(file, force=force)
        for number, device in enumerate(devices, 1):
            if not complete:
                tell(f"{device}: not begun.")
                continue
            tell(f"{device}: {order.command}, {number} of {len(devices)}.")
            alone = Given({**given.values, "target": device, "group": None})
            started = start(session, alone, order, out=files[device])
            complete = started.complete
            (outcome,), (code,) = started.outcomes, started.exit_codes
            codes.append(0 if _spared(given, outcome) else code)
            found.append(_saved(alone, started, files[device]))
    if given.json:
        print_devices(found)
    leave(codes, complete=complete)


def _spared(given: Given, outcome: Outcome) -> bool:
    """Whether it is offline where whoever is online was addressed."""
    return target_of(given).everybody and outcome.status == OFFLINE


def _saved(given: Given, started: Started, out: Path | None) -> Any:  # noqa: ANN401 - JSON
    """Write the study of a box, and print what came of it unless that is wanted as JSON, which is returned."""
    (outcome,) = started.outcomes
    followed = started.followed
    job = followed.known.get(outcome.device_id)
    has_study = job is not None and study_in(job) is not None
    if job is not None:  # before anything is printed: whoever reads that may close the pipe early
        save_study(job, out)
    if given.json:
        return job.result if job is not None and has_study else started.as_json(outcome)
    if job is None:
        print_tables(started.outcomes, given)
    else:
        print_end(followed, outcome.device_id)
    return None


@click.command()
@click.argument("files", metavar="FILE.json...", type=FILE, nargs=-1, required=True)
@click.option(
    "--html", metavar="FILE.html", type=click.Path(dir_okay=False, path_type=Path), help="One page, all in it."
)
@click.option("--csv", metavar="FILE.csv", type=click.Path(dir_okay=False, path_type=Path), help="Every figure.")
@click.option("--md", metavar="FILE.md", type=click.Path(dir_okay=False, path_type=Path), help="Markdown.")
@click.option(
    "--svg",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="The charts, each in a file; those that --md shows.",
)
@click.option("--force", is_flag=True, help="Replace files.")
def report(
    files: tuple[Path, ...], html: Path | None, csv: Path | None, md: Path | None, svg: Path | None, *, force: bool
) -> None:
    """Show a study that --out of `controller sweep` or `benchmark` has written; no broker is needed.

    Without an option its table and what it found are printed. --svg draws charts into files, which needs the extra
    `report`; the page of --html has its own. Several studies stand side by side in one table, a column for each box;
    --csv and --md write it.
    """
    for path, suffix in ((html, ".html"), (csv, ".csv"), (md, ".md")):
        if path is not None:
            require_new(path, (suffix,), force=force)
    if len(files) > 1:
        _side_by_side(files, csv, md, alone=html or svg)
        return
    (file,) = files
    study = report_files.read(file)
    if not any((html, csv, md, svg)):
        report_tables.show_study(study)
    pictures = _pictures(study, file.stem, svg, force=force)
    if md is not None:
        write(md, report_files.as_markdown(study, _addresses(pictures, md)).encode())
    if csv is not None:
        write(csv, report_files.as_csv(study).encode())
    if html is not None:
        write(html, as_html(study).encode())
    for path in (*pictures.values(), md, csv, html):
        if path is not None:
            tell(f"{path} is written")


def _side_by_side(files: tuple[Path, ...], csv: Path | None, md: Path | None, *, alone: Path | None) -> None:
    if alone is not None:
        raise UsageError("--html and --svg are of one study", hint="several are put side by side by --md and --csv")
    found = side_by_side([(file.stem, report_files.read(file)) for file in files])
    if csv is None and md is None:
        report_tables.show_side_by_side(found)
    for path, text in ((md, found.as_markdown), (csv, found.as_csv)):
        if path is not None:
            write(path, text().encode())
            tell(f"{path} is written")


def _pictures(study: Study, stem: str, folder: Path | None, *, force: bool) -> dict[str, Path]:
    """Draw the charts into a folder, named like the study; returns where each is."""
    if folder is None:
        return {}
    found = {chart.name: (chart, folder / f"{stem}-{chart.name}.svg") for chart in report_charts.charts(study)}
    for _chart, path in found.values():
        require_new(path, (".svg",), force=force)
    for chart, path in found.values():
        write(path, charts.svg(chart))
    return {name: path for name, (_chart, path) in found.items()}


def _addresses(pictures: dict[str, Path], page: Path) -> dict[str, str]:
    start_at = page.absolute().parent
    return {name: quote(Path(os.path.relpath(path, start_at)).as_posix()) for name, path in pictures.items()}
