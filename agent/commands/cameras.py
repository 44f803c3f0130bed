"""`agent cameras`: the V4L2 cameras of this box."""

import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.capture import v4l2
from agent.console import leave
from agent.stdout import fitted


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document for machines.")
def cameras(*, as_json: bool) -> None:
    """List the cameras of this box and what they can do.

    For each its names, pixel formats, sizes, rates and controls.

    "Cannot be opened" is told of the user who asks. The service is another one: it may open what the group `video` may
    and its unit allows, which are all V4L2 cameras.
    """
    found = v4l2.cameras()
    if as_json:
        click.echo(json.dumps({"cameras": [asdict(camera) for camera in found]}, ensure_ascii=False))
    elif not found:
        told = "This box has no V4L2 camera. Network cameras are not listed: their manuals tell their addresses."
        click.echo(fitted(told, sys.stdout))
    else:
        for camera in found:
            show(camera, Console())
    leave(0)


def show(camera: v4l2.Found, console: Console) -> None:
    """Print one camera: what to write as ``camera.source``, its modes, and what can be set."""
    console.print(Text(f"{camera.path}  {camera.name}", style="bold"))
    if camera.stable_path:
        console.print(Text(f"  source = {json.dumps(camera.stable_path)}  (survives replugging)"))
    if camera.fault:
        console.print(Text(f"  cannot be opened: {camera.fault}", style="red"))
        return
    table = Table("format", "size", "frames per second", box=None, pad_edge=False)
    for fourcc, modes in camera.modes.items():
        for mode in modes:
            table.add_row(fourcc, f"{mode.width}x{mode.height}", ", ".join(f"{rate:g}" for rate in mode.fps))
    console.print(table)
    for control in camera.controls:
        console.print(
            Text(f"  {control.name} = {control.default}  ({control.minimum} to {control.maximum})", overflow="fold")
        )
