"""`corelane order`: what was asked of one order and what became of it, from a pipeline's journals.

The `events` journal has what was asked, the `book` journal what came of it; both are gone through
once, in slices. A pipeline may write them meanwhile: what is told is whole up to one event.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from pipeline.journals import SLICE, Announced, open_log
from pipeline.listing import printable
from pipeline.order_steps import Life, Step, Teller, request, told
from pipeline.selection import choice
from ringbuf.journal import JournalReader
from workers.instruments import Unit
from workers.orders import Liquidity
from workers.records import EVENT, REPORT, TRADE, Book, Event, Side

ASKED = (Event.ORDER, Event.CANCEL_ORDER, Event.REPLACE_ORDER, Event.CONDITION)
AROUND = 64  # records; a trade and what both sides are told of it lie much closer together
NEAR = 3  # ids that are named where there is none like the one asked for
MAKER, AUCTION = int(Liquidity.MAKER), int(Liquidity.AUCTION)


class NoSuchOrder(Exception):
    """The log has no such order; the message says what it has."""


class Choice(NamedTuple):
    """Which order, and where it is looked for."""

    order: int
    folder: Path
    symbol: str | None = None
    account: int | None = None


class Asked(NamedTuple):
    """What the log of events says."""

    events: np.ndarray  # of this id, shape (n,)
    last: int  # how far the log was read
    orders: int  # ORDER events of any id
    near: list[int]  # ids of some that are like this one


class Answers(NamedTuple):
    """What the log of the book says: reports, and of each FILL who was on the other side."""

    reports: np.ndarray
    against: list[int | None]
    matches: list[int | None]


def windows(log: JournalReader, last: int) -> Iterator[tuple[np.ndarray, slice]]:
    """A journal up to a record in slices, each with what is around it, and where itself is."""
    start = log.first
    while start <= last:
        begin, end = max(start - AROUND, log.first), min(start + SLICE, last + 1)
        records = log.read(begin, min(end + AROUND, last + 1) - begin)
        if begin + len(records) < end:  # removed, or cut, while we read
            end = begin + len(records)
            if end <= start:
                return
        yield records, slice(start - begin, end - begin)
        start = end


def find_asked(log: JournalReader, order: int) -> Asked:
    """Everything that was asked of an order, in all instruments."""
    found, count, near, last = [np.zeros(0, EVENT)], 0, np.zeros(0, np.int64), log.last
    for records, own in windows(log, last):
        events = records[own]
        found.append(events[np.isin(events["kind"], ASKED) & (events["order"] == order)])
        ids = events["order"][events["kind"] == Event.ORDER]
        count += len(ids)
        near = np.unique(np.concatenate([near, ids]))
        near = near[np.argsort(np.abs(near.astype(float) - order), kind="stable")[:NEAR]]
    return Asked(np.concatenate(found), last, count, sorted(near.tolist()))


def find_answers(log: JournalReader, last: int, order: int, events: int) -> Answers:
    """All reports of an order that answer events up to one of them."""
    reports: list[np.ndarray] = [np.zeros(0, REPORT)]
    against: list[int | None] = []
    matches: list[int | None] = []
    for records, own in windows(log, last):
        some = records.view(REPORT)
        kinds = some["kind"]
        mine = (kinds >= Book.ACCEPTED) & (kinds <= Book.TRIGGERED) & (some["order"] == order)
        mine &= some["cause"] <= events
        mine[: own.start] = mine[own.stop :] = False
        places = np.flatnonzero(mine)
        reports.append(some[places])
        against += others(some, places)
        matches += numbers(records.view(TRADE), places)
    return Answers(np.concatenate(reports), against, matches)


def others(reports: np.ndarray, places: np.ndarray) -> list[int | None]:
    """The orders that those at some places traded with; None where it was no trade.

    Two FILL records stand side by side: the maker's before the taker's, in auctions the bid's.
    """
    mine = reports[places]
    first = (mine["state"] == MAKER) | ((mine["state"] == AUCTION) & (mine["side"] == Side.BID))
    mates = places + np.where(first, 1, -1)
    there = (mates >= 0) & (mates < len(reports)) & (mine["kind"] == Book.FILL)
    mate = reports[np.where(there, mates, 0)]
    there &= (mate["kind"] == Book.FILL) & (mate["cause"] == mine["cause"])
    there &= (mate["quantity"] == mine["quantity"]) & (mate["side"] != mine["side"])
    ids = mate["order"].tolist()
    return [one if known else None for one, known in zip(ids, there.tolist(), strict=True)]


def numbers(trades: np.ndarray, places: np.ndarray) -> list[int | None]:
    """The match numbers of the trades that reports at some places are about; None: of none."""
    at = np.flatnonzero(trades["kind"] == Book.TRADE)
    before = np.searchsorted(at, places) - 1
    there = (before >= 0) & (trades["kind"][places] == Book.FILL)
    if not len(at):
        return [None] * len(places)
    trade = trades[at[np.maximum(before, 0)]]
    there &= trade["cause"] == trades["cause"][places]
    ids = trade["match"].tolist()
    return [one if known else None for one, known in zip(ids, there.tolist(), strict=True)]


def read(wanted: Choice) -> list[Life]:
    """The lives of all orders that have this id; NoSuchOrder where there are none."""
    names = Announced(wanted.folder)
    with closing(open_log(wanted.folder, "book")) as log, closing(names.log):
        end = log.last
        asked = find_asked(names.log, wanted.order)
        answers = find_answers(log, end, wanted.order, asked.last)
        parts = asked.events["instrument"], answers.reports["instrument"]
        instruments = np.unique(np.concatenate(parts))
        found = [
            life
            for number in instruments.tolist()
            for life in _lives(wanted.order, asked, answers, number, names.unit(number))
        ]
        kept = [life for life in found if _is_wanted(life, wanted)]
        if not kept:
            raise NoSuchOrder(_refusal(wanted, asked, found, names))
    return kept


def _lives(order: int, asked: Asked, answers: Answers, instrument: int, unit: Unit) -> list[Life]:
    """The orders of one instrument that had this id."""
    happened: list[tuple[Step, np.record]] = [
        (request(event, unit), event) for event in asked.events if event["instrument"] == instrument
    ]
    happened += [
        (told(report, unit, against, match), report)
        for report, against, match in zip(*answers, strict=True)
        if report["instrument"] == instrument
    ]
    teller = Teller(order, printable(unit.symbol), unit)
    for step, record in sorted(happened, key=lambda one: (one[0].event, one[0].book or 0)):
        teller.take(step, record)
    return teller.lives()


def _is_wanted(life: Life, wanted: Choice) -> bool:
    return wanted.symbol in (None, life.symbol) and wanted.account in (None, life.account)


def _refusal(wanted: Choice, asked: Asked, found: list[Life], names: Announced) -> str:
    """Why there is nothing to show, and what there is."""
    symbols = [printable(symbol) for symbol in names.all()]
    if wanted.symbol is not None and wanted.symbol not in symbols:
        return f"--symbol {wanted.symbol}: no such symbol; {choice(wanted.symbol, symbols)}"
    if found:
        there = {f"{life.symbol} (account {life.account})" for life in found}
        return f"order {wanted.order} is one of {', '.join(sorted(there))}; ask for that"
    if not asked.orders:
        return f"{wanted.folder}: its log has no orders of clients at all"
    near = ", ".join(map(str, asked.near))
    return f"there is no order {wanted.order} among {asked.orders:,}; near it: {near}"


def show(wanted: Choice, as_json: bool) -> str:
    """What `corelane order` prints."""
    found = read(wanted)
    if as_json:
        return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
    return "\n\n".join("\n".join(life.lines()) for life in found)
