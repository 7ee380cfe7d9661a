"""`corelane verify`: its commands."""

import sys
from pathlib import Path

import click

FAILED = 1
FILE = click.Path(path_type=Path)


@click.group()
def verify() -> None:
    """Replay real files through a real pipeline and compare with the exchange's own books."""


@verify.command("lobster")
@click.argument("messages", type=FILE)
@click.argument("orderbook", type=FILE)
def verify_lobster(messages: Path, orderbook: Path) -> None:
    """Compare every row of a LOBSTER order book file with our book after the same message."""
    from pipeline import verification

    sys.exit(0 if verification.lobster(messages, orderbook) else FAILED)


@verify.command("itch")
@click.argument("file", type=FILE)
@click.option("--orderbook", type=FILE, help="LOBSTER level-1 file.")
@click.option("--by-type", is_flag=True, help="Do not look at length prefixes.")
def verify_itch(file: Path, orderbook: Path | None, by_type: bool) -> None:
    """Count the messages of an ITCH file by type, and compare its best prices with a truth."""
    from pipeline import verification

    sys.exit(0 if verification.itch(file, orderbook, by_type) else FAILED)


@verify.command("feed")
@click.argument("format", metavar="FORMAT")
@click.argument("files", type=FILE, nargs=-1, required=True)
def verify_feed(format: str, files: tuple[Path, ...]) -> None:  # noqa: A002
    """Check recorded captures: what was read, what the books took, and the venue's own checks.

    FORMAT is a kind of [[feeds]]: binance, bitstamp, coinbase, dbn, itch, kraken, lobster,
    moldudp64 (pcap), okx.
    """
    from pipeline import feed_verification

    sys.exit(0 if feed_verification.verify_all(format, list(files)) else FAILED)


@verify.command("matching")
@click.argument("flow", type=FILE)
@click.option("--expect", metavar="SHA256", help="What the digest of the reports must be.")
def verify_matching(flow: Path, expect: str | None) -> None:
    """Match an order flow of the public matching-engine benchmark; print its reports' digest."""
    from pipeline import matching_verification

    sys.exit(0 if matching_verification.verify(flow, expect) else FAILED)


@verify.command("var")
@click.argument("file", type=FILE)
@click.option("--returns", "returns", type=FILE, required=True, help="date,close,ret; or P&L.")
def verify_var(file: Path, returns: Path) -> None:
    """Compute measures that other libraries printed, each by its own convention, and compare.

    FILE has the columns series, window, alpha, method, lib, measure (VaR, ES, sigma) and value; or
    it is a report of Open Source Risk Engine, and --returns its P&L vectors.
    """
    from pipeline import var_verification

    sys.exit(0 if var_verification.verify(file, returns) else FAILED)


@verify.command("options")
@click.argument("file", type=FILE)
def verify_options(file: Path) -> None:
    """Compare prices and Greeks of European options with published or exact ones (CSV)."""
    from pipeline import option_verification

    sys.exit(0 if option_verification.verify(file) else FAILED)
