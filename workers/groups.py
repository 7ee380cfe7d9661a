"""What the numbers in CONSOLIDATED records mean: name and units of the group of an instrument."""

from collections.abc import Mapping

from ringbuf.board import Board
from workers.enriched import ConsolidatedOptions
from workers.instruments import Names, Unit


class Groups:
    """Groups as the configuration has them; instruments find theirs by source and symbol."""

    def __init__(self, options: Mapping[str, ConsolidatedOptions], names: Names) -> None:
        self.names, self.options = names, options
        self.places = {
            place: Unit(name, 10**group.price_decimals, 10**group.lot_decimals)
            for name, group in options.items()
            for place in group.places()
        }

    def unit(self, instrument: int) -> Unit:
        """Name and units of an instrument's group; its own where it is in none."""
        unit = self.names.unit(instrument)
        return self.places.get((unit.source, unit.symbol), unit)

    def all(self) -> list[str]:
        """The names of the groups."""
        return list(self.options)


class ShownGroups:
    """Groups as the board of a running pipeline shows them."""

    def __init__(self, board: Board, names: Names) -> None:
        self.board, self.names = board, names
        self.known: dict[int, Unit] = {}

    def unit(self, instrument: int) -> Unit:
        """Name and units of an instrument's group; its own where it is in none yet."""
        if instrument not in self.known:
            for row in self.board.all():
                scales = int(row["price_scale"]), 10 ** int(row["lot_decimals"])
                unit = Unit(row["name"].decode(), *scales)
                self.known |= dict.fromkeys(row["venues"][row["venues"] >= 0].tolist(), unit)
        return self.known.get(instrument) or self.names.unit(instrument)

    def all(self) -> list[str]:
        """The names of the groups."""
        return [row["name"].decode() for row in self.board.all()]
