"""From two looks at a pipeline to rates, health and a screen: no pipeline, no terminal."""

import pytest
from msgspec.structs import replace
from rich.console import Console

from pipeline.console import policy
from pipeline.rings import ReaderReport, RingReport
from pipeline.screen import (
    BAR,
    BEAT_MAX_S,
    Health,
    Look,
    PortfolioLook,
    StageLook,
    bar,
    duration,
    full_share,
    health,
    is_over,
    is_trouble,
    per_second,
    screen,
    spread,
)
from ringbuf.histogram import Summary, bucket, empty
from ringbuf.panel import Life

OK = Health("ok", [])
STAGE = StageLook(
    life=Life.RUNNING,
    pid=100,
    alive=True,
    beat_age_s=0.01,
    taken=0,
    given=0,
    turns=0,
    troubles={"book.unknown_order": 0, "book.orders_full": 0},
    rss_bytes=150_000_000,
    cpu_s=0.0,
    core=1,
    ran_on=1,
    starts=1,
    message="",
)
READER = ReaderReport(
    name="book",
    policy="gate",
    after="",
    position=0,
    read=0,
    missed=0,
    replayed=0,
    behind=False,
    lag=0,
    empty_s=0.0,
    asleep=False,
    pid=200,
    alive=True,
    beat_age_s=0.04,
)
RING = RingReport(
    name="events",
    writer="ingest",
    capacity=8192,
    written=0,
    closed=False,
    gated=0,
    high_water=0,
    full_s=0.0,
    wakes=0,
    pid=100,
    alive=True,
    beat_age_s=0.02,
    readers=[READER],
)


def ring(*readers: ReaderReport, **change) -> RingReport:
    """The ring with some of it changed."""
    return replace(RING, readers=[*readers] or RING.readers, **change)


def reader(**change) -> ReaderReport:
    """The reader with some of it changed."""
    return replace(READER, **change)


def look(at_s: float = 0.0, events: RingReport = RING, **stages: StageLook) -> Look:
    """A pipeline of two stages and a ring between them, some of it given."""
    return Look(
        pipeline="day",
        run_id="20260101T000000-1",
        up_s=3_723.0,
        at_s=at_s,
        stages={"ingest": STAGE, "book": STAGE, **stages},
        rings={"events": events},
        hops={},
        prices=[],
        portfolios=[],
    )


def text(earlier: Look, now: Look, state: Health = OK) -> str:
    console = Console(width=100, no_color=True)
    with console.capture() as captured:
        console.print(screen(earlier, now, state))
    return captured.get()


def line(shown: str, start: str) -> list[str]:
    """The words of the line that starts so."""
    rows = (row for row in shown.splitlines() if row.startswith(f"{start} "))
    (found,) = (row.split() for row in rows if not row.startswith(f"{start} →"))
    return found


def summary(*values: int) -> Summary:
    histogram = empty()
    for value in values:
        histogram["counts"][0][bucket(value)] += 1
        histogram["highest"] = max(int(histogram["highest"][0]), value)
    return Summary(histogram[0])


def test_a_pipeline_that_runs_is_ok():
    assert health(look(), look(1.0)) == OK


def test_a_pipeline_that_gets_ready_is_ok_and_says_who_is_late():
    late = STAGE._replace(life=Life.STARTING, beat_age_s=40.0)
    assert health(look(book=late), look(1.0, book=late)) == Health(
        "ok", ["waiting for book to get ready"]
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"life": Life.FAILED, "message": "ValueError: no"}, "book failed: ValueError: no"),
        ({"life": Life.FAILED}, "book failed: no reason given"),
        ({"alive": False}, "book: its process 100 is gone"),
        ({"alive": False, "message": "hung"}, "book: its process 100 is gone: hung"),
    ],
)
def test_a_stage_that_failed_or_died_fails_the_pipeline(change, reason):
    assert health(look(), look(1.0, book=STAGE._replace(**change))) == Health("failed", [reason])


@pytest.mark.parametrize(
    "change",
    [
        {"life": Life.FINISHED, "alive": False, "beat_age_s": 99.0},
        {"life": Life.ABSENT, "alive": False, "pid": 0, "beat_age_s": 99.0},
        {"beat_age_s": BEAT_MAX_S},
    ],
)
def test_what_is_no_failure(change):
    assert health(look(), look(1.0, book=STAGE._replace(**change))).level == "ok"


def test_a_silent_heart_is_a_worry():
    for life in (Life.RUNNING, Life.DRAINING):
        silent = STAGE._replace(life=life, beat_age_s=2.5)
        worry = Health("degraded", ["book: no heartbeat for 2.5 s"])
        assert health(look(), look(1.0, book=silent)) == worry


def test_refusals_are_a_worry_while_they_grow():
    before = look(book=STAGE._replace(troubles={"book.unknown_order": 5}))
    after = look(1.0, book=STAGE._replace(troubles={"book.unknown_order": 1_205}))
    grown = "book.unknown_order grew by 1,200 to 1,205"
    assert health(before, after) == Health("degraded", [grown])
    assert health(after, after) == OK


def test_a_restart_is_a_worry():
    again = look(1.0, book=STAGE._replace(starts=2))
    assert health(look(), again) == Health("degraded", ["book died and was started again"])
    first = look(book=STAGE._replace(starts=0))
    assert health(first, look(1.0)) == OK


def test_a_ring_that_is_long_full_is_a_worry_and_the_slowest_that_gates_is_named():
    readers = reader(name="tap", lag=7), reader(lag=8000), reader(lag=9000, policy="drop")
    before = look(events=ring(*readers, full_s=3.0))
    after = look(2.0, events=ring(*readers, full_s=4.2))
    assert full_share(before, after, "events") == pytest.approx(0.6)
    (reason,) = health(before, after).reasons
    assert reason == "ring events was full for 60% of the time: book is behind"
    assert health(before, look(2.0, events=ring(*readers, full_s=4.0))) == OK
    dropping = ring(reader(policy="drop"), full_s=9.0)
    assert health(before, look(2.0, events=dropping)) == OK


def test_what_worried_does_not_once_all_have_finished():
    done = STAGE._replace(life=Life.FINISHED, alive=False, troubles={"book.bad_price": 3})
    assert health(look(), look(1.0, ingest=done, book=done)) == OK


def test_a_share_of_the_time_is_never_more_than_all_of_it():
    assert full_share(look(), look(1.0), "events") == 0.0
    assert full_share(look(), look(1.0, events=ring(full_s=1.5)), "events") == 1.0
    assert full_share(look(), look(0.0), "events") == 0.0


@pytest.mark.parametrize(
    ("counter", "yes"),
    [
        ("feed0.bad_frames", True),
        ("ingest.unknown_instrument", True),
        ("ingest.instruments_full", True),
        ("book.lost_replaces", True),
        ("book.over_execution", True),
        ("risk.refused", True),
        ("feed0.truncated", True),
        ("ingest.full", False),
        ("book.applied", False),
        ("sink0.skipped", False),
        ("feed0.ignored", False),
        ("bad.received", False),
    ],
)
def test_which_counters_count_trouble(counter, yes):
    assert is_trouble(counter) is yes


def test_a_pipeline_is_over_when_all_have_ended_somehow():
    done = STAGE._replace(life=Life.FINISHED, alive=False)
    died = STAGE._replace(alive=False)
    failed = STAGE._replace(life=Life.FAILED, alive=False)
    absent = STAGE._replace(life=Life.ABSENT, pid=0, alive=False)
    for end in (done, died, failed):
        assert is_over(look(ingest=done, book=end))
    for on in (STAGE, absent):
        assert not is_over(look(ingest=done, book=on))


def test_rates():
    assert per_second(100, 300, 0.5) == 400.0
    assert per_second(300, 100, 0.5) == 0.0  # began anew
    assert per_second(1, 2, 0.0) == 0.0


def test_the_screen_shows_what_happened_between_the_looks():
    before = look(10.0, book=STAGE._replace(taken=1_000, given=500, cpu_s=1.0))
    busy = STAGE._replace(taken=11_000, given=2_500, cpu_s=1.3, core=0, ran_on=1)
    events = ring(
        reader(position=5_100, read=4_904, missed=196, lag=3_900, empty_s=0.1),
        reader(name="tap", policy="drop", after="book", lag=9_000, pid=0),
        written=9_000,
        gated=8,
        high_water=4_096,
        full_s=0.05,
    )
    earlier = before._replace(rings={"events": ring(READER, reader(name="tap"))})
    shown = text(earlier, look(10.5, events=events, book=busy))
    assert line(shown, "book") == [
        "book", "running", "0.0", "s", "20,000", "4,000", "0", "60", "150", "0", "1", "1"
    ]  # fmt: skip
    nearly_half = bar(3_900 / 8192)
    assert line(shown, "events") == [
        "events", "18,000", "9,000", nearly_half, "48%", "4,096", "8", "10%", "ingest", "100",
        "0.0", "s",
    ]  # fmt: skip
    assert line(shown, "events → book") == [
        "events", "→", "book", "gate", "9,808", "4,904", "3,900", "196", "20%", "200", "0.0", "s"
    ]  # fmt: skip
    assert line(shown, "events → tap") == [
        "events", "→", "tap", "drop", "after", "book", "0", "0", "9,000", "0", "0%", "-", "-"
    ]  # fmt: skip


def test_who_is_at_the_ends_of_a_ring_and_since_when():
    ends = ring(reader(alive=False), alive=True, beat_age_s=3.21)
    shown = text(look(), look(1.0, events=ends))
    assert line(shown, "events")[-3:] == ["100", "3.2", "s"]
    assert line(shown, "events → book")[-2:] == ["200", "gone"]
    closed = text(look(), look(1.0, events=ring(closed=True)))
    assert line(closed, "events")[-1] == "closed"


def test_the_header_says_how_it_fares_and_why():
    shown = text(look(), look(1.0), Health("failed", ["book failed: a [tag] of its own"]))
    assert "day   run 20260101T000000-1   up 01:02:03   ● failed" in shown
    assert "book failed: a [tag] of its own" in shown
    many = text(look(), look(1.0), Health("degraded", [f"reason {n}" for n in range(9)]))
    assert "reason 3" in many
    assert "reason 4" not in many
    assert "and 5 more" in many


def test_latency_is_that_of_the_interval_beside_that_of_all_time():
    before = look()._replace(hops={"ingest → book": summary(*[1_000_000] * 90)})
    now = look(0.5)._replace(hops={"ingest → book": summary(*[1_000_000] * 90, *[500] * 10)})
    shown = line(text(before, now), "ingest → book")
    assert shown[3:11] == ["500", "ns"] * 4
    assert shown[12:14] == ["1", "ms"]


def test_the_highest_value_of_an_interval_is_its_own():
    assert spread(summary(900, 500) - summary(900))[-1] == "500 ns"
    assert spread(Summary()) == ["-"] * 4


def test_prices_and_portfolios_are_there_when_known():
    best = {"symbol": "AAPL", "bid": 585.33, "bid_quantity": 100, "ask": 585.4}
    best |= {"ask_quantity": 5, "traded": 585.35, "volume": 1_000_000}
    rich = look(1.0)._replace(
        prices=[best], portfolios=[PortfolioLook("growth", 1e6, -5.5, 2.25, 3.125, 1, "ok")]
    )
    shown = text(look(), rich)
    assert line(shown, "AAPL")[1:] == ["100", "585.33", "585.40", "5", "585.35", "1,000,000"]
    assert line(shown, "growth")[1:] == ["1,000,000.00", "-5.50", "2.25", "3.12", "1", "ok"]
    assert "AAPL" not in text(look(), look(1.0))


def test_the_best_over_venues_names_them_and_those_left_out():
    best = {
        "name": "BTC\x1b", "bid": 60_000.5, "bid_quantity": 0.25, "ask": 59_999.0,
        "ask_quantity": 3, "bid_venue": "feed0:BTCUSDT", "ask_venue": "feed1:XBT",
        "left_out": ["feed2:BTC"], "state": "crossed",
    }  # fmt: skip
    shown = text(look(), look(1.0)._replace(over_venues=[best]))
    assert line(shown, "BTC?")[1:] == [
        "0.25", "60,000.50", "59,999.00", "3", "feed0:BTCUSDT", "feed1:XBT", "crossed", "feed2:BTC"
    ]  # fmt: skip
    assert "over all venues" not in text(look(), look(1.0))


def test_a_busy_screen_fits_into_100_columns_without_folding():
    hop = {"end to end, book records": summary(999_999, 888_888_888, 123_456)}
    late = [
        reader(name="publisher", after="risk", position=999_999_999, read=999_999_999,
               lag=8192, missed=9_999_999, pid=4_194_304)
        for _ in range(3)
    ]  # fmt: skip
    events = ring(*late, written=999_999_999, gated=99_999_999, high_water=65_536, pid=4_194_304)
    fresh = ring(*[reader(read=990_000_000)] * 3, written=990_000_000)
    stage = STAGE._replace(taken=9_999_999, given=9_999_999, cpu_s=1.0, rss_bytes=2_000_000_000)
    stage = stage._replace(troubles={"book.bad_price": 12_345}, life=Life.FINISHED)
    now = look(1.0, events=events, publisher=stage)._replace(hops=hop)
    shown = text(look(events=fresh, publisher=STAGE), now)
    assert max(map(len, map(str.rstrip, shown.splitlines()))) <= 100
    assert len(line(shown, "publisher")) == 11
    assert shown.count("events → publisher") == 3
    assert "8,192  9,999,999" in shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "░" * BAR),
        (0.000_01, "▏" + "░" * (BAR - 1)),
        (0.5, "█" * (BAR // 2) + "░" * (BAR // 2)),
        (1.0, "█" * BAR),
        (1.5, "█" * BAR),
    ],
)
def test_bars(share, shown):
    assert bar(share) == shown


def test_durations():
    assert [duration(0), duration(59.9), duration(360_000)] == ["00:00:00", "00:00:59", "100:00:00"]


def test_what_lagging_behind_means_is_told_with_how_much_came_from_the_journal():
    assert policy(reader()) == "gate"
    assert policy(reader(after="book")) == "gate after book"
    assert policy(reader(policy="replay")) == "replay (0 from the journal)"
    away = reader(policy="replay", replayed=12_345, behind=True)
    assert policy(away) == "replay (12,345 from the journal, reading the journal)"
    assert policy(reader(replayed=7)) == "gate (7 from the journal)"  # a stage that came back
