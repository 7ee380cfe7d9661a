import hashlib

import numpy as np

from pipeline.matching_reports import digest, report_lines
from workers.orders import Liquidity, Why
from workers.records import REPORT, Book, Event, empty


def reports(*rows):
    records = empty(REPORT, len(rows))
    for record, row in zip(records, rows, strict=True):
        for name, value in row.items():
            record[name] = value
    return records


def test_lines_are_sorted_by_number_and_kind():
    lines = report_lines(
        reports(
            {"kind": Book.REPLACED, "time_ns": 4, "side": 1, "order": 7, "price": 10, "left": 5},
            {"kind": Book.TRADE, "time_ns": 4},
            {"kind": Book.FILL, "time_ns": 4, "order": 3, "price": 9, "state": Liquidity.MAKER},
            {"kind": Book.FILL, "time_ns": 4, "order": 7, "price": 9, "quantity": 2,
             "state": Liquidity.TAKER},
            {"kind": Book.CANCELED, "time_ns": 3, "order": 1, "price": 8, "state": Why.ASKED},
            {"kind": Book.REJECTED, "time_ns": 5, "order": 1, "state": Event.CANCEL_ORDER},
            {"kind": Book.REJECTED, "time_ns": 5, "order": 2, "state": Event.REPLACE_ORDER},
            {"kind": Book.REJECTED, "time_ns": 5, "order": 2, "state": Event.ORDER},
            {"kind": Book.ACCEPTED, "time_ns": 6, "side": 1, "order": 9, "price": 3, "quantity": 4},
        )
    )  # fmt: skip
    assert lines == [
        "2,3,0,1,8",
        "1,4,9,2,3,7",
        "3,4,1,7,10,5",
        "4,5,1",
        "5,5,2",
        "0,6,1,9,3,4",
    ]
    assert digest(lines) == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_no_records_make_no_lines():
    assert report_lines(np.zeros(0, REPORT)) == []
    assert digest([]) == hashlib.sha256(b"").hexdigest()
