"""Prices of underlyings as a running pipeline has them now: mids of its books."""

from typing import NamedTuple

import msgspec

from pipeline.books import BookRefused, Choice, Shown, read
from workers.holdings import Holdings
from workers.records import Mark

DOUBTFUL = {Mark.STALE: "stale", Mark.CROSSED: "crossed", Mark.BARRED: "halted by a rule"}


class Priced(NamedTuple):
    """Holdings with the prices that there are, and why others are still those of the file."""

    holdings: Holdings
    left: dict[str, str]


def fault(book: Shown) -> str:
    """Why a book has no mid that is to be trusted; empty where it has."""
    doubts = [name for mark, name in DOUBTFUL.items() if book.state & mark]
    if doubts:
        return f"its book is {doubts[0]}"
    return "" if book.bids and book.asks else "its book has no two sides"


def mid(book: Shown) -> float:
    """The middle of the best prices, in currency."""
    return (book.bids[0].price + book.asks[0].price) / (2 * book.unit.price_scale)


def priced(holdings: Holdings, pipeline: str) -> Priced:
    """Holdings at the prices of a pipeline; of several books of a symbol the first good one."""
    prices: dict[str, float] = {}
    left: dict[str, str] = {}
    for symbol in holdings.underlyings:
        try:
            books = read(Choice(symbol, pipeline, 1))
        except BookRefused as refused:
            left[symbol] = str(refused)
            continue
        good = [book for book in books if not fault(book)]
        if good:
            prices[symbol] = mid(good[0])
        else:
            left[symbol] = fault(books[0])
    underlyings = {
        symbol: msgspec.structs.replace(each, price=prices.get(symbol, each.price))
        for symbol, each in holdings.underlyings.items()
    }
    return Priced(msgspec.structs.replace(holdings, underlyings=underlyings), left)
