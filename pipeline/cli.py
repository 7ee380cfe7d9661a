"""The command line: `corelane`. Each command is a few lines over the module that does the work."""

import os
import sys
import time
from pathlib import Path

import click
import msgspec

# Only what starts fast is imported here: numba and duckdb take half a second, --help needs none.

REFUSED = 2  # exit code of a refusal: bad configuration, bad arguments, nothing was started
FAILED = 1


class Refusals(click.Group):
    """Turns the refusals of all layers into one line on stderr and exit code 2."""

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except Exception as error:
            from pipeline.console import err
            from pipeline.refusals import code_of

            code = code_of(error)
            if code is None:
                raise
            if "CORELANE_PARENT" not in os.environ:  # a supervisor tells it itself, from the panel
                err.print(f"corelane: {error}", style="red", markup=False, soft_wrap=True)
            sys.exit(code)


CONFIG = click.argument("config_path", metavar="CONFIG", type=click.Path(path_type=Path))
NAME = click.argument("name", metavar="PIPELINE", required=False)


@click.group(cls=Refusals, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="corelane")
def main() -> None:
    """Market data through pinned processes and shared-memory rings: books, risk, history."""


def _plan_of(config, taps: tuple[str, ...] = ()):
    from pipeline import plan
    from tuning import topology

    return plan.make(config, topology.read(), taps)


@main.command()
@CONFIG
@click.option("--report", "report_path", type=click.Path(path_type=Path), help="Report, JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but refusals and failures.")
def run(config_path: Path, report_path: Path | None, quiet: bool) -> None:
    """Run a pipeline until its feeds end, or until SIGINT or SIGTERM (which drains it)."""
    from pipeline import console, runs
    from pipeline.config import load
    from pipeline.report import save
    from pipeline.supervisor import PipelineFailed

    config = load(config_path)
    plan = _plan_of(config)
    try:
        result = runs.supervise(config, plan, config_path, quiet=quiet)
    except PipelineFailed as failed:
        if report_path:
            save(failed.report, report_path)
        raise
    if report_path:
        save(result.report, report_path)
    if not quiet:
        console.out.print(console.rate(result.report, result.seconds))
        runs.show_status(result.report)


@main.command()
@click.argument("names", metavar="STAGE...", nargs=-1, required=True)
@click.option("--config", "config_path", required=True, type=click.Path(path_type=Path))
def stage(names: tuple[str, ...], config_path: Path) -> None:
    """Be one stage (or several, sharing this process) of a pipeline."""
    from pipeline.config import load
    from pipeline.launch import become
    from pipeline.plan import check_stages

    config = load(config_path)
    plan = _plan_of(config)
    become(config, plan, check_stages(plan, names))


@main.command()
@CONFIG
def plan(config_path: Path) -> None:
    """Show which stages would run where, joined by which rings, and why."""
    from pipeline import console
    from pipeline.config import load

    made = _plan_of(load(config_path))
    for part in console.plan_tables(made):
        console.out.print(part)
    for note in made.notes:
        console.out.print(note, markup=False)


@main.group()
def config() -> None:
    """Configuration files."""


@config.command()
@CONFIG
def check(config_path: Path) -> None:
    """Check a configuration and whether it fits this host; name every problem."""
    from pipeline import console
    from pipeline.config import load

    made = _plan_of(load(config_path))
    console.out.print(f"{config_path}: ok, {len(made.stages)} stages", markup=False)


@main.command()
@NAME
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON.")
@click.option("--counters", "with_counters", is_flag=True, help="Every counter that is not zero.")
def status(name: str | None, as_json: bool, with_counters: bool) -> None:
    """Show the stages, rings, latencies and balances of a running pipeline."""
    from pipeline import runs
    from pipeline.report import collect

    report = collect(runs.the_one(name))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    else:
        runs.show_status(report, with_counters)


@main.command()
@NAME
@click.option("--now", is_flag=True, help="Do not drain: end at once.")
def stop(name: str | None, now: bool) -> None:
    """Stop a running pipeline: its sources end, the rest hands on what it has."""
    from pipeline import runs

    runs.stop(runs.the_one(name), now)


@main.command()
@NAME
@click.option("--every", default=0.5, show_default=True, help="Seconds between two looks.")
@click.option("--times", type=int, help="So many looks, then end; default: until Ctrl-C.")
def top(name: str | None, every: float, times: int | None) -> None:
    """Watch a running pipeline: rates, lags, latencies. Never disturbs it."""
    from pipeline import monitor, runs

    monitor.watch(runs.the_one(name), every, times)


@main.command()
@click.argument("ring")
@NAME
@click.option("--kind", help="Only records of one kind, such as top, level, trade.")
@click.option("--symbol", "symbols", multiple=True, help="Only these instruments.")
@click.option("--where", "conditions", multiple=True, metavar="FIELD=VALUE", help="Also <, >, !=.")
@click.option("--count", "-n", type=int, help="End after so many records.")
@click.option("--last", type=int, default=10, show_default=True, help="Start so many back.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--follow/--no-follow", default=True, help="Wait for more, until the ring ends.")
def tail(ring, name, kind, symbols, conditions, count, last, as_json, follow) -> None:
    """Print the records that pass on a ring. Never disturbs it; says what it missed."""
    from pipeline import runs, tailing

    options = tailing.Options(kind, symbols, conditions, count, last, as_json, follow)
    tailing.tail(runs.the_one(name), ring, options)


@main.command()
@click.option("--messages", type=int, help="How many messages the made-up day has.")
@click.option("--symbols", type=int, help="How many instruments it has.")
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--lobster", type=click.Path(path_type=Path), help="Folder of LOBSTER files instead.")
@click.option("--itch", type=click.Path(path_type=Path), help="An ITCH 5.0 file instead.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option("--name", default="demo", show_default=True, help="Of the pipeline.")
def demo(messages, symbols, seed, lobster, itch, folder, name) -> None:
    """Run a whole market day through four processes, at full speed, with nothing installed."""
    from pipeline import demos

    demos.run(demos.Choice(messages, symbols, seed, lobster, itch, folder, name))


@main.group()
def segments() -> None:
    """Shared memory of pipelines, running and dead."""


@segments.command("ls")
def segments_ls() -> None:
    """List all segments, and whether somebody lives on them."""
    from pipeline import runs

    runs.list_segments()


@segments.command("rm")
@NAME
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Its configuration.")
def segments_rm(name: str | None, config_path: Path | None) -> None:
    """Remove what a dead run has left; refuses while any process of it lives."""
    from pipeline import launch
    from pipeline.config import load

    if (name is None) == (config_path is None):
        raise click.UsageError("give either the name of a pipeline or --config FILE")
    if config_path is not None:
        name = load(config_path).name
    assert name is not None
    with launch.only_one(name):
        click.echo(f"removed {launch.clear_dead(name)} segments of {name}")


@main.group()
def verify() -> None:
    """Replay real files through a real pipeline and compare with the exchange's own books."""


@verify.command("lobster")
@click.argument("messages", type=click.Path(path_type=Path))
@click.argument("orderbook", type=click.Path(path_type=Path))
def verify_lobster(messages: Path, orderbook: Path) -> None:
    """Compare every row of a LOBSTER order book file with our book after the same message."""
    from pipeline import verification

    sys.exit(0 if verification.lobster(messages, orderbook) else FAILED)


@verify.command("itch")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--orderbook", type=click.Path(path_type=Path), help="LOBSTER level-1 file.")
@click.option("--by-type", is_flag=True, help="Do not look at length prefixes.")
def verify_itch(file: Path, orderbook: Path | None, by_type: bool) -> None:
    """Count the messages of an ITCH file by type, and compare its best prices with a truth."""
    from pipeline import verification

    sys.exit(0 if verification.itch(file, orderbook, by_type) else FAILED)


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--messages", default=2_000_000, show_default=True)
@click.option("--symbols", default=200, show_default=True)
@click.option("--seed", default=7, show_default=True)
def synthesize(path: Path, messages: int, symbols: int, seed: int) -> None:
    """Write a made-up market day as an ITCH 5.0 file."""
    from workers.feeds.synthetic import SyntheticOptions, write_file

    began = time.monotonic()
    write_file(SyntheticOptions(messages=messages, symbols=symbols, seed=seed), path)
    size, seconds = path.stat().st_size, time.monotonic() - began
    click.echo(f"{path}: {messages:,} messages, {size:,} bytes, in {seconds:.1f} s")


@main.command()
@click.argument("names", nargs=-1)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Results as JSON.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="A picture, PNG.")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes; figures to be doubted.")
def bench(names, json_path, plot_path, quick) -> None:
    """Measure, side by side with the C program of the same protocol; all benches by default."""
    from bench.harness import BenchError, Options
    from bench.registry import run_benches

    try:
        run_benches(names, json_path, plot_path, Options(short=quick))
    except BenchError as error:
        raise click.ClickException(str(error)) from None
