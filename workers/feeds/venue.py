"""What the JSON of all exchanges has in common: messages in, events of levels and trades out.

An exchange's module says how its messages are read. Here an instrument gets its code and its
price scale, which the first snapshot teaches: as many decimals as its prices need. What is wrong
with a message is found before any event of it is written, and puts the book in doubt until the
next snapshot, which replaces it.
"""

import ctypes
from typing import Annotated

import msgspec
import numpy as np

from workers.feeds.lines import SILENT, Message
from workers.feeds.listing import NEEDED, PRICE_PRINTED, QUANTITY_PRINTED, TIME, Listing
from workers.feeds.lobster import symbol_bytes
from workers.feeds.outbox import Outbox
from workers.feeds.venue_options import DECIMALS_MAX, VenueOptions
from workers.kernels import levels_json
from workers.kernels.levels_json import NO_CHECKSUM, NO_ROOM
from workers.merge import CODES
from workers.records import LOT_DECIMALS, Doubt, Event, Flag

# Numbers in messages: of an update or a trade, and of ms since 1970, up to the year 2100.
Id = Annotated[int, msgspec.Meta(ge=-2, le=1 << 62)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=4_102_444_800_000)]
# What became of a message.
READ, IGNORED, REFUSED, UNKNOWN, BROKEN = range(5)
HELD_MAX = 4096  # trades kept back until a snapshot, or as many, have taught the price scale
PENDING_MAX = 1 << 16  # updates that wait for a snapshot

CLEAR, STALE, FRESH = int(Event.CLEAR), int(Event.STALE), int(Event.FRESH)
DIRECTORY, CHECK, TRADE = int(Event.DIRECTORY), int(Event.CHECK), int(Event.TRADE)
PART, SNAPSHOT, INFERRED = int(Flag.PART), int(Flag.SNAPSHOT), int(Flag.INFERRED)
# Where the characters of a bytes object lie, from its identity on: that is how CPython lays it out.
TEXT_AT = bytes.__basicsize__ - 1
_SAMPLE = b"corelane"
assert ctypes.string_at(id(_SAMPLE) + TEXT_AT, len(_SAMPLE)) == _SAMPLE


class Venue:
    """An exchange's messages to events. A subclass reads; what is here keeps the books' state."""

    SEQUENCED = False  # updates are numbered: one that could not be read shows as a gap
    ALIVE: bytes | None = None  # what it wants to be sent now and then
    REST = False  # snapshots have to be fetched

    def __init__(self, options: VenueOptions, box: Outbox) -> None:
        self.options, self.box = options, box
        self.listings: dict[str, Listing | None] = {}
        self.by_code: list[Listing] = []
        self.wanting: dict[str, Listing] = {}  # books that wait for a snapshot
        self.arrived_ns = 0  # of the message in hand, by the clock of who took it down
        self.clock_ns = self.ahead_ns = 0  # the venue's latest time; how much that was ahead
        self.joins = 0
        self.away = False  # the connection has ended, and there is no other yet

    def read(self, message: bytes, origin: str | None) -> int:
        """Write what a message says; what became of it. msgspec's errors where it is no JSON."""
        raise NotImplementedError

    def greeting(self, symbols: list[str]) -> list[bytes]:
        """What to send to be sent the books and trades of some instruments."""
        raise NotImplementedError

    def renewal(self, listing: Listing) -> list[bytes]:
        """What to send to be sent a new snapshot of one instrument."""
        raise NotImplementedError

    def rest_url(self, listing: Listing) -> str:
        """Where the REST service has a snapshot of one instrument."""
        raise NotImplementedError

    def wrapped(self, listing: Listing, answer: bytes) -> bytes:
        """The message that a snapshot from the REST service is read as."""
        raise NotImplementedError

    def take(self, message: Message) -> None:
        """Read one message, and count what became of it."""
        self.arrived_ns, text, origin = message
        box, before, announced = self.box, self.box.count, self.box.announced
        if text is None:
            if origin is None:
                self.join()
            else:
                self.leave(Doubt.SILENCE if origin == SILENT else Doubt.GAP)
            box.further += box.count - before - box.announced + announced
            return
        try:
            verdict = self.read(text, origin)
        except msgspec.ValidationError:
            verdict = REFUSED
            self.doubt_all(Doubt.VALUE)
        except (msgspec.DecodeError, UnicodeDecodeError):
            verdict = BROKEN
            self.doubt_all(Doubt.VALUE)
        given = box.count - before - box.announced + announced
        if verdict == READ and given:
            box.told += 1
            box.further += given - 1
            return
        if verdict >= UNKNOWN:
            box.tally["unknown" if verdict == UNKNOWN else "bad_frames"] += 1
            box.tally["skipped_bytes"] += len(text)
        elif verdict == REFUSED:
            box.tally["bad_values"] += 1
        elif given:
            box.told += 1
            given -= 1
        else:
            box.tally["ignored"] += 1
        box.further += given

    def join(self) -> None:
        """A connection begins: what came over the last one may have lost its end."""
        self.joins += 1
        self.away = False
        self.box.tally["connects"] += 1
        for listing in self.by_code if self.joins > 1 else ():
            listing.pending.clear()
            self.doubt(listing, Doubt.GAP)

    def leave(self, why: Doubt) -> None:
        """A connection has ended: from here on nothing is known, whatever a snapshot may say."""
        self.away = True
        for listing in self.by_code:
            self.doubt(listing, why)

    def resync(self, code: int) -> None:
        """Somebody found the book of an instrument to be wrong."""
        if 0 <= code < len(self.by_code):
            before = self.box.count
            self.doubt(self.by_code[code], Doubt.CHECKSUM)
            self.box.further += self.box.count - before

    def end(self) -> None:
        """Nothing will come any more: what was held back goes out."""
        for listing in self.by_code:
            before, announced = self.box.count, self.box.announced
            if listing.held:
                self.learn(listing)
            self.box.further += self.box.count - before - self.box.announced + announced

    def when(self, venue_ns: int) -> int:
        """The time of a message; where it carries none (0), what the venue's clock says now."""
        if venue_ns:
            self.ahead_ns = venue_ns - self.arrived_ns
            self.clock_ns = max(self.clock_ns, venue_ns)
            return venue_ns
        return max(self.clock_ns, self.arrived_ns + self.ahead_ns)

    def listing(self, symbol: str) -> Listing | None:
        """The instrument of a symbol; None where it is not wanted, or cannot be."""
        try:
            return self.listings[symbol]
        except KeyError:
            return self._enlist(symbol)

    def _enlist(self, symbol: str) -> Listing | None:
        options = self.options
        try:
            symbol_bytes(symbol)
        except ValueError:
            return None
        if (options.symbols and symbol not in options.symbols) or len(self.by_code) == CODES:
            self.listings[symbol] = None
            return None
        listing = Listing(symbol, len(self.by_code), options.lots_of(symbol))
        self.listings[symbol] = self.wanting[symbol] = listing
        self.by_code.append(listing)
        decimals = options.prices_of(symbol)
        if decimals is not None:
            self.announce(listing, decimals)
        return listing

    def announce(self, listing: Listing, decimals: int) -> None:
        """Tell of an instrument, that its book is not known, and of the trades held back."""
        listing.price_decimals, listing.ready = decimals, True
        first, second, third = np.frombuffer(symbol_bytes(listing.symbol), np.int64).tolist()
        flags = INFERRED | listing.quantity_decimals << LOT_DECIMALS
        time_ns = self.when(0)
        self.box.put(DIRECTORY, listing.code, time_ns, first, second, third, 10**decimals, 2, flags)
        self.box.put(STALE, listing.code, time_ns, flags=listing.doubt)
        held, listing.held = listing.held, []
        for arguments in held:
            self.trade(listing, *arguments)

    def learn(self, listing: Listing) -> None:
        """Take the scale that prices have needed so far."""
        self.announce(listing, listing.numbers[NEEDED])

    def doubt(self, listing: Listing, why: Doubt) -> None:
        """A book may be wrong from here on."""
        self.wanting[listing.symbol] = listing
        if not listing.doubt:
            listing.doubt = int(why)
            self.box.put(STALE, listing.code, self.when(0), flags=int(why))

    def doubt_all(self, why: Doubt) -> None:
        """Something was lost, and nobody knows of which instrument."""
        if not self.SEQUENCED:
            for listing in self.by_code:
                self.doubt(listing, why)

    def refuse(self, listing: Listing) -> int:
        """A message of an instrument's book cannot be believed."""
        self.doubt(listing, Doubt.VALUE)
        return REFUSED

    def snapshot(
        self, listing: Listing, shape: int, bids: bytes, asks: bytes, time_ns: int, other: int = 0
    ) -> int:
        """Write the whole book of an instrument anew; READ or REFUSED."""
        if not listing.ready:
            if not self._measure(listing, shape, bids, asks):
                return self.refuse(listing)
            self.learn(listing)
        box, begun = self.box, self.box.count
        box.put(CLEAR, listing.code, time_ns, flags=SNAPSHOT | PART)
        if self.put_levels(listing, shape, bids, asks, time_ns, other, SNAPSHOT) < 0:
            box.count = begun
            return self.refuse(listing)
        if box.count == begun + 1:
            box.count = begun
            box.put(CLEAR, listing.code, time_ns, flags=SNAPSHOT)
        box.put(FRESH, listing.code, max(listing.numbers[TIME], time_ns))
        self.wanting.pop(listing.symbol, None)
        box.tally["resyncs"] += listing.snapshots > 0
        listing.snapshots += 1
        listing.doubt = 0
        return READ

    def levels(self, listing, shape, bids, asks, time_ns, other=0, crc=NO_CHECKSUM) -> int:
        """Write what a message says of the levels of a book that was shown before."""
        if not listing.snapshots:
            return IGNORED
        if self.put_levels(listing, shape, bids, asks, time_ns, other, 0, crc) < 0:
            return self.refuse(listing)
        return READ

    def put_levels(self, listing, shape, bids, asks, time_ns, other, tags, crc=NO_CHECKSUM) -> int:
        """Write SET events; how many, negative where the message is refused."""
        box = self.box
        while True:
            count = levels_json.update(
                listing.address, shape, id(bids) + TEXT_AT, len(bids), id(asks) + TEXT_AT,
                len(asks), box.address + 64 * box.count, box.room - box.count, tags, time_ns,
                other, crc,
            )  # fmt: skip
            if count != NO_ROOM:
                break
            box.grow()
        if count > 0:
            box.count += count
        return count

    def check(self, listing: Listing, crc: int, time_ns: int) -> None:
        """Write the venue's checksum of a snapshot."""
        numbers = listing.numbers
        self.box.put(
            CHECK, listing.code, time_ns, crc, 0, numbers[PRICE_PRINTED],
            numbers[QUANTITY_PRINTED], flags=listing.checked_as,
        )  # fmt: skip

    def trade(self, listing, price, quantity, time_ns, match, side, flags=0) -> int:
        """Write a trade, price and quantity given as texts of JSON; READ or REFUSED."""
        if listing.ready:
            return self.put_single(listing, TRADE, price, quantity, time_ns, 0, match, side, flags)
        if not self.look(listing, price, quantity):
            return REFUSED
        listing.held.append((price, quantity, time_ns, match, side, flags))
        if len(listing.held) >= HELD_MAX:
            self.learn(listing)
        return READ

    def put_single(
        self, listing, kind, price, quantity, time_ns, order, other, side, flags=0
    ) -> int:
        """Write one event with a price and a quantity, texts of JSON; READ or REFUSED."""
        box = self.box
        if box.left == 0:
            box.grow()
        count = levels_json.single(
            listing.address, kind, id(price) + TEXT_AT, len(price), id(quantity) + TEXT_AT,
            len(quantity), box.target, flags, time_ns, order, other, side,
        )  # fmt: skip
        if count < 0:
            return REFUSED
        box.count += 1
        return READ

    def look(self, listing: Listing, price: bytes, quantity: bytes) -> bool:
        """Let a price and a quantity teach the scale; False where they are no numbers."""
        before = listing.numbers[NEEDED]
        count = levels_json.single(
            listing.address, TRADE, id(price) + TEXT_AT, len(price), id(quantity) + TEXT_AT,
            len(quantity), 0, 0, 0, 0, 0, 0,
        )  # fmt: skip
        return self._believe(listing, before, count >= 0)

    def _measure(self, listing: Listing, shape: int, bids: bytes, asks: bytes) -> bool:
        """Let a snapshot teach the scale; False, and nothing learned, where it is none."""
        before, good = listing.numbers[NEEDED], True
        for text in (bids, asks):
            at = id(text) + TEXT_AT
            if text and levels_json.measure(listing.address, shape, at, len(text)) < 0:
                good = False
        return self._believe(listing, before, good)

    @staticmethod
    def _believe(listing: Listing, before: int, good: bool) -> bool:
        """Keep what was learned, unless it was no number or has more decimals than any price."""
        if good and listing.numbers[NEEDED] <= DECIMALS_MAX:
            return True
        listing.numbers[NEEDED] = before
        return False
