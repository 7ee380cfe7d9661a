"""The benchmark of the gate: all see the same orders, and verdicts that differ are no result."""

import numpy as np
import pytest

from bench import c_program, gate, gate_engine, gate_risk, gate_var
from bench.gate import FREE, LIMITED
from bench.gate_engine import Gate
from bench.gate_risk import Desk
from bench.harness import BenchError, Options
from ringbuf.jit import compiled
from tests.naive.matching import Asked, Matching, Order
from tests.naive.matching_gate import reasons_against
from workers.kernels.engine_settings import AccountLimits, Settings
from workers.kernels.resting import Limits
from workers.orders import Reject

SIZE = gate.SHORT if compiled() else gate.TINY
WORDS = 8


@pytest.fixture(scope="module")
def judged() -> Gate:
    found = Gate(SIZE, limited=True)
    found.run()
    return found


def twin_of(judged: Gate) -> Matching:
    """The naive twin, told the same, with the same at stake."""
    limits = [
        AccountLimits(*(int(row[name]) for name in AccountLimits._fields))
        for row in judged.accounts()
    ]
    room = Limits(gate_engine.ROOM, gate_engine.ROOM, SIZE.instruments)
    naive = Matching(Settings(room, SIZE.instruments, limits))
    for events in gate_engine.opening(SIZE):
        for event in events:
            naive.apply(Asked(*(int(event[name]) for name in Asked._fields)))
    for number, (row, held) in enumerate(zip(judged.accounts(), judged.standings(), strict=True)):
        account = naive.accounts[number]
        account.switched, account.open = bool(row["switched"]), int(row["open"])
        for rule in range(SIZE.instruments):
            one = held[rule + 1]
            account.standings[rule] = [
                int(one["position"]),
                *one["open"].tolist(),
                int(one["held"]),
            ]
    return naive


def test_the_verdicts_are_the_twins(judged):
    naive, found = twin_of(judged), []
    for event in judged.orders:
        asked = naive.asked = Asked(*(int(event[name]) for name in Asked._fields))
        market = naive.market = naive.markets[asked.instrument]
        order = Order(
            asked.order, asked.other, asked.side, asked.flags, asked.price, asked.quantity
        )
        order.worth = order.price or market.base
        found.append(reasons_against(naive, order, None))
    assert judged.verdicts.tolist() == found


def test_every_pass_and_every_way_of_timing_judges_the_same(judged):
    found = judged.verdicts.copy()
    judged.run_sampled()
    assert (judged.verdicts == found).all()
    free = Gate(SIZE, limited=False)
    free.run()
    gate.check(found, free.verdicts)


def test_verdicts_that_nothing_explains_are_refused(judged):
    free = judged.verdicts & ~int(gate.OF_ACCOUNTS)
    wrong = free.copy()
    wrong[5] ^= int(Reject.OFF_TICK)
    with pytest.raises(BenchError, match="differ by more"):
        gate.check(judged.verdicts, wrong)
    without = judged.verdicts & ~int(Reject.RATE)
    with pytest.raises(BenchError, match="RATE"):
        gate.check(without, free)


@pytest.mark.skipif(not c_program.available(), reason="gcc is absent")
def test_the_c_program_compares_its_verdicts(judged, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    judged.write(good)
    data = bytearray(good.read_bytes())
    data[-WORDS] ^= 1
    bad.write_bytes(data)
    assert c_program.gate(good, 2, gate.SAMPLE_EVERY, 0)["ns"] > 0
    with pytest.raises(BenchError, match="wrong"):
        c_program.gate(bad, 2, gate.SAMPLE_EVERY, 0)


def test_answers_that_do_not_come_true_are_refused(monkeypatch):
    monkeypatch.setattr(gate_risk, "INSTRUMENTS", 4)
    desk = Desk(3, 60)
    desk.check()
    monkeypatch.setattr(gate_risk.positions, "var_99", lambda state, portfolio: -1)
    with pytest.raises(BenchError, match="foreseen was"):
        desk.check()


def test_the_whole_benchmark():
    result = gate.run(Options(short=True))
    moved = set(gate_var.MOVED)
    wanted = {LIMITED, FREE, gate_var.ADDING, gate_var.HELD, *moved}
    wanted |= {gate_risk.SMALL, gate_risk.LARGE, gate_risk.TREE, gate_risk.MARK}
    assert wanted <= set(result.variants)
    assert all(result.median(name, "ns") > 0 for name in result.variants)
    assert all(result.ratio(*pair) > 0 for pair in result.pairs.items())
    timed = [name for name in result.variants if name not in moved]
    assert np.isfinite([result.median(name, "one p99") for name in timed]).all()


def test_verdicts_of_value_at_risk_that_nothing_explains_are_refused():
    free = gate_var.VarGate(SIZE, 40, held=False)
    held = gate_var.VarGate(SIZE, 40, held=True)
    free.run()
    held.run()
    gate_var.check(free.verdicts, held.verdicts)
    with pytest.raises(BenchError, match="all orders, or none"):
        gate_var.check(free.verdicts, free.verdicts)
    with pytest.raises(BenchError, match="more than that limit"):
        gate_var.check(free.verdicts ^ int(Reject.OFF_LOT), held.verdicts)


def test_marks_that_move_are_taken_up_before_the_next_order():
    held = gate_var.VarGate(SIZE, 40, held=True)
    before = held.value_at_risk(gate_var.ONE)
    held.run_moved(1 << 16)
    assert held.value_at_risk(gate_var.ONE) != before
