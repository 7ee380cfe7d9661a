"""The part of the block of positions in which options lie: its layout, and where everything is.

    address -> | OPTIONS | HEAD x rows: the first option on each | SUMS x portfolios
               | OPTION x options | i8 x options x scenarios: what each makes
               | i8 x portfolios x scenarios: what distributions have not got yet | work |

An option is on a row of the block of positions, whose mark and returns it takes; those on one row
are linked in the order in which they were taken up. Where no options are held, there is the head
alone. Everything that is summed is an integer, so a new contribution takes the old one's place
exactly.
"""

import ctypes
from typing import NamedTuple

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import offset, record
from workers.kernels import option_values
from workers.kernels.option_values import GREEKS, TERMS
from workers.kernels.scenarios import whole_lines

OPTIONS_MAX = 4_096  # altogether: the sums of their Greeks fit
NONE = -1

OPTIONS = record(
    [
        ("options", "i8"),  # room
        ("used", "i8"),
        ("scenarios", "i8"),
        ("heads_at", "i8"),  # bytes from here to each pool
        ("sums_at", "i8"),
        ("options_at", "i8"),
        ("profits_at", "i8"),
        ("pending_at", "i8"),
        ("vector_size", "i8"),  # bytes of one vector of profits
        ("work_at", "i8"),
        ("priced", "i8"),  # valuations that were taken
        ("unpriced", "i8"),  # that were not: the option kept its last value
        ("spare", "i8", (4,)),
    ]
)
HEAD = record([("option", "i8")])
OPTION = record(
    [
        ("terms", TERMS),
        ("portfolio", "i8"),
        ("row", "i8"),
        ("next", "i8"),  # on the same row, NONE: the last
        ("per_unit", "i8"),  # half price units in one unit of currency: a mark divided by it
        ("cost", "i8"),  # money units paid for all of it, below 0: received
        # Of the last valuation that was taken:
        ("mark", "i8"),
        ("time_ns", "i8"),
        ("value", "i8"),  # money units
        ("gross", "i8"),  # what it takes of GROSS_LIMIT
        ("greek", "i8", (GREEKS,)),  # money units
        ("valued", "i8"),
        ("stuck", "i8"),  # a later valuation was not taken
        ("settled", "i8"),  # it has expired: its value stays
    ]
)
# Of a portfolio with all below it.
SUMS = record(
    [
        ("greek", "i8", (GREEKS,)),  # of options alone
        ("options", "i8"),  # how many are held
        ("settled", "i8"),  # of them
        ("pending", "i8"),  # 1: its vector is to be added to the distribution
    ]
)
OPTION_SIZE, SUMS_SIZE, HEAD_SIZE = OPTION.itemsize, SUMS.itemsize, HEAD.itemsize


class OptionLimits(NamedTuple):
    """What there is room for."""

    options: int
    rows: int
    portfolios: int
    scenarios: int


def layout(limits: OptionLimits) -> dict[str, int]:
    """Offsets of the pools, and the size of the whole."""
    vector_size = whole_lines(8 * limits.scenarios)
    sizes = {
        "heads_at": HEAD_SIZE * limits.rows,
        "sums_at": SUMS_SIZE * limits.portfolios,
        "options_at": OPTION_SIZE * limits.options,
        "profits_at": vector_size * limits.options,
        "pending_at": vector_size * limits.portfolios,
        "work_at": option_values.work_bytes(limits.scenarios),
    }
    offsets, end = {}, whole_lines(OPTIONS.itemsize)
    for name, size in sizes.items():
        offsets[name] = end
        end += whole_lines(size) if limits.options else 0
    return {"bytes": end, "vector_size": vector_size, **offsets}


def bytes_needed(limits: OptionLimits) -> int:
    """The size of the part."""
    return layout(limits)["bytes"]


def create(address: int, limits: OptionLimits) -> None:
    """Lay out a part without options in `bytes_needed(limits)` bytes that start on a line."""
    places = layout(limits)
    ctypes.memset(address, 0, places.pop("bytes"))
    header = at(address, OPTIONS)
    header.options, header.scenarios = limits.options, limits.scenarios
    for name, number in places.items():
        setattr(header, name, number)
    if limits.options:
        ctypes.memset(address + places["heads_at"], 0xFF, HEAD_SIZE * limits.rows)


@kernel
def first_on(options, row):
    """The first option on a row, NONE: there is none."""
    header = at(options, OPTIONS)
    if header.options == 0:
        return NONE
    return int(at(options + int(header.heads_at) + int(row) * HEAD_SIZE, HEAD).option)


@kernel
def option_of(options, number):
    """Address of an option's record."""
    return options + int(at(options, OPTIONS).options_at) + int(number) * OPTION_SIZE


@kernel
def sums_of(options, portfolio):
    """Address of a portfolio's sums."""
    return options + int(at(options, OPTIONS).sums_at) + int(portfolio) * SUMS_SIZE


@kernel
def profits_of(options, number):
    """Address of what an option makes in every scenario."""
    header = at(options, OPTIONS)
    return options + int(header.profits_at + int(number) * header.vector_size)


@kernel
def pending_of(options, portfolio):
    """Address of what a portfolio's distribution is to get."""
    header = at(options, OPTIONS)
    return options + int(header.pending_at + int(portfolio) * header.vector_size)


@kernel
def work_of(options):
    """Address of the memory in which options are valued."""
    return options + int(at(options, OPTIONS).work_at)


assert offset(OPTION, "terms") == 0, "an option's address is not that of its terms"
