"""What clients and the venue ask of matching: the verbs of the kinds of EVENT that it is given."""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.auctions import start_auction
from workers.kernels.counting import start_count
from workers.kernels.crossing import come_to_rest, reaches, set_bound, settle
from workers.kernels.ending import end, is_collecting
from workers.kernels.engine import (
    ACCOUNT,
    CONDITION,
    CONDITION_BYTES,
    ENGINE,
    NUMBER,
    PRICE_MAX,
    RULE,
    TICKET,
    account_at,
    reference,
    rule_at,
    rule_number,
    ticket_at,
)
from workers.kernels.exposure import opened
from workers.kernels.gate import judge, judge_room
from workers.kernels.phases import COUNT, IDLE, MEET, TRIGGER
from workers.kernels.resting import LEVEL, level_of
from workers.kernels.telling import report, report_hand
from workers.kernels.tickets import cancel, find_asked, is_shown, left_of, lift, reduce
from workers.kernels.triggers import start_sweep
from workers.kernels.var_limit import adopt
from workers.orders import REQUEUE, TIF_MASK, Reject, Tif, Why
from workers.records import MATCHED, Book, Event, State

ORDER, CANCEL_ORDER = int(Event.ORDER), int(Event.CANCEL_ORDER)
REPLACE_ORDER, CANCEL_ALL = int(Event.REPLACE_ORDER), int(Event.CANCEL_ALL)
CONDITION_KIND, SWITCH = int(Event.CONDITION), int(Event.SWITCH)
STATUS, DIRECTORY = int(Event.STATUS), int(Event.DIRECTORY)
CLEAR, TERMS = int(Event.CLEAR), int(Event.TERMS)
ACCEPTED, REJECTED = int(Book.ACCEPTED), int(Book.REJECTED)
REPLACED = int(Book.REPLACED)
UNKNOWN_ORDER, NOT_MATCHED = int(Reject.UNKNOWN_ORDER), int(Reject.NOT_MATCHED)
DUPLICATE, FOK_REASON = int(Reject.DUPLICATE), int(Reject.FOK)
ASKED = int(Why.ASKED)
FOK, GTD = int(Tif.FOK), int(Tif.GTD)
TRADING, HALTED = int(State.TRADING), int(State.HALTED)


@kernel
def carry_out(engine, books):
    """Do what the event in hand asks for."""
    header = at(engine, ENGINE)
    kind = int(header.kind)
    header.phase = IDLE
    if kind == ORDER:
        take_order(engine, books)
    elif kind == CANCEL_ORDER:
        cancel_order(engine, books)
    elif kind == REPLACE_ORDER:
        replace_order(engine, books)
    elif kind == CONDITION_KIND:
        keep_condition(engine)
    elif kind == CANCEL_ALL:
        if header.rule > 0 or header.asked_instrument < 0:
            start_sweep(engine)
    elif kind == SWITCH:
        switch(engine)
    else:
        carry_out_venue(engine, books, kind)


@kernel
def carry_out_venue(engine, books, kind):
    """Do what the venue says."""
    header = at(engine, ENGINE)
    if kind == DIRECTORY:
        if header.asked_bits & MATCHED:
            announce(engine)
    elif header.rule == 0:
        header.ignored += 1
    elif kind == STATUS:
        change_state(engine, books)
    elif kind == CLEAR:
        start_sweep(engine)
    elif kind == TERMS:
        terms = at(rule_at(engine, header.rule), RULE)
        terms.tick, terms.lot = header.asked_order, header.asked_other
        if 0 <= header.asked_price <= PRICE_MAX:
            terms.reference = header.asked_price
        end(engine)
    else:
        header.ignored += 1
        end(engine)


@kernel
def load_order(engine):
    """Take the order that the event tells into the hand, with the condition that went before it."""
    header = at(engine, ENGINE)
    header.order, header.account = header.asked_order, header.asked_other
    header.price, header.left = header.asked_price, header.asked_quantity
    header.display, header.expiry, header.stop, header.worth = 0, 0, 0, 0
    header.peg, header.dated, header.accepted, header.banded = 0, 0, 0, 0
    header.side, header.bits = header.asked_side, header.asked_bits
    more = at(condition_at(engine), CONDITION)
    if not more.given:
        return
    more.given = 0
    if more.order == header.order and more.instrument == header.instrument:
        header.stop, header.display, header.peg = more.stop, more.display, more["bits"]
        if header.bits & TIF_MASK == GTD:
            header.expiry = more.expiry


@kernel
def condition_at(engine):
    """The address of what the source of the event said about its next order."""
    header = at(engine, ENGINE)
    return engine + int(header.conditions_at) + CONDITION_BYTES * int(header.source)


@kernel
def keep_condition(engine):
    """Keep more about an order until it comes."""
    header, more = at(engine, ENGINE), at(condition_at(engine), CONDITION)
    more.order, more.instrument, more.given = header.asked_order, header.asked_instrument, 1
    more.stop, more.display, more.expiry = (
        header.asked_price,
        header.asked_quantity,
        header.asked_other,
    )
    more.bits = header.asked_bits


@kernel
def set_worth(engine):
    """Say what a unit of the order in hand counts while it is open."""
    header = at(engine, ENGINE)
    header.worth = header.price
    if header.price == 0:
        header.worth = header.stop
        if header.stop == 0:
            header.worth = reference(engine, header.rule)


@kernel
def take_order(engine, books):
    """A new order: refuse it, count what it could trade, or let it in."""
    header = at(engine, ENGINE)
    load_order(engine)
    if header.rule == 0:
        refuse_hand(engine, NOT_MATCHED)
        return
    set_worth(engine)
    reasons = judge(engine, books, 0, 0) | judge_room(engine, books)
    if find_asked(engine, books) != 0:
        reasons |= DUPLICATE
    if reasons != 0:
        refuse_hand(engine, reasons)
        return
    if header.bits & TIF_MASK == FOK and header.stop == 0:
        set_bound(engine)
        start_count(engine)
        header.phase = COUNT
        return
    accept(engine, books)


@kernel
def refuse_hand(engine, reasons):
    """Tell that a new order is not taken, and why."""
    header = at(engine, ENGINE)
    report_hand(engine, REJECTED, header.left, reasons, header.kind)
    header.left = 0
    end(engine)


@kernel
def accept(engine, books):
    """A new order is taken: it trades, or waits."""
    header = at(engine, ENGINE)
    report_hand(engine, ACCEPTED, header.left, header.left, 0)
    opened(engine, header.rule, header.account, header.side, header.left, header.worth)
    header.accepted = 1
    send_on(engine, books)


@kernel
def send_on(engine, books):
    """Let the order in hand trade, or wait where it cannot yet."""
    header = at(engine, ENGINE)
    terms = at(rule_at(engine, header.rule), RULE)
    if header.stop > 0 or header.peg or is_collecting(terms.state):
        header.stirred |= header.stop > 0
        come_to_rest(engine, books)
    else:
        set_bound(engine)
        if reaches(engine, books):
            header.phase = MEET
        else:
            settle(engine, books)


@kernel
def refuse(engine, reasons):
    """Tell that what an event asks of an order is not done, and why."""
    header = at(engine, ENGINE)
    order, price, quantity = header.asked_order, header.asked_price, header.asked_quantity
    side, kind = header.asked_side, header.kind
    report(engine, REJECTED, header.instrument, side, order, price, quantity, reasons, kind)
    end(engine)


@kernel
def asked_number(engine, books):
    """The number of the order that an event asks something of, if it is the account's; else 0."""
    header = at(engine, ENGINE)
    if header.rule == 0:
        return 0
    number = find_asked(engine, books)
    if number > 0 and at(ticket_at(engine, number), TICKET).account != header.asked_other:
        return 0
    return number


@kernel
def unknown(engine):
    """Why an order was not found."""
    if at(engine, ENGINE).rule == 0:
        return NOT_MATCHED
    return UNKNOWN_ORDER


@kernel
def cancel_order(engine, books):
    """An order is to leave."""
    number = asked_number(engine, books)
    if number == 0:
        refuse(engine, unknown(engine))
        return
    cancel(engine, books, number, ASKED)
    end(engine)


@kernel
def replace_order(engine, books):
    """An order is to have another price and quantity."""
    header, number = at(engine, ENGINE), asked_number(engine, books)
    if number == 0:
        refuse(engine, unknown(engine))
        return
    ticket = at(ticket_at(engine, number), TICKET)
    left, worth = left_of(engine, books, number), int(ticket.worth)
    header.order, header.account, header.side = header.asked_order, ticket.account, ticket.side
    header.bits, header.peg, header.dated = ticket["bits"], ticket.peg, ticket.dated
    header.price, header.left = header.asked_price, header.asked_quantity
    header.stop, header.display, header.expiry = ticket.stop, ticket.display, ticket.expiry
    header.accepted = 1
    set_worth(engine)
    reasons = judge(engine, books, left, worth)
    if reasons != 0:
        refuse(engine, reasons)
        return
    opened(engine, header.rule, header.account, header.side, -left, worth)
    opened(engine, header.rule, header.account, header.side, header.left, header.worth)
    lost = left - int(header.left)
    report_hand(engine, REPLACED, lost, header.left, ASKED)
    if lost >= 0 and stays(engine, books, number):
        ticket.price, ticket.worth = header.price, header.worth
        if lost > 0:
            reduce(engine, books, number, lost)
        end(engine)
        return
    lift(engine, books, number)
    send_on(engine, books)


@kernel
def stays(engine, books, number):
    """Whether an order at rest keeps its place with the price in hand, if it grows by nothing."""
    header = at(engine, ENGINE)
    if header.asked_bits & REQUEUE:
        return False
    if not is_shown(engine, books, number):
        return True
    return at(level_of(books, number), LEVEL).price == header.price


@kernel
def switch(engine):
    """Orders of an account, or of all, are refused from here on, or taken again."""
    header = at(engine, ENGINE)
    refused = header.asked_bits & 1
    if header.asked_other < 0:
        header.switched = refused
    elif header.asked_other < header.accounts:
        at(account_at(engine, header.asked_other), ACCOUNT).switched = refused


@kernel
def announce(engine):
    """An instrument is matched from here on, if there is a rule left for it."""
    header = at(engine, ENGINE)
    instrument = int(header.asked_instrument)
    if header.rule > 0 or not 0 <= instrument < header.instruments:
        return
    if header.rules_used == header.rules:
        header.unruled += 1
        return
    header.rules_used += 1
    place = engine + int(header.numbers_at) + 4 * instrument
    at(place, NUMBER).value = header.rules_used
    terms = at(rule_at(engine, header.rules_used), RULE)
    terms.instrument, terms.state = instrument, TRADING
    terms.band_bps, terms.band_pauses = header.band_bps, header.band_pauses
    assert rule_number(engine, instrument) > 0
    if header.portfolios > 0:
        adopt(engine)


@kernel
def change_state(engine, books):
    """The venue, or who runs it, says that trading is on, off, or to start with an auction."""
    header = at(engine, ENGINE)
    terms = at(rule_at(engine, header.rule), RULE)
    before = int(terms.state)
    terms.state = header.asked_bits
    header.called = is_collecting(before)
    header.phase = TRIGGER
    if is_collecting(terms.state):
        terms.indicated_ns = header.time_ns
    elif terms.state != HALTED and (header.called or before == HALTED):
        header.stirred = 1
        start_auction(engine, books, 1)
