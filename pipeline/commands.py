"""Commands about what is kept, and about ends: replay, stop, drain, restart."""

import sys
from pathlib import Path

import click

FILE = click.Path(path_type=Path)
STAGE = click.argument("stage")
PIPELINE = click.argument("name", metavar="PIPELINE", required=False)


@click.command()
@click.argument("journal", type=FILE)
@click.option("--from", "first", type=click.IntRange(1), default=1, help="First event; default: 1.")
@click.option("--to", "last", type=click.IntRange(1), help="Last event; default: all.")
@click.option("--speed", type=click.FloatRange(0), default=0.0, help="1: as recorded; 0: full.")
@click.option("--config", type=FILE, help="Other options than those of the run.")
def replay(journal: Path, first: int, last: int | None, speed: float, config: Path | None) -> None:
    """Take a kept log through the same stages, and compare what they give with the run.

    JOURNAL is the folder that journal.path names. Exit code 1 where something differs.
    """
    from pipeline import replaying

    choice = replaying.Choice(journal, first, last, speed, config)
    sys.exit(0 if replaying.show(replaying.replay(choice)) else 1)


@click.command()
@click.argument("names", metavar="[STAGE] [PIPELINE]", nargs=-1)
@click.option("--now", is_flag=True, help="Do not drain: end at once.")
def stop(names: tuple[str, ...], now: bool) -> None:
    """Stop a running pipeline: its sources end, the rest hands on what it has.

    With a STAGE only that ends: its neighbours wait until `corelane restart` has it go on.
    """
    from pipeline import orders, runs
    from ringbuf.panel import Command

    if len(names) > 2:
        raise click.UsageError("give a pipeline, or a stage and a pipeline")
    if len(names) == 2 or (names and orders.is_stage(names[0])):
        orders.give(names[0], names[1] if len(names) > 1 else None, Command.PAUSE)
    else:
        runs.stop(runs.the_one(names[0] if names else None), now)


@click.command()
@STAGE
@PIPELINE
def drain(stage: str, name: str | None) -> None:
    """End one stage of a running pipeline once it has read what its rings hold.

    Its neighbours wait, nothing is lost, and `corelane restart` has it go on.
    """
    from pipeline import orders
    from ringbuf.panel import Command

    orders.give(stage, name, Command.EMPTY)


@click.command()
@STAGE
@PIPELINE
def restart(stage: str, name: str | None) -> None:
    """End one stage of a running pipeline, if it lives, and have it go on where it left off."""
    from pipeline import orders
    from ringbuf.panel import Command

    orders.give(stage, name, Command.RESTART)
