"""The words of orders: what clients may ask for, and what they are told became of it."""

from enum import IntEnum


class Tif(IntEnum):
    """How long an order lives, in the lowest bits of an ORDER's flags."""

    GTC = 0  # until it is cancelled
    DAY = 1  # to the end of the day
    IOC = 2  # what does not trade at once is cancelled
    FOK = 3  # all of it trades at once, or nothing
    GTD = 4  # to the time that its CONDITION says


TIF_MASK = 7


class OrderFlag(IntEnum):
    """Bits of an ORDER's flags."""

    MARKET = 8  # at any price
    POST_ONLY = 16  # refused where it would trade at once


REQUEUE = 1  # in a REPLACE_ORDER's flags: it loses its place in any case


class Stp(IntEnum):
    """What happens where an order would meet one of the same account, in an ORDER's flags."""

    NONE = 0  # they trade
    NEWEST = 1  # what is left of the order that comes is cancelled
    OLDEST = 2  # the resting one is cancelled
    BOTH = 3
    DECREMENT = 4  # both lose the smaller quantity, without a trade


STP_BITS = 5


class Condition(IntEnum):
    """Bits of a CONDITION's flags."""

    PEG = 1  # hidden, at the best price of its side, behind all that is shown there


class Liquidity(IntEnum):
    """Who was there first, in FILL.state."""

    MAKER = 1
    TAKER = 2
    AUCTION = 3  # nobody was: a call auction


class Why(IntEnum):
    """Why an order is gone or another one, in the state of CANCELED and REPLACED."""

    ASKED = 0  # its owner wanted it
    IOC = 1  # what could not trade at once
    FOK = 2
    MARKET = 3  # a market order found no more to trade with
    STP = 4  # it would have met one of the same account
    EXPIRED = 5  # its time, or its day, was over
    MASS = 6  # CANCEL_ALL
    BAND = 7  # it would have traded outside the price band
    FULL = 8  # no room for what was left of it
    REFRESHED = 9  # an iceberg shows its next part, at the tail


class Reject(IntEnum):
    """Bits of REJECTED.left: every reason that holds."""

    UNKNOWN_ORDER = 1  # there is no such order of this account
    DUPLICATE = 1 << 1  # an order of this id is there already
    UNKNOWN_ACCOUNT = 1 << 2
    NOT_MATCHED = 1 << 3  # the instrument is not matched here
    BAD_VALUE = 1 << 4  # price, quantity, side, stop or flags make no sense
    OFF_TICK = 1 << 5
    OFF_LOT = 1 << 6
    SWITCHED_OFF = 1 << 7
    HALTED = 1 << 8  # nothing but cancels is taken now; or it is to trade at once, but nothing does
    MAX_QUANTITY = 1 << 9
    MAX_NOTIONAL = 1 << 10
    COLLAR = 1 << 11  # the price is too far from the reference
    POSITION = 1 << 12  # with all open orders filled the position would be too large
    CREDIT = 1 << 13  # open orders and positions would be worth too much
    RATE = 1 << 14  # too many messages
    POST_ONLY = 1 << 15  # it would trade at once
    FOK = 1 << 16  # it cannot trade all of it at once
    FULL = 1 << 17  # no room for another order or level
    VAR = 1 << 18  # with its open orders of the side the account would risk too much
    VAR_UNKNOWN = 1 << 19  # nobody can tell: scenarios or a mark are missing, or it is too large
