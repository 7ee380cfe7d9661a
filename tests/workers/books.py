"""Books in memory of the test's own, and what the kernels say is in them."""

import numpy as np

from ringbuf.atomics import at
from tests.naive.orderbook import Message
from workers.kernels import bookview, orderbook
from workers.kernels.orderbook import BOOK, Limits
from workers.records import EVENT, empty

WORD = np.dtype("i8")


class Block:
    """Zeroed memory that starts on a cache line."""

    def __init__(self, size: int):
        self.words = empty(WORD, -(-size // 8))
        self.address = self.words.ctypes.data


class Books(Block):
    """Books under test: `apply` takes a Message, the rest reads."""

    def __init__(self, limits: Limits):
        super().__init__(orderbook.bytes_needed(limits))
        self.limits = limits
        orderbook.create(self.address, limits)
        self.header = at(self.address, BOOK)
        self.events = empty(EVENT, 1)

    def apply(self, message: Message) -> int:
        event = self.events[0]
        for name, value in message._asdict().items():
            event[name] = value
        return int(orderbook.apply(self.address, event))

    def copy(self) -> "Books":
        """The same bytes at another address."""
        other = Books(self.limits)
        other.words[:] = self.words
        return other

    def changes(self) -> list:
        header = self.header
        columns = (header.side, header.price, header.quantity, header.orders)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return list(rows)[: int(header.changes)]

    def traded(self) -> tuple:
        header = self.header
        return header.traded_price, header.traded_quantity, header.traded_order

    def depth(self, instrument: int, side: int) -> list:
        """Levels of a side from the best: price, and its queue of (order id, quantity)."""
        levels = []
        for depth in range(bookview.level_count(self.address, instrument, side)):
            price, total, orders = bookview.depth_level(self.address, instrument, side, depth)
            queue = self.queue(instrument, side, price)
            assert (total, orders) == (sum(quantity for _, quantity in queue), len(queue))
            levels.append((price, queue))
        return levels

    def queue(self, instrument: int, side: int, price: int) -> list:
        queue, number = [], bookview.first_order(self.address, instrument, side, price)
        while number:
            queue.append(tuple(bookview.order_of(self.address, number)))
            number = bookview.next_order(self.address, number)
        return queue

    def check(self) -> int:
        return int(bookview.check(self.address))

    def digest(self) -> int:
        return int(bookview.digest(self.address))
