"""`corelane order`: what it tells of orders of a real run, in which the book stage was killed."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from pipeline import order_life
from pipeline.order_life import Choice, NoSuchOrder, read, show
from pipeline.order_steps import REASONS, WHYS
from ringbuf.journal import JournalError, JournalReader
from tests.pipeline import logs, wishes
from tests.pipeline.desks import records
from tests.pipeline.running import Place
from tests.pipeline.running import corelane as another
from workers.orders import Liquidity, Reject, Why
from workers.records import REPORT, Book, Event, Side


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The journal of a run whose book stage was killed in the middle."""
    place = Place(tmp_path_factory.mktemp("run"))
    folder = place.folder / "journal"
    try:
        config = place.write(
            feeds=[{"kind": "orders", "path": str(wishes.scene(place.folder / "orders.jsonl"))}],
            book={"orders": 4096, "publish_levels": True, "matching": {}},
            ingest={"rate": 150.0},
            journal={"path": str(folder), "snapshot_s": 0.3},
        )
        running = place.start(config)
        running.until_received("book", 300)
        running.kill("book")
        running.until(lambda: running.starts("book") == 2, "book is back")
        running.until_received("book", 310)
        ran = another("order", 1, "--journal", folder, "--symbol", "ACME")
        assert "order 1 of ACME, account 0" in ran.out
        ended = running.end()
        assert ended.code == 0, ended.err
        place.check_clean()
    finally:
        place.close()
    return folder


def steps(run: Path, number: int, symbol: str = "ACME", which: int = 0) -> list[tuple[str, str]]:
    """Kind and words of each step of an order."""
    life = read(Choice(number, run, symbol))[which]
    return [(step.kind, step.says) for step in life.steps]


def end(run: Path, number: int, symbol: str = "ACME", which: int = 0) -> str:
    """The line that sums an order up."""
    return [*read(Choice(number, run, symbol))[which].lines()][-1]


def match_of(run: Path, number: int, which: int = 0) -> int:
    fills = [step for step in read(Choice(number, run, "ACME"))[0].steps if step.kind == "fill"]
    assert fills[which].match is not None
    return fills[which].match


def test_a_life_with_a_partial_fill_a_replacement_and_a_cancel(run):
    first, second, third = (match_of(run, 1, number) for number in range(3))
    assert first < second < third == second + 1
    assert steps(run, 1) == [
        ("order", "buy 100 at 9.99 gtc by account 0"),
        ("accepted", "100 left at 9.99"),
        ("fill", f"30 at 9.99, 70 left, maker, against order 2, match {first}"),
        ("cancel_order", "by account 7"),
        ("rejected", "there is no such order of this account"),
        ("replace_order", "50 at 9.98 by account 0"),
        ("replaced", "50 left at 9.98: as asked"),
        ("fill", f"20 at 9.98, 30 left, maker, against order 4, match {second}"),
        ("fill", f"10 at 9.98, 20 left, maker, against order 3, match {third}"),
        ("cancel_order", "by account 0"),
        ("canceled", "20: as asked"),
    ]
    assert end(run, 1) == ("asked 80, traded 60 at 9.985 on average, lost 20, left 0: cancelled")


def test_orders_of_the_same_id_are_told_apart(run):
    lives = read(Choice(1, run))
    told = [(life.symbol, life.account, life.state) for life in lives]
    assert told == [
        ("ACME", 0, "cancelled"), ("ACME", 1, "rejected"), ("ACME", 6, "cancelled"),
        ("BETA", 4, "open"),
    ]  # fmt: skip
    assert [life.account for life in read(Choice(1, run, account=6))] == [6]
    assert steps(run, 1, which=1) == [
        ("order", "sell 40 at 9.98 gtc post only by account 1"),
        ("rejected", "an order of this id is there already; it would trade at once"),
    ]
    assert steps(run, 1, which=2)[-1] == ("canceled", "5: with all others of an account or side")
    assert end(run, 1, "BETA") == "asked 1, traded 0, lost 0, left 1: open"
    assert lives[3].steps[0].says == "sell 1 at 20.000 gtc by account 4"


def test_a_stop_is_triggered_by_the_trade_before(run):
    second = match_of(run, 1, 2)
    assert steps(run, 3) == [
        ("condition", "stop at 9.98"),
        ("order", "sell 10 at 9.50 ioc by account 1"),
        ("accepted", "10 left at 9.50"),
        ("triggered", "its stop price was reached, 10 left at 9.50"),
        ("fill", f"10 at 9.98, nothing left, taker, against order 1, match {second}"),
    ]
    assert end(run, 3) == "asked 10, traded 10 at 9.98 on average, lost 0, left 0: filled"


def test_an_iceberg_that_expires(run):
    told = steps(run, 5)
    assert told[0] == ("condition", "shows 10 at a time, until 2023-11-14T22:23:20.000000000Z")
    assert [kind for kind, _ in told[1:]] == [
        "order", "accepted", "fill", "replaced", "fill", "canceled",
    ]  # fmt: skip
    assert told[4] == ("replaced", "30 left at 12.00: it shows its next part, at the tail")
    assert told[6] == ("canceled", "25: its time, or its day, was over")
    assert end(run, 5) == "asked 40, traded 15 at 12 on average, lost 25, left 0: cancelled"


def test_refusals_and_what_is_prevented(run):
    assert steps(run, 7)[1] == ("rejected", "not all of it can trade at once")
    assert end(run, 7) == "asked 1,000, traded 0, lost 0, left 0: rejected"
    assert steps(run, 10)[-1] == ("canceled", "5: it would have met an order of the same account")
    assert steps(run, 99) == [
        ("cancel_order", "by account 0"),
        ("rejected", "there is no such order of this account"),
    ]
    assert end(run, 99) == "asked 0, traded 0, lost 0, left 0: unknown"


def test_an_auction_has_two_sides(run):
    assert "10 at 9.00, nothing left, auction, against order 9, match " in steps(run, 8)[-1][1]
    first, second = (words for _, words in steps(run, 9)[-2:])
    assert "10 at 9.00, 2 left, auction, against order 8, match " in first
    assert "2 at 9.00, nothing left, auction, against order 1, match " in second
    assert end(run, 9) == "asked 12, traded 12 at 9 on average, lost 0, left 0: filled"


def test_the_command_prints_them_and_json(run):
    ran = logs.corelane("order", "3", "--journal", run)
    assert ran.exit_code == 0
    first, header, *rows, last = ran.output.splitlines()
    assert first == "order 3 of ACME, account 1"
    assert header.split() == ["event", "book", "time", "kind", "what"]
    assert len(rows) == 5
    assert rows[0].split()[1] == "-"
    assert last == end(run, 3)
    (life,) = json.loads(logs.corelane("order", "3", "--journal", run, "--json").output)
    assert (life["state"], life["traded"], life["average"]) == ("filled", 10, 9.98)
    fill = life["steps"][-1]
    assert (fill["kind"], fill["against"], fill["liquidity"]) == ("fill", 1, "taker")
    assert life["steps"][0]["stop"] == 9.98
    (life,) = json.loads(logs.corelane("order", "7", "--journal", run, "--json").output)
    assert life["steps"][1]["reasons"] == ["fok"]


def test_slices_of_any_length_tell_the_same(run, monkeypatch):
    wanted = [read(Choice(number, run)) for number in (1, 5, 8, 1003)]
    for slice_, around in ((1, 8), (7, 8), (100, 64)):
        monkeypatch.setattr(order_life, "SLICE", slice_)
        monkeypatch.setattr(order_life, "AROUND", around)
        assert [read(Choice(number, run)) for number in (1, 5, 8, 1003)] == wanted


def test_every_order_of_the_run_adds_up(run):
    """Beside a walk through all records, one after another."""
    log = JournalReader(run / "book")
    book = log.read(1, log.last).view(REPORT)
    log.close()
    traded, match, pair = defaultdict(list), 0, []
    for row in book:
        if row["kind"] == Book.TRADE:
            match, pair = int(row["left"]), []  # where a TRADE has its match number
        elif row["kind"] == Book.FILL:
            pair.append(row)
            if len(pair) == 2:
                for one, other in (pair, pair[::-1]):
                    key = int(one["instrument"]), int(one["order"])
                    traded[key].append((int(one["quantity"]), int(other["order"]), match))
    flow = sorted({number for instrument, number in traded if instrument == 2})
    assert len(flow) > 100
    for number in flow[::10]:
        (life,) = read(Choice(number, run, "FLOW"))
        fills = [step for step in life.steps if step.kind == "fill"]
        told = [(step.quantity, step.against, step.match) for step in fills]
        assert told == traded[2, number]
        assert life.asked == life.traded + life.lost + life.left
        assert life.traded == sum(quantity for quantity, *_ in traded[2, number])
        assert life.state in ("open", "filled", "cancelled")


def refusal(*choice) -> str:
    with pytest.raises(NoSuchOrder) as caught:
        show(Choice(*choice), False)
    return str(caught.value)


def test_an_order_that_is_not_there(run):
    assert refusal(1500_000, run).startswith("there is no order 1500000 among ")
    assert "; near it: 8, 9, 10" in refusal(11, run)
    assert refusal(1, run, "ACNE") == (
        "--symbol ACNE: no such symbol; did you mean 'ACME'? there is ACME, BETA, FLOW"
    )
    assert refusal(3, run, "BETA") == "order 3 is one of ACME (account 1); ask for that"
    assert refusal(3, run, None, 9) == "order 3 is one of ACME (account 1); ask for that"
    ran = logs.corelane("order", "123456", "--journal", run)
    assert (ran.exit_code, len(ran.output.splitlines())) == (2, 1)


def test_journals_without_orders_and_without_anything(tmp_path):
    folder = logs.whole_run(tmp_path / "journal")
    assert "has no orders of clients at all" in refusal(7_000, folder)
    with pytest.raises(JournalError, match="is no journal of a pipeline"):
        read(Choice(1, tmp_path))
    assert logs.corelane("order", "1", "--journal", tmp_path).exit_code == 2
    assert logs.corelane("order", "1").exit_code == 2


def made(tmp_path, events: list[dict], book: list[dict]) -> Path:
    """A journal with these events behind announcements, and these reports."""
    told = np.concatenate([logs.directory(), *(records("event", 1, **one) for one in events)])
    reports = [records("accepted", 1, **{"index": 0, **one}) for one in book]
    logs.write(tmp_path, "events", told)
    logs.write(tmp_path, "book", np.concatenate([logs.answers(0).view(REPORT), *reports]))
    return tmp_path


ASKED = {"kind": Event.ORDER, "order": 5, "other": 2, "price": 100, "quantity": 8, "instrument": 2}


def test_what_is_not_answered_yet(tmp_path):
    run = made(tmp_path, [ASKED], [])
    assert end(run, 5, "E?[2J") == "asked 8, traded 0, lost 0, left 0: unanswered"


def test_answers_to_events_that_are_not_in_the_log_yet_wait(tmp_path):
    accepted = {"kind": Book.ACCEPTED, "order": 5, "left": 8, "cause": 5, "instrument": 2}
    run = made(tmp_path, [ASKED], [accepted])
    assert [kind for kind, _ in steps(run, 5, "E?[2J")] == ["order"]


def test_an_order_from_before_the_log(tmp_path):
    fill = {"kind": Book.FILL, "order": 5, "instrument": 2, "price": 100, "cause": 1}
    run = made(
        tmp_path,
        [],
        [
            {**fill, "quantity": 2, "left": 6, "state": Liquidity.MAKER},
            {**fill, "quantity": 3, "left": 3, "state": Liquidity.TAKER, "side": Side.ASK},
        ],
    )
    life = read(Choice(5, run))[0]
    assert next(life.lines()) == "order 5 of E?[2J, from before this log"
    assert end(run, 5, "E?[2J") == "asked 8, traded 5 at 100 on average, lost 0, left 3: open"
    assert [step.match for step in life.steps] == [None, None]


def test_every_reason_has_words():
    assert set(REASONS) == set(Reject)
    assert set(WHYS) == set(Why)
