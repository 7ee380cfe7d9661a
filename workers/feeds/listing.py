"""What a feed of levels knows of one instrument."""

import numpy as np

from ringbuf.record import fields_of
from workers.kernels.level_window import WINDOW, window_bytes
from workers.kernels.levels_json import LISTING
from workers.records import Doubt, empty, lined

PLACE = {name: at // 8 for name, (_, at) in fields_of(LISTING).items()}
TIME, NEEDED = PLACE["time_ns"], PLACE["price_needed"]
PRICE_PRINTED, QUANTITY_PRINTED = PLACE["price_printed"], PLACE["quantity_printed"]


class Listing:
    """An instrument: its code and scales for the kernels, and where its book stands.

    `doubt` is the Doubt that was told last, 0 while the book is whole. Before the price scale is
    known it is not `ready`: nothing can be said of it, and trades are `held` back.
    """

    def __init__(self, symbol: str, code: int, quantity_decimals: int) -> None:
        self.symbol, self.code = symbol, code
        self.ready = False
        self.doubt = int(Doubt.NO_SNAPSHOT)
        self.held: list[tuple] = []  # trades, as given
        self.pending: list = []  # updates that wait for a snapshot
        self.last = 0  # the venue's number of the last update that is in the book
        self.first = False  # the next update is the first one behind a snapshot
        self.snapshots = 0
        self.asked = 0  # times in a row that a snapshot was asked for
        self.ask_at = self.again_at = 0.0  # by the monotonic clock: when it is due, or due again
        self._record = empty(LISTING, 1)
        self._window: np.ndarray | None = None
        self.numbers = self._record.view(np.int64).data
        self.address = self._record.ctypes.data
        self._record["code"], self._record["quantity_decimals"] = code, quantity_decimals

    @property
    def price_decimals(self) -> int:
        """Of a price unit."""
        return self.numbers[PLACE["price_decimals"]]

    @price_decimals.setter
    def price_decimals(self, decimals: int) -> None:
        self.numbers[PLACE["price_decimals"]] = decimals

    @property
    def quantity_decimals(self) -> int:
        """Of a lot."""
        return self.numbers[PLACE["quantity_decimals"]]

    @property
    def checked_as(self) -> int:
        """How the venue computes its checksum: a Checksum."""
        return self.numbers[PLACE["checksum"]]

    @checked_as.setter
    def checked_as(self, kind: int) -> None:
        self.numbers[PLACE["checksum"]] = int(kind)

    def show_best(self, depth: int) -> None:
        """The venue shows so many levels a side from here on, none of them known yet."""
        self._window = lined(window_bytes(depth))
        self._window[: WINDOW.itemsize].view(WINDOW)["depth"] = depth
        self.numbers[PLACE["window"]] = self._window.ctypes.data
