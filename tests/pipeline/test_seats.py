"""What a configuration may ask of the readers of a ring."""

import msgspec
import pytest

from pipeline.config import Placement
from pipeline.seats import seat_faults, seats_of
from ringbuf.ring import Policy


def manners(**stages) -> dict[str, Placement]:
    return {name: msgspec.convert(table, Placement) for name, table in stages.items()}


@pytest.mark.parametrize(
    ("stages", "fault"),
    [
        ({"risk": {"lag": {"bok": "drop"}}},
         "stages.risk.lag.bok: risk does not read that ring; did you mean 'book'? known: book"),
        ({"risk": {"after": {"risk": "publisher"}}},
         "stages.risk.after.risk: risk does not read that ring; known: book"),
        ({"book": {"lag": {"events": "drop"}}},
         "stages.book.lag: book must see every record; use 'gate'"),
        ({"risk": {"after": {"book": "book"}}},
         ("stages.risk.after.book: 'book' does not read that ring beside risk; known: journal, "
          "publisher")),
        ({"risk": {"after": {"book": "publisher"}}, "publisher": {"after": {"book": "risk"}}},
         ("stages.risk.after.book: risk after publisher after risk is a circle; leave one of "
          "them out")),
        ({"risk": {"after": {"book": "publisher"}}, "publisher": {"lag": {"book": "drop"}}},
         ("stages.risk.after.book: nobody waits for publisher on this ring, so it can come neither "
          "before nor after another; set stages.publisher.lag.book = 'gate'")),
    ],
)  # fmt: skip
def test_every_fault_says_where_and_how_to_mend_it(stages, fault):
    assert fault in seat_faults(manners(**stages))


def test_good_manners_have_no_faults():
    good = manners(
        risk={"after": {"book": "publisher"}},
        publisher={"lag": {"book": "gate", "risk": "drop"}},
    )
    assert seat_faults(good) == []


def test_readers_are_named_behind_those_they_come_after():
    chosen = manners(risk={"after": {"book": "publisher"}})
    names = ["ingest", "book", "risk", "publisher"]
    seats = seats_of("book", names, chosen, dict.fromkeys(names, False))
    assert [(seat.name, seat.after) for seat in seats] == [("publisher", ""), ("risk", "publisher")]
    assert all(seat.policy is Policy.GATE for seat in seats)
    assert seats_of("events", names, chosen, dict.fromkeys(names, True))[0].parks
