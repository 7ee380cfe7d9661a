"""A file of holdings: TOML into strict structs; every problem with its path and a mend."""

import tomllib
from pathlib import Path

import msgspec
from msgspec import inspect

from pipeline.shape import deviations
from workers.holdings import Holdings, HoldingsError, check

BYTES_MAX = 256 << 20


def load(path: str | Path) -> Holdings:
    """Read a file of holdings; HoldingsError with everything that is wrong with it."""
    source, place = str(path), Path(path)
    try:
        if place.stat().st_size > BYTES_MAX:
            raise HoldingsError(source, [f"has more than {BYTES_MAX >> 20} MB; give a smaller one"])
        text = place.read_text("utf-8-sig")
    except OSError as failure:
        raise HoldingsError(source, [f"cannot be read: {failure.strerror}"]) from None
    except UnicodeDecodeError:
        raise HoldingsError(source, ["is not text in UTF-8"]) from None
    return parse(text, source)


def parse(text: str, source: str = "holdings") -> Holdings:
    """Holdings from TOML text."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as failure:
        raise HoldingsError(source, [f"is not TOML: {failure}"]) from None
    wrong = deviations(data, inspect.type_info(Holdings))
    if wrong:
        raise HoldingsError(source, wrong)
    try:
        holdings = msgspec.convert(data, Holdings)
    except msgspec.ValidationError as failure:
        raise HoldingsError(source, [str(failure)]) from None
    check(holdings, source)
    return holdings
