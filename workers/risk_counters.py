"""What the risk stage counts: the fates of the records it reads, and how limits are stood to."""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels import risk_limits
from workers.kernels.option_block import OPTIONS
from workers.kernels.position_block import STATE, options_of
from workers.kernels.waiting import BACK, FIRST, NEWER, REFUSED, UNCHANGED
from workers.records import Standing

COUNTERS = record(
    [
        ("received", "i8"),
        ("marks", "i8"),  # changed the value of a portfolio
        ("unchanged", "i8"),  # top records that left the mid where it was
        ("skipped", "i8"),  # a newer mark of the same interval stands for them
        ("waiting", "i8"),  # marks of the open interval: taken when it is over
        ("not_held", "i8"),
        ("untrusted", "i8"),  # tops of a book that is stale, crossed or halted by a rule
        ("one_sided", "i8"),  # no bid or no ask: the mark before stays
        ("refused", "i8"),  # a price beyond every bound
        ("executions", "i8"),  # that are in a position
        ("holdings", "i8"),  # told from outside, that are in a position
        ("not_ours", "i8"),  # of accounts that no portfolio has, or of no portfolio
        ("astray", "i8"),  # in instruments without scenarios: in no position
        ("unbooked", "i8"),  # beyond every bound: in no position
        ("passed_by", "i8"),  # records of other kinds: levels, trades, statuses
        ("merged", "i8"),  # that had no room to be a lot of their own (FIFO)
        ("published", "i8"),
        ("warnings", "i8"),  # times that a portfolio went beyond the warn share of a limit
        ("breaches", "i8"),  # and beyond the limit
        ("live_unknown", "i8"),  # limits, by how they are stood to now
        ("live_ok", "i8"),
        ("live_warned", "i8"),
        ("live_breached", "i8"),
        ("saturated", "i8"),  # positions that kept their value because a bound was reached
        ("priced", "i8"),  # options, on marks of what they are on
        ("unpriced", "i8"),  # that have no value within the bounds: the last one stays
        ("full", "i8"),
        ("checked", "i8"),  # portfolios, by live checks
        ("faulty", "i8"),  # of them those that were not what their positions make
    ]
)
# What becomes of a record.
FATES = (
    "marks", "unchanged", "skipped", "waiting", "not_held", "one_sided", "refused", "untrusted",
    "executions", "holdings", "not_ours", "astray", "unbooked", "passed_by",
)  # fmt: skip


@kernel
def count_kept(counters, fate):
    """Count what became of a mark that was to wait, and of the one that waited before it."""
    tally = at(counters, COUNTERS)
    tally.waiting += int(fate == FIRST) - int(fate == BACK)
    tally.skipped += int(fate == NEWER) + int(fate == BACK)
    tally.unchanged += int(fate == UNCHANGED) + int(fate == BACK)
    tally.refused += int(fate == REFUSED)


@kernel
def count_values(counters, book):
    """Count what the block of positions has counted itself."""
    tally, options = at(counters, COUNTERS), at(options_of(book), OPTIONS)
    tally.saturated = at(book, STATE).saturated
    tally.priced, tally.unpriced = options.priced, options.unpriced


@kernel
def recount(counters, before, after):
    """Count that one more limit is stood to in another way."""
    tally = at(counters, COUNTERS)
    tally.warnings += after == Standing.WARN
    tally.breaches += after == Standing.BREACH
    tally.live_unknown += int(after == Standing.UNKNOWN) - int(before == Standing.UNKNOWN)
    tally.live_ok += int(after == Standing.OK) - int(before == Standing.OK)
    tally.live_warned += int(after == Standing.WARN) - int(before == Standing.WARN)
    tally.live_breached += int(after == Standing.BREACH) - int(before == Standing.BREACH)


@kernel
def restand(book, counters, portfolio, measure, absent):
    """Judge a portfolio by a limit, if it has it; True, and counted, where it stands otherwise.

    book: address of the block of positions; absent: positions that are not in it yet.
    """
    if risk_limits.limit_of(book, portfolio, measure) == 0:
        return False
    before = risk_limits.standing_of(book, portfolio, measure)
    if risk_limits.judge(book, portfolio, measure, absent):
        recount(counters, before, risk_limits.standing_of(book, portfolio, measure))
        return True
    return False
