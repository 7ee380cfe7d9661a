"""What ingest makes of an event that looks odd: named rules, each with an effect and a counter.

    flag   the event passes, marked Flag.SUSPECT
    drop   it is left out; where it would have changed a book, that is marked stale in its place
    halt   the instrument is halted besides, until its venue says otherwise or its book is rebuilt
    pass   the rule is not looked at

An event that no book could take (`bad_quantity`, `bad_price`) is left out in any case.
"""

from enum import IntEnum
from typing import Literal

import msgspec

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.records import Event, Flag

Effect = Literal["pass", "flag", "drop", "halt"]
Refusal = Literal["drop", "halt"]


class Rule(IntEnum):
    """Why an event is odd: its place in the counters and among the effects."""

    BAD_QUANTITY = 0  # not what an event of its kind may have
    BAD_PRICE = 1
    OFF_TICK = 2  # the price is no multiple of the instrument's tick
    OFF_LOT = 3  # the quantity is no multiple of its lot size
    PRICE_BAND = 4  # too far from the last traded price
    OUT_OF_ORDER = 5  # earlier than the event before it of the same source, by its own clock
    OLD = 6  # it came too long after it happened: live sources only


NAMES = tuple(rule.name.lower() for rule in Rule)
PASS, FLAG, DROP, HALT = 0, 1, 2, 4  # bits of an effect
BITS = {"pass": PASS, "flag": FLAG, "drop": DROP, "halt": FLAG | HALT}


class Rules(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The effect of each rule, and where it begins."""

    bad_quantity: Refusal = "drop"
    bad_price: Refusal = "drop"
    off_tick: Effect = "flag"
    off_lot: Effect = "pass"  # venues show what is left of an order, which may be odd
    price_band: Effect = "flag"
    band_percent: float | None = None  # None: no band
    out_of_order: Effect = "flag"
    tolerance_ms: float = 0.0
    old: Effect = "flag"
    age_ms: float | None = None  # None: however old

    def __post_init__(self) -> None:
        for name in ("band_percent", "age_ms"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= LARGEST:
                raise ValueError(f"{name} = {value}: give more than 0, up to {LARGEST:,}")
        if not 0 <= self.tolerance_ms <= LARGEST:
            raise ValueError(f"tolerance_ms = {self.tolerance_ms}: give 0 to {LARGEST:,}")

    def effects(self) -> list[int]:
        """The bits of each Rule's effect."""
        bits = [BITS[getattr(self, name)] for name in NAMES]
        for rule in (Rule.BAD_QUANTITY, Rule.BAD_PRICE):
            bits[rule] = bits[rule] & HALT | DROP
        return bits


LARGEST = 10**9
COUNTS = record([(name, "i8") for name in NAMES])  # by Rule
LAW = record(
    [
        ("effects", "i8", (len(Rule),)),
        ("quantity_limit", "i8"),
        ("price_limit", "i8"),
        ("band", "i8"),  # in 1/10,000 of the last traded price; 0: none
        ("tolerance_ns", "i8"),
        ("age_ns", "i8"),  # 0: however old
    ]
)
BAND_UNITS = 10_000
# What is known of an instrument.
QUALITY = record(
    [
        ("tick", "i8"),  # price units; 0: not known
        ("lot", "i8"),  # lots
        ("reference", "i8"),  # the last traded price, 0 before the first
        ("doubtful", "i4"),  # 1: its book was marked stale in the log
        ("halted", "i4"),  # 1: halted by a rule
    ]
)


def lay_down(law, rules: Rules, quantity_limit: int, price_limit: int) -> None:
    """Fill a LAW record from the configuration."""
    law.effects[:] = rules.effects()
    law.quantity_limit, law.price_limit = quantity_limit, price_limit
    law.band = round((rules.band_percent or 0) * BAND_UNITS / 100)
    law.tolerance_ns = round(rules.tolerance_ms * 1e6)
    law.age_ns = round((rules.age_ms or 0) * 1e6)


@kernel
def judge(law_at, quality_at, counts, event, newest_ns, now_ns):
    """The bits of all effects that an event deserves; each rule that it breaks is counted.

    newest_ns: the latest event time that its source has told; now_ns: the time, 0 where it does
    not matter.
    """
    kind = event.kind
    if not (kind <= Event.BREAK or kind == Event.SET or kind == Event.MODIFY):
        return PASS
    effect = fault(law_at, counts, event)
    if effect != PASS:
        return effect
    if has_price(event):
        effect |= priced(law_at, quality_at, counts, event)
    effect |= timed(law_at, counts, event, newest_ns, now_ns)
    return effect


@kernel
def broken(law_at, counts, rule):
    """Count a rule that is broken, and return its effect."""
    effect = at(law_at, LAW).effects[rule]
    if effect != PASS:
        at(counts + 8 * rule, ONE).value += 1
    return int(effect)


ONE = record([("value", "i8")])


@kernel
def fault(law_at, counts, event):
    """The effect of a quantity or price that an event of its kind cannot have."""
    law, kind, quantity = at(law_at, LAW), event.kind, event.quantity
    sized = Event.ADD <= kind <= Event.CANCEL or Event.REPLACE <= kind <= Event.TRADE
    least = 1 if sized or kind == Event.MODIFY else 0
    if (quantity < least and kind != Event.DELETE) or quantity > law.quantity_limit:
        return broken(law_at, counts, Rule.BAD_QUANTITY.value)
    if has_price(event) and (event.price < 1 or event.price > law.price_limit):
        return broken(law_at, counts, Rule.BAD_PRICE.value)
    return PASS


@kernel
def has_price(event):
    """Whether an event's price means something."""
    kind = event.kind
    named = kind == Event.ADD or kind == Event.EXECUTE_AT or kind == Event.SET
    return named or kind == Event.MODIFY or Event.REPLACE <= kind <= Event.TRADE


@kernel
def priced(law_at, quality_at, counts, event):
    """What tick, lot and band have to say; and the last traded price, which is noted."""
    law, quality = at(law_at, LAW), at(quality_at, QUALITY)
    kind, price = event.kind, event.price
    effect = PASS
    if quality.tick > 1 and price % quality.tick != 0:
        effect |= broken(law_at, counts, Rule.OFF_TICK.value)
    if quality.lot > 1 and event.quantity % quality.lot != 0:
        effect |= broken(law_at, counts, Rule.OFF_LOT.value)
    reference = quality.reference
    gone = kind == Event.SET and event.quantity == 0
    if law.band > 0 and reference > 0 and not gone:
        if float(abs(price - reference)) * BAND_UNITS > float(reference) * law.band:
            effect |= broken(law_at, counts, Rule.PRICE_BAND.value)
    if (kind == Event.TRADE or kind == Event.EXECUTE_AT) and effect & DROP == 0:
        quality.reference = price
    return effect


@kernel
def timed(law_at, counts, event, newest_ns, now_ns):
    """What the clocks have to say; what a snapshot tells is older than that."""
    law = at(law_at, LAW)
    if event["flags"] & Flag.SNAPSHOT:
        return PASS
    effect = PASS
    if event.time_ns < newest_ns - law.tolerance_ns:
        effect |= broken(law_at, counts, Rule.OUT_OF_ORDER.value)
    if now_ns > 0 and law.age_ns > 0 and now_ns - event.time_ns > law.age_ns:
        effect |= broken(law_at, counts, Rule.OLD.value)
    return effect


@kernel
def changes_book(event):
    """Whether a book is another one without this event."""
    kind = event.kind
    return kind <= Event.REPLACE or kind == Event.SET or kind == Event.MODIFY


@kernel
def is_given(event):
    """Whether a source gives this event again when it is read again: it came of a message."""
    kind = event.kind
    return kind < Event.CLEAR or kind == Event.CHECK or kind >= Event.MODIFY


@kernel
def concerns_all(event):
    """Whether what a client wants is about no instrument of its own."""
    return event.kind == Event.SWITCH or (event.kind == Event.CANCEL_ALL and event.instrument < 0)


@kernel
def remember(quality_at, event):
    """Note what an event of the log says of how far its instrument is to be trusted."""
    quality, kind = at(quality_at, QUALITY), event.kind
    if kind == Event.STALE:
        quality.doubtful = 1
    elif kind == Event.FRESH:
        quality.doubtful = quality.halted = 0
    elif kind == Event.STATUS:
        quality.halted = 0
    elif kind == Event.TERMS:
        quality.tick, quality.lot = event.order, event.other
        if event.price > 0:
            quality.reference = event.price
