"""The log that goes through a line: a made-up day over and over, each event known by its number.

Each round ends with empty books, and its orders have numbers and its prices levels of their own:
what is taken for another round's shows.
"""

import numpy as np

from ringbuf.atomics import at, copy_words, cycles
from ringbuf.jit import kernel
from ringbuf.ring import advance, claim, next_free, publish, room
from tests.workers.joined import joint, turn_until_finished
from workers.feeds.synthetic import SyntheticOptions
from workers.hop import is_time_to_let_go
from workers.ingest import Ingest, IngestOptions
from workers.records import EVENT, Event, empty

DAY = SyntheticOptions(messages=8_000, symbols=8, seed=4)
DAY_NS = 86_400 * 10**9
ORDERS = 1 << 32  # between the order numbers of two rounds
LEVELS, TICK = 61, 100  # rounds until prices are the same again, and how far they go up each time
EVENT_SIZE = EVENT.itemsize
LAST_ORDER, REPLACE = int(Event.REPLACE), int(Event.REPLACE)  # kinds up to here name an order
PRICED = int(Event.CROSS)  # kinds up to here may have a price


def day() -> np.ndarray:
    """The events of a round, in order; at its end every order is deleted that still rests."""
    with joint(Ingest, 1) as at_:
        stage = Ingest(IngestOptions(), [DAY], at_.links)
        stage.open()
        events = turn_until_finished(stage, at_, "events")["events"]
    rest = resting(events)
    whole = empty(EVENT, len(events) + len(rest))
    whole[: len(events)] = events
    for event, order in zip(whole[len(events) :], rest, strict=True):
        event["time_ns"] = events["time_ns"][-1]
        event["order"], event["instrument"] = order, rest[order]
        event["kind"], event["side"] = Event.DELETE, 2
    whole["sequence"] = whole["arrived_ns"] = 0
    return whole


def resting(events: np.ndarray) -> dict[int, int]:
    """The orders that rest after some events, and whose they are."""
    left: dict[int, int] = {}
    owner: dict[int, int] = {}
    for event in events:
        kind, order = event["kind"], int(event["order"])
        quantity = int(event["quantity"])
        if kind == Event.ADD:
            left[order], owner[order] = quantity, int(event["instrument"])
        elif kind in (Event.EXECUTE, Event.EXECUTE_AT, Event.CANCEL):
            left[order] -= quantity
        elif kind == Event.REPLACE:
            del left[order]
            left[int(event["other"])] = quantity
            owner[int(event["other"])] = int(event["instrument"])
        elif kind == Event.DELETE:
            del left[order]
    return {order: owner[order] for order, quantity in left.items() if quantity > 0}


def events_of(block: np.ndarray, first: int, count: int) -> np.ndarray:
    """Events by their numbers, from `first` on."""
    numbers = np.arange(first - 1, first - 1 + count)
    events = empty(EVENT, count)
    events[:] = block[numbers % len(block)]
    rounds = numbers // len(block)
    kind = events["kind"]
    events["time_ns"] += rounds * DAY_NS
    events["order"] += np.where(kind <= Event.REPLACE, rounds * ORDERS, 0)
    events["other"] += np.where(kind == Event.REPLACE, rounds * ORDERS, 0)
    priced = (kind <= Event.CROSS) & (events["price"] > 0)
    events["price"] += np.where(priced, rounds % LEVELS * TICK, 0)
    events["arrived_ns"] = events["sequence"] = numbers + 1
    return events


@kernel
def write(writer, block, length, limit):
    """Write the next events, up to `limit`; how many. block: where the `length` of a round lie."""
    first = next_free(writer)
    count = room(writer, first, limit)
    for sequence in range(first, first + count):
        address = claim(writer, sequence)
        source = block + (sequence - 1) % length * EVENT_SIZE
        copy_words(address, source, EVENT_SIZE // 8 - 1)
        vary(at(address, EVENT), (sequence - 1) // length)
        at(address, EVENT).arrived_ns = sequence
        now = cycles()
        publish(writer, sequence, now, now)
        if is_time_to_let_go(sequence):
            advance(writer, sequence)
    if count > 0:
        advance(writer, first + count - 1)
    return max(count, 0)


@kernel
def vary(event, number):
    """Have an event be one of another round."""
    event.time_ns += number * DAY_NS
    if event.kind <= LAST_ORDER:
        event.order += number * ORDERS
    if event.kind == REPLACE:
        event.other += number * ORDERS
    if event.kind <= PRICED and event.price > 0:
        event.price += number % LEVELS * TICK
