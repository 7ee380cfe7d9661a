"""What speaks against an order, one line for each reason."""

from tests.naive.matching_var import value_at_risk_reasons
from workers.kernels.engine import PARTS_MAX, PRICE_MAX, QUANTITY_MAX
from workers.orders import STP_BITS, OrderFlag, Reject, Stp, Tif
from workers.records import Side, State

WORTH_MAX, EXPOSURE_MAX, LIVE_MAX = 1 << 60, 1 << 61, 1 << 61
BPS = 10_000


def reasons_against(matching, order, before) -> int:
    """Bits of Reject; before: the order at rest that it is to become, None where it is new."""
    market, accounts = matching.market, matching.accounts
    found = 0
    at_once = order.tif in (Tif.IOC, Tif.FOK)
    if matching.switched:
        found |= Reject.SWITCHED_OFF
    if market.state == State.HALTED or (market.collecting and at_once and not order.stop):
        found |= Reject.HALTED
    known = 0 <= order.account < (len(accounts) or 1 << 31)
    account = accounts[order.account] if accounts and known else None
    if not known:
        found |= Reject.UNKNOWN_ACCOUNT
    if account:
        found |= messages(matching, account)
    if before is None:
        found |= Reject.DUPLICATE if order.id in market.orders else 0
        wanted = 0 if at_once and not order.stop else 2 if order.tif == Tif.GTD else 1
        free = matching.settings.books.orders - matching.record_count()
        found |= Reject.FULL if free < wanted else 0
    if not sensible(matching, order):
        return int(found | Reject.BAD_VALUE)
    if market.tick > 1 and (order.price % market.tick or order.stop % market.tick):
        found |= Reject.OFF_TICK
    if market.lot > 1 and (order.left % market.lot or order.display % market.lot):
        found |= Reject.OFF_LOT
    others = market.books[1 - order.side]
    if order.bits & OrderFlag.POST_ONLY and others and not market.collecting:
        if matching.allows(order, others[0].price):
            found |= Reject.POST_ONLY
    if account:
        found |= limits(matching, account, order, before)
        found &= ~spared(matching, account, order, before)
    return int(found)


def spared(matching, account, order, before) -> int:
    """What an order is not refused for that only reduces a position: a switch of its account."""
    free = account.limits.reduce_when_off and not matching.switched
    return Reject.SWITCHED_OFF if free and only_reduces(matching, account, order, before) else 0


def only_reduces(matching, account, order, before) -> bool:
    """Whether all orders of the side, this one too, would at most flatten the position."""
    position, *open_, _ = account.standing(matching.market.instrument)
    orders = open_[order.side] + order.left - (before.left if before else 0)
    return orders <= (position if order.side == Side.ASK else -position)


def messages(matching, account) -> int:
    """Count a message; whether the account may send it."""
    found, now = 0, matching.asked.time_ns
    if account.switched:
        found |= Reject.SWITCHED_OFF
    if account.limits.messages_max:
        over = now - account.window_from_ns >= account.limits.window_ns
        if not account.messages or over:
            account.window_from_ns, account.messages = now, 0
        account.messages += 1
        if account.messages > account.limits.messages_max:
            found |= Reject.RATE
    return found


def sensible(matching, order) -> bool:
    """Whether an order's numbers fit together."""
    at_once = order.tif in (Tif.IOC, Tif.FOK)
    post = order.bits & OrderFlag.POST_ONLY != 0
    most = min(QUANTITY_MAX, LIVE_MAX // matching.settings.books.orders)
    wrong = [
        order.side not in (Side.BID, Side.ASK),
        order.tif > Tif.GTD,
        order.bits >> STP_BITS > Stp.DECREMENT,
        not 0 < order.left <= most,
        not 0 <= order.price <= PRICE_MAX,
        not 0 <= order.stop <= PRICE_MAX,
        not 0 <= order.display <= most,
        order.display and order.display * PARTS_MAX < order.left,
        order.peg not in (0, 1),
        order.tif == Tif.GTD and order.expiry <= matching.asked.time_ns,
        order.peg and (order.market or post or at_once or order.stop or order.display),
        order.market and (order.price or post or order.display),
        not order.price and not order.market and not order.peg,
        post and (at_once or order.stop),
    ]
    return not any(wrong)


def limits(matching, account, order, before) -> int:
    """What an account's own limits say."""
    found, most, market = 0, account.limits, matching.market
    worth = order.worth * order.left
    reduces = only_reduces(matching, account, order, before)
    if most.quantity_max and order.left > most.quantity_max:
        found |= Reject.MAX_QUANTITY
    too_much = most.notional_max and worth > most.notional_max and not reduces
    if worth >= WORTH_MAX or too_much:
        found |= Reject.MAX_NOTIONAL
    base = market.base
    if most.collar_bps and order.price and base:
        if abs(order.price - base) * BPS > base * most.collar_bps:
            found |= Reject.COLLAR
    position, *open_, _ = account.standing(market.instrument)
    reach = open_[order.side] + order.left - (before.left if before else 0)
    reach += position if order.side == Side.BID else -position
    if reach > (most.position_max or EXPOSURE_MAX):
        found |= Reject.POSITION
    exposure = account.open + account.held + min(worth, WORTH_MAX)
    exposure -= before.left * before.worth if before else 0
    if exposure > (EXPOSURE_MAX if reduces else most.credit_max or EXPOSURE_MAX):
        found |= Reject.CREDIT
    if most.var_max and not reduces:
        found |= value_at_risk_reasons(matching, account, order, before)
    return found
