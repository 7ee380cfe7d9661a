"""What is configured of a feed of an exchange's JSON, whichever exchange it is."""

from urllib.parse import urlsplit

import msgspec

from workers.feeds.lobster import symbol_bytes

DECIMALS_MAX = 15  # of a price or a lot: what a DIRECTORY event can tell
LOTS = 8  # decimals of a lot, where nothing else is said
SILENCE = 60.0


class VenueOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A recorded capture by `path`, or the live service by `url`."""

    path: str | None = None  # a capture: `<ns> <json>`, `<seconds>: <json>` or a Bitstamp log
    url: str | None = None  # ws:// or wss://
    symbols: list[str] = []  # as the venue writes them; a capture's: all, where none is named
    price_decimals: int | dict[str, int] | None = None  # None: what the first snapshot needs
    quantity_decimals: int | dict[str, int] = LOTS
    record: str | None = None  # live: write all that is received to this file, as a capture
    silence: float = SILENCE  # live: seconds without any message that end a connection

    def __post_init__(self) -> None:
        if (self.path is None) == (self.url is None):
            raise ValueError("give `path` (a capture) or `url` (the live service), one of both")
        if self.url is not None:
            check_address(self.url, "url", ("ws", "wss"))
            if not self.symbols:
                raise ValueError("`url` needs `symbols`: which instruments to subscribe to")
        elif self.record is not None:
            raise ValueError("`record` is for a live feed: set `url`, or leave it out")
        for symbol in self.symbols:
            symbol_bytes(symbol)
        if self.silence <= 0:
            raise ValueError(f"silence = {self.silence}: give seconds above 0")
        for name in ("price_decimals", "quantity_decimals"):
            self._check_decimals(name)

    def _check_decimals(self, name: str) -> None:
        given = getattr(self, name)
        for decimals in given.values() if isinstance(given, dict) else (given,):
            if decimals is not None and not 0 <= decimals <= DECIMALS_MAX:
                raise ValueError(f"{name}: {decimals} is not one of 0 to {DECIMALS_MAX}")

    def prices_of(self, symbol: str) -> int | None:
        """Decimals of a price unit of an instrument; None: to be learned."""
        given = self.price_decimals
        return given.get(symbol) if isinstance(given, dict) else given

    def lots_of(self, symbol: str) -> int:
        """Decimals of a lot of an instrument."""
        given = self.quantity_decimals
        return given.get(symbol, LOTS) if isinstance(given, dict) else given


def check_address(text: str, name: str, schemes: tuple[str, ...]) -> None:
    """ValueError for what is no address of one of the schemes."""
    parts = urlsplit(text)
    if parts.scheme not in schemes or not parts.hostname:
        first = schemes[-1]
        raise ValueError(f"{name} = {text!r}: write it as {first}://host/path")
    _ = parts.port  # a ValueError of its own for no number
