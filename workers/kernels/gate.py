"""Whether an order, or a new price and quantity of one, is taken: all reasons against it at once.

The order in hand is judged as it would be: `left` is all of it. What an open order would count is
looked at before anything is booked. Bounds (engine.py) keep every sum within an int64.

- Reasons that need sensible numbers are left out where the numbers make no sense (BAD_VALUE).
- Messages are counted in windows that start with the first message behind the one before; those
  of an account that is known count, refused or not; cancels neither count nor are refused.
- The collar and bands need a reference: the last trade, else what TERMS told, else there is none.
- The position is looked at in the worst case: all open orders of the side are filled.
- An order that even then only reduces the position is not refused for what it is worth (one can
  always get out), only where a sum could overflow. It stays so: nothing but orders of its side,
  all of them counted in that case, makes the position smaller.
- FOK is found out later, by counting, where nothing else is against the order.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import orders as pool
from workers.kernels.crossing import facing, within
from workers.kernels.ending import is_collecting
from workers.kernels.engine import (
    ACCOUNT,
    BPS,
    ENGINE,
    EXPOSURE_MAX,
    PARTS_MAX,
    PRICE_MAX,
    RULE,
    STANDING,
    WORTH_MAX,
    account_at,
    reference,
    rule_at,
    standing_at,
)
from workers.kernels.exposure import worth_of
from workers.kernels.levels import level_at
from workers.kernels.resting import BOOK, LEVEL, ORDERS_AT, levels_of
from workers.kernels.var_limit import judge_var
from workers.orders import STP_BITS, TIF_MASK, Condition, OrderFlag, Reject, Stp, Tif
from workers.records import Side, State

BID, ASK = int(Side.BID), int(Side.ASK)
IOC, FOK, GTD = int(Tif.IOC), int(Tif.FOK), int(Tif.GTD)
MARKET, POST = int(OrderFlag.MARKET), int(OrderFlag.POST_ONLY)
STP_LAST, PEG = int(Stp.DECREMENT), int(Condition.PEG)
HALTED = int(State.HALTED)
ACCOUNT_MAX = (1 << 31) - 1

FULL, IS_BAD = int(Reject.FULL), int(Reject.BAD_VALUE)
OFF_TICK, OFF_LOT = int(Reject.OFF_TICK), int(Reject.OFF_LOT)
UNKNOWN_ACCOUNT, SWITCHED_OFF = int(Reject.UNKNOWN_ACCOUNT), int(Reject.SWITCHED_OFF)
IS_HALTED, IS_POST = int(Reject.HALTED), int(Reject.POST_ONLY)
IS_LARGE, IS_WORTH = int(Reject.MAX_QUANTITY), int(Reject.MAX_NOTIONAL)
COLLAR, POSITION = int(Reject.COLLAR), int(Reject.POSITION)
CREDIT, RATE = int(Reject.CREDIT), int(Reject.RATE)


@kernel
def judge(engine, books, left_before, worth_before):
    """The reasons against the order in hand, bits of Reject; before: what it counts for now."""
    header = at(engine, ENGINE)
    reasons = judge_state(engine)
    if header.accounts > 0 and 0 <= header.account < header.accounts:
        reasons |= judge_messages(engine)
    elif header.accounts > 0 or not 0 <= header.account <= ACCOUNT_MAX:
        reasons |= UNKNOWN_ACCOUNT
    if makes_no_sense(engine):
        return reasons | IS_BAD
    reasons |= judge_terms(engine)
    if header.bits & POST and would_trade(engine, books):
        reasons |= IS_POST
    if header.accounts > 0 and reasons & UNKNOWN_ACCOUNT == 0:
        reach = worst_case(engine, left_before)
        reasons |= judge_limits(engine, reach, left_before * worth_before)
        if reach > 0 and at(account_at(engine, header.account), ACCOUNT).var_max > 0:
            reasons |= judge_var(engine, left_before)
        if reach <= 0 and may_still_reduce(engine):
            reasons &= ~SWITCHED_OFF
    return reasons


@kernel
def judge_state(engine):
    """What the state of trading has against an order."""
    header = at(engine, ENGINE)
    state, tif = int(at(rule_at(engine, header.rule), RULE).state), header.bits & TIF_MASK
    reasons = 0
    if header.switched:
        reasons |= SWITCHED_OFF
    if state == HALTED:
        reasons |= IS_HALTED
    if is_collecting(state) and header.stop == 0 and (tif in (IOC, FOK)):
        reasons |= IS_HALTED
    return reasons


@kernel
def judge_messages(engine):
    """Count a message of an account, and look whether it may send any."""
    header = at(engine, ENGINE)
    account = at(account_at(engine, header.account), ACCOUNT)
    reasons = 0
    if account.switched:
        reasons |= SWITCHED_OFF
    if account.messages_max > 0:
        if account.messages == 0 or header.time_ns - account.window_from_ns >= account.window_ns:
            account.window_from_ns, account.messages = header.time_ns, 0
        account.messages += 1
        if account.messages > account.messages_max:
            reasons |= RATE
    return reasons


@kernel
def makes_no_sense(engine):
    """Whether the numbers of an order contradict themselves, or are beyond all bounds."""
    header = at(engine, ENGINE)
    bits, price, stop = int(header.bits), int(header.price), int(header.stop)
    tif, market, post = bits & TIF_MASK, bits & MARKET != 0, bits & POST != 0
    if header.side > ASK or tif > GTD or bits >> STP_BITS > STP_LAST:
        return True
    if not 0 < header.left <= header.quantity_max or not 0 <= stop <= PRICE_MAX:
        return True
    if not 0 <= header.display <= header.quantity_max:
        return True
    if 0 < header.display * PARTS_MAX < header.left:
        return True
    if not 0 <= price <= PRICE_MAX or header.peg & ~PEG != 0:
        return True
    if tif == GTD and header.expiry <= header.time_ns:
        return True
    at_once = tif in (IOC, FOK)
    if header.peg:
        return market or post or at_once or stop > 0 or header.display > 0
    if market:
        return price > 0 or post or header.display > 0
    return price == 0 or (post and (at_once or stop > 0))


@kernel
def judge_terms(engine):
    """Whether prices and quantities are multiples of tick and lot."""
    header = at(engine, ENGINE)
    terms = at(rule_at(engine, header.rule), RULE)
    reasons = 0
    if terms.tick > 1 and (header.price % terms.tick != 0 or header.stop % terms.tick != 0):
        reasons |= OFF_TICK
    if terms.lot > 1 and (header.left % terms.lot != 0 or header.display % terms.lot != 0):
        reasons |= OFF_LOT
    return reasons


@kernel
def would_trade(engine, books):
    """Whether the limit of the order in hand reaches the other side, and orders trade now."""
    header = at(engine, ENGINE)
    best = facing(engine, books)
    if best == 0 or is_collecting(at(rule_at(engine, header.rule), RULE).state):
        return False
    return within(header.side, header.price, at(level_at(levels_of(books), best), LEVEL).price)


@kernel
def worst_case(engine, left_before):
    """The position were all orders of the side filled, that in hand too, counted towards the side.

    Short for a buyer, long for a seller, or none: 0 or below; the order can only reduce it.
    """
    header = at(engine, ENGINE)
    standing = at(standing_at(engine, header.account, header.rule), STANDING)
    ordered = int(standing.open[header.side]) + int(header.left) - left_before
    if header.side == BID:
        return ordered + int(standing.position)
    return ordered - int(standing.position)


@kernel
def may_still_reduce(engine):
    """Whether the account in hand, switched off or not, may send orders that only reduce."""
    header = at(engine, ENGINE)
    return not header.switched and at(account_at(engine, header.account), ACCOUNT).reduce_when_off


@kernel
def judge_limits(engine, reach, exposure_before):
    """Whether an order goes beyond what its account is held to; reach: its worst case."""
    header = at(engine, ENGINE)
    account = at(account_at(engine, header.account), ACCOUNT)
    left, reduces = int(header.left), reach <= 0
    worth = worth_of(header.worth, left, WORTH_MAX)
    reasons = 0
    if 0 < account.quantity_max < left:
        reasons |= IS_LARGE
    if worth == WORTH_MAX or (0 < account.notional_max < worth and not reduces):
        reasons |= IS_WORTH
    if account.collar_bps > 0 and is_far(engine, int(account.collar_bps)):
        reasons |= COLLAR
    if reach > bound_of(account.position_max):
        reasons |= POSITION
    most = EXPOSURE_MAX if reduces else bound_of(account.credit_max)
    if account.open + account.held + worth - exposure_before > most:
        reasons |= CREDIT
    return reasons


@kernel
def bound_of(limit):
    """A limit of an account's exposure, or what no exposure may reach where it has none."""
    if limit == 0:
        return EXPOSURE_MAX
    return min(int(limit), EXPOSURE_MAX)


@kernel
def is_far(engine, collar_bps):
    """Whether the limit of the order in hand lies further from the reference than a collar."""
    header = at(engine, ENGINE)
    base = reference(engine, header.rule)
    if base == 0 or header.price == 0:
        return False
    return abs(int(header.price) - base) * BPS > base * collar_bps


@kernel
def judge_room(engine, books):
    """Whether there is no record left for the order in hand, should it come to rest."""
    header = at(engine, ENGINE)
    tif = header.bits & TIF_MASK
    if header.stop == 0 and (tif in (IOC, FOK)):
        return 0
    wanted = 1
    if tif == GTD:
        wanted = 2
    free = at(books + ORDERS_AT, pool.ORDERS).limit - at(books, BOOK).live_orders
    if free < wanted:
        return FULL
    return 0
