"""`agent check-config`: what is wrong in a configuration file."""

from pathlib import Path

import click

from agent.config.file import load
from agent.config.tree import made_up
from agent.doctor.known import require_known


@click.command("check-config")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--engine", is_flag=True, help="Also build the network on the CPU and check what it computes.")
def check_config(file: Path, *, engine: bool) -> None:
    """Say what is wrong in a configuration file.

    Tells every fault at once, with its place and what was expected. Exit code 0 if there is none.
    """
    config = load(file)
    require_known(config, str(file))
    click.echo(f"{file}: good")
    if (told := made_up(config.device_id)) is not None:
        click.echo(f"Warning: {told}; set one that people know", err=True)
    if engine:
        from agent.doctor.proof import prove_engine  # noqa: PLC0415 - OpenVINO, which a look at the file needs not

        click.echo(prove_engine(config))
