"""The command line: `corelane`. Each command is a few lines over the module that does the work."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import click
import msgspec

from pipeline import commands, journal_cli, risk_cli, verify_cli

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


class RunUnlessNamed(click.Group):
    """A group that takes words which are none of its commands for those of its `run`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *context.help_option_names):
            args = ["run", *args]
        return super().parse_args(context, args)


FILE = click.Path(path_type=Path)
CONFIG = click.argument("config_path", metavar="CONFIG", type=FILE)
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
@click.option("--report", "report_path", type=FILE, help="Report, JSON.")
@click.option("--latency", "latency_path", type=FILE, help="All latencies at the end, JSON.")
@click.option("--hgrm", "hgrm_folder", type=FILE, help="A folder for .hgrm files at the end.")
@click.option("--quiet", is_flag=True, help="Print nothing but refusals and failures.")
def run(
    config_path: Path,
    report_path: Path | None,
    latency_path: Path | None,
    hgrm_folder: Path | None,
    quiet: bool,
) -> None:
    """Run a pipeline until its feeds end, or until SIGINT or SIGTERM (which drains it)."""
    from pipeline import console, latency, runs
    from pipeline.config import load
    from pipeline.report import save
    from pipeline.supervisor import PipelineFailed

    config = load(config_path)
    plan = _plan_of(config)
    latency.check(hgrm_folder, latency_path)

    def keep(name: str) -> None:
        if hgrm_folder or latency_path:
            _keep_latencies(name, latency.collect(name), hgrm_folder, latency_path)

    try:
        result = runs.supervise(config, plan, config_path, quiet=quiet, at_end=keep)
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
@click.option("--config", "config_path", required=True, type=FILE)
def stage(names: tuple[str, ...], config_path: Path) -> None:
    """Be one stage (or several, sharing this process) of a pipeline."""
    from pipeline.config import load
    from pipeline.launch import become
    from pipeline.plan import check_stages

    config = load(config_path)
    plan = _plan_of(config)
    become(config, plan, check_stages(plan, names))


@main.command(hidden=True)
@click.option("--config", "config_path", required=True, type=FILE)
def zygote(config_path: Path) -> None:
    """Load everything, and become stages by forking when the supervisor asks."""
    from pipeline import children, launch
    from pipeline.config import load
    from pipeline.refusals import code_of

    config = load(config_path)
    plan = _plan_of(config)
    children.serve(
        lambda names: launch.become(config, plan, names),
        lambda: launch.warm(config, plan),
        code_of,
    )


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
@click.option("--every", default=0.5, show_default=True, help="Seconds between two looks.")
@click.option("--times", type=int, help="So many looks, then end; default: until Ctrl-C.")
def top(name: str | None, every: float, times: int | None) -> None:
    """Watch a running pipeline: rates, lags, latencies. Never disturbs it."""
    from pipeline import monitor, runs

    monitor.watch(runs.the_one(name), every, times)


@main.command()
@click.argument("name", metavar="PIPELINE")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9464,
    show_default=True,
    help="0: any free one.",
)
@click.option("--once", is_flag=True, help="Print what a scrape would get, and end.")
def metrics(name: str, host: str, port: int, once: bool) -> None:
    """Serve a pipeline's numbers to Prometheus, whether it runs yet or not, until Ctrl-C."""
    from pipeline import metrics as exporter

    os.nice(exporter.NICE)
    if once:
        click.echo(exporter.once(name), nl=False)
        return
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stop.append(number))
    with exporter.serving(name, host, port) as chosen, suppress(KeyboardInterrupt):
        click.echo(f"{name}: http://{host}:{chosen}/metrics", err=True)
        while not stop:
            time.sleep(0.2)


@main.command()
@NAME
@click.option("--stage", help="Only this one's histograms.")
@click.option("--hgrm", "folder", type=FILE, help="A folder for files as HdrHistogram has them.")
@click.option("--json", "file", type=FILE, help="A file that keeps every bucket.")
def latency(name: str | None, stage: str | None, folder: Path | None, file: Path | None) -> None:
    """Show percentiles of every hop of a running pipeline, of each stage and together."""
    from pipeline import console, runs
    from pipeline import latency as measured

    name = runs.the_one(name)
    found = measured.collect(name, stage)
    _keep_latencies(name, found, folder, file)
    console.out.print(measured.shown(found))


def _keep_latencies(name: str, found, folder: Path | None, file: Path | None) -> None:
    from bench.harness import host
    from pipeline.latency import keep

    if folder or file:
        keep(name, found, folder, file, host())


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
@click.option("--lobster", type=FILE, help="Folder of LOBSTER files instead.")
@click.option("--itch", type=FILE, help="An ITCH 5.0 file instead.")
@click.option("--folder", type=FILE, default=Path("demo"), show_default=True)
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
    """List all segments: their pages, who holds them, and whether somebody lives on them."""
    from pipeline.segments import list_segments

    list_segments()


@segments.command("rm")
@NAME
@click.option("--config", "config_path", type=FILE, help="Its configuration.")
@click.option("--all", "every", is_flag=True, help="Of all dead runs; the living are left alone.")
def segments_rm(name: str | None, config_path: Path | None, every: bool) -> None:
    """Remove what a dead run has left; refuses while any process of it lives."""
    from pipeline.config import load
    from pipeline.segments import remove, remove_all

    if [name is not None, config_path is not None, every].count(True) != 1:
        raise click.UsageError("give the name of a pipeline, or --config FILE, or --all")
    if every:
        click.echo("\n".join(remove_all()))
        return
    if config_path is not None:
        name = load(config_path).name
    assert name is not None
    click.echo(remove(name))


@main.command()
@click.argument("path", type=FILE)
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


@main.group(cls=RunUnlessNamed)
def bench() -> None:
    """Measure this host: `corelane bench [NAMES]` runs benches, all by default."""


@bench.command("run")
@click.argument("names", nargs=-1)
@click.option("--json", "json_path", type=FILE, help="Results as JSON.")
@click.option("--plot", "plot_path", type=FILE, help="A picture, PNG.")
@click.option("--rounds", type=click.IntRange(1), help="Of each bench, in place of its own number.")
@click.option("--seconds", type=click.FloatRange(0.1), help="How long jitter watches in all.")
@click.option(
    *("--quick", "--short", "quick"),
    is_flag=True,
    help="Seconds instead of minutes; figures to be doubted.",
)
def bench_run(names, json_path, plot_path, rounds, seconds, quick) -> None:
    """Measure, side by side with the C program of the same protocol; all benches by default."""
    from bench.harness import BenchError, Options
    from bench.registry import run_benches

    try:
        options = Options(short=quick, rounds=rounds or 0, seconds=seconds or 0.0)
        run_benches(names, json_path, plot_path, options)
    except BenchError as error:
        raise click.ClickException(str(error)) from None


@bench.command("compare")
@click.argument("first", metavar="A.json", type=FILE)
@click.argument("second", metavar="B.json", type=FILE)
def bench_compare(first: Path, second: Path) -> None:
    """Set two files of results side by side: of `bench --json`, or of `latency --json`."""
    from bench.compare import compare
    from bench.harness import BenchError
    from pipeline import console

    try:
        compare(first, second, console.out)
    except BenchError as error:
        raise click.ClickException(str(error)) from None


main.add_command(commands.stop)
main.add_command(commands.replay)
main.add_command(commands.drain)
main.add_command(commands.restart)
main.add_command(journal_cli.journal)
main.add_command(journal_cli.order)
main.add_command(journal_cli.book)
main.add_command(verify_cli.verify)
main.add_command(risk_cli.risk)
main.add_command(risk_cli.stress)
main.add_command(risk_cli.hedge)
main.add_command(risk_cli.explain)
main.add_command(risk_cli.backtest)
