"""What travels on the risk ring. It is a part of the vocabulary: import it from workers.records."""

from enum import IntEnum

from ringbuf.record import slot_record


class Kept(IntEnum):
    """The kinds of records on the risk ring."""

    RISK = 1  # historical, k-th worst loss without interpolation; shortfall with the atom split
    LIMIT = 2
    POSITION = 3  # what an execution has made of a position: a POSITION_RECORD
    GREEKS = 4  # behind the RISK record of a portfolio that holds options, or one below it does


class Measure(IntEnum):
    """What a portfolio can be limited by."""

    VAR_99 = 0
    ES_975 = 1
    VALUE = 2  # gross: the sum of positions' values without their signs
    LOSS = 3  # the P&L with its sign turned
    DELTA = 4  # Greeks without their signs: see kernels/option_values.py
    GAMMA = 5
    VEGA = 6
    THETA = 7
    RHO = 8


class Standing(IntEnum):
    """How a portfolio stands to a limit: see kernels/risk_limits.py."""

    UNKNOWN = 0  # not measured whole
    OK = 1
    WARN = 2
    BREACH = 3


RISK = slot_record(
    [
        # Sequence of the book record that moved the mark, or, where marks wait until an interval is
        # over ([risk] conflate_ms), of the one that was first behind it; time_ns is that one's.
        ("cause", "i8"),
        ("time_ns", "i8"),
        ("value", "i8"),  # market value of the portfolio, money units
        ("pnl", "i8"),  # value less cost, and what executions have realised, money units
        ("var_99", "i8"),  # historical value at risk, a loss is positive, money units
        ("es_975", "i8"),  # expected shortfall, a loss is positive, money units
        ("instrument", "i4"),  # whose mark moved; of several the newest
        ("kind", "u1"),
        ("index", "u1"),
        ("portfolio", "u2"),
    ]
)

# How a portfolio stands to a limit changed; behind the RISK record that says why.
LIMIT = slot_record(
    [
        ("cause", "i8"),  # like that RISK record's
        ("time_ns", "i8"),
        ("measured", "i8"),  # money units; what the limit is for
        ("limit", "i8"),  # money units
        ("doubtful", "i8"),  # positions without a mark, or stuck at an old value
        *((name, "u2") for name in ("measure", "before", "after")),  # Measure, Standing twice
        ("spare", "u2"),
        ("instrument", "i4"),  # whose mark moved
        ("kind", "u1"),
        ("index", "u1"),
        ("portfolio", "u2"),
    ]
)

# What moves a portfolio with all that is below it, money units; see kernels/option_values.py. Theta
# and rho have the seven digits for which there is room; the board and limits have all.
GREEKS = slot_record(
    [
        ("cause", "i8"),  # like that RISK record's
        ("time_ns", "i8"),
        ("delta", "i8"),  # what 1 % up makes, of positions that are no options, too
        ("gamma", "i8"),  # by how much that grows for each 1 %
        ("vega", "i8"),  # what one point of volatility makes
        ("theta", "f4"),  # what a day of 365 makes
        ("rho", "f4"),  # what 0.01 % on rates makes
        ("instrument", "i4"),  # whose mark moved
        ("kind", "u1"),
        ("index", "u1"),
        ("portfolio", "u2"),
    ]
)

# What a position is after an execution; before the RISK records that it gives.
POSITION_RECORD = slot_record(
    [
        ("cause", "i8"),  # sequence of the EXECUTION
        ("time_ns", "i8"),
        ("quantity", "i8"),  # lots that are held now, below 0: short
        ("cost", "i8"),  # what was paid for them, money units; of the quantity's sign
        ("realised", "i8"),  # by this position since the start, money units
        ("amount", "i8"),  # paid for this execution, money units; below 0: received
        ("instrument", "i4"),
        ("kind", "u1"),
        ("index", "u1"),
        ("portfolio", "u2"),
    ]
)
