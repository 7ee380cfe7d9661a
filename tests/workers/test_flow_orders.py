"""Flows of the public benchmark: our reports are those that three other engines agreed on."""

import gzip
import json

import numpy as np
import pytest

from pipeline.matching_reports import digest, report_lines
from ringbuf.jit import compiled
from tests.data import DATA, data_file
from tests.workers.matches import Desk
from workers.kernels import flow_orders
from workers.kernels.engine_settings import Settings
from workers.kernels.flow_orders import FLOW_ORDER, HEADER_BYTES
from workers.kernels.resting import Limits
from workers.records import EVENT, MATCHED, Event, empty

FLOWS = ("normal", "static", "swing-25", "swing-40", "flash-crash")
CASES = "matching/consensus.json"


def events_of(messages: np.ndarray) -> np.ndarray:
    """The messages of a flow as events, the instrument announced before."""
    events = empty(EVENT, len(messages) + 1)
    events[0]["kind"], events[0]["flags"] = Event.DIRECTORY, MATCHED
    messages = messages.copy()
    target = events.ctypes.data + EVENT.itemsize
    assert flow_orders.decode(messages.ctypes.data, len(messages), target) == len(messages)
    return events


def flow(name: str) -> np.ndarray:
    with gzip.open(data_file(f"matching/orders_{name}_s23_n20000.bin.gz")) as file:
        return np.frombuffer(file.read(), FLOW_ORDER, offset=HEADER_BYTES)


def case(name: str) -> np.ndarray:
    rows = json.loads(data_file(CASES).read_text())["edge_cases"][name]["messages"]
    if name == "deep_recursive_sweep_5000":  # told in words there
        rows = [(0, 1, 0, 1, order, 100) for order in range(1, 5001)]
        rows.append((0, 0, 1, 5000, 5001, 100))
    messages = np.zeros(len(rows), FLOW_ORDER)
    for number, (kind, side, at_once, quantity, order, price) in enumerate(rows):
        messages[number] = (kind, side, at_once, 0, quantity, number, order, price, 0)
    return messages


def stream_digest(messages: np.ndarray) -> str:
    desk = Desk(Settings(Limits(1 << 15, 1 << 13, 1), 1))
    return digest(report_lines(desk.run(events_of(messages))))


def case_names() -> list[str]:
    path = DATA / CASES
    return sorted(json.loads(path.read_text())["edge_cases"]) if path.exists() else ["none"]


@pytest.mark.skipif(not compiled(), reason="a minute each in plain Python")
@pytest.mark.parametrize("name", FLOWS)
def test_flows_give_the_reports_that_others_give(name):
    wanted = json.loads(data_file(CASES).read_text())["scenarios"]
    assert stream_digest(flow(name)) == wanted[f"orders_{name}_s23_n20000.bin"]["sha256"]


@pytest.mark.parametrize("name", case_names())
def test_edge_cases_give_the_reports_that_others_give(name):
    wanted = json.loads(data_file(CASES).read_text())["edge_cases"][name]["sha256"]
    assert stream_digest(case(name)) == wanted


def test_decoding_stops_at_a_kind_that_nobody_knows():
    messages, events = np.zeros(3, FLOW_ORDER), empty(EVENT, 3)
    messages["kind"] = 0, 9, 0
    assert flow_orders.decode(messages.ctypes.data, 3, events.ctypes.data) == 1
