"""The jitter meter, and the rule by which a tail is the platform's."""

import io
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from bench import jitter, report
from bench.harness import Options, Result, cores
from bench.jitter import METER, Watched, accounts, beside, covered, hit, merged, watch
from ringbuf.histogram import Summary, bucket, empty, note
from ringbuf.jit import compiled

SECOND = 1e9


def lost(*gaps_ns: int, ns: float = SECOND, **more) -> Watched:
    """A core that was watched for a second and showed these gaps."""
    histogram = empty()
    for gap in gaps_ns:
        note(histogram.ctypes.data, gap)
    more = {"neighbours_ns": 0, "hypervisor_ns": 0, "preempted": 0, **more}
    return Watched(ns, Summary(histogram[0]), **more)


def test_the_meter_sees_what_happens_between_two_readings(monkeypatch):
    """Every gap over the floor is noted, in ns, and no other."""
    readings = iter([0, 0, 50, 99, 1_099, 1_099, 1_150, 31_150, 32_000, 32_010, 32_020])
    plain = watch.py_func if compiled() else watch
    monkeypatch.setitem(plain.__globals__, "cycles", lambda: next(readings))
    meter, histogram = np.zeros(1, METER), empty()
    meter["histogram"], meter["floor"] = histogram.ctypes.data, 100
    meter["ns_per_cycle"] = 0.5
    monkeypatch.setitem(plain.__globals__, "at", lambda address, dtype: meter.view(np.recarray)[0])
    watched = plain(meter.ctypes.data, 32_010)
    summary = Summary(histogram[0])
    assert summary.sparse()["buckets"] == [[int(bucket(gap)), 1] for gap in (500, 15_000)]
    assert watched == 32_010 - (32_000 - 31_150)  # noting takes time, which is not watched


def test_a_core_is_watched_for_as_long_as_was_asked():
    place = cores(1)[0]
    watched = jitter.meter(place.number, 0.02)
    assert 0.005 * SECOND < watched.ns < SECOND
    assert watched.gaps.total < 100 * watched.ns
    assert min(watched[2:]) >= 0


def test_what_the_kernel_says_only_grows():
    number = cores(1)[0].number
    before = accounts(number)
    until = time.monotonic() + 0.05
    while time.monotonic() < until:
        pass
    assert all(later >= earlier for earlier, later in zip(before, accounts(number), strict=True))
    assert accounts(10_000)[1] == 0  # no such core: nothing stolen from it


def test_a_gap_counts_under_every_limit_that_it_exceeds():
    found = lost(
        900, 5_000, 50_000, 500_000, 5_000_000, ns=2 * SECOND, preempted=4,
        neighbours_ns=20_000_000, hypervisor_ns=40_000_000,
    ).metrics()  # fmt: skip
    assert found == pytest.approx(
        {
            ">1us /s": 2.0, ">10us /s": 1.5, ">100us /s": 1.0, ">1ms /s": 0.5,
            "lost %": 0.27779, "neighbours %": 1.0, "hypervisor %": 2.0,
            "preempted /s": 2.0, "longest us": 5_000.0,
        },
        rel=1e-3,
    )  # fmt: skip


def test_passes_are_one_long_one():
    passes = [{"core 0": lost(5_000)}, {"core 0": lost(7_000, 9_000), "core 1": lost()}]
    whole = merged(passes)
    assert whole["core 0"].ns == 2 * SECOND
    assert whole["core 0"].gaps.sparse() == lost(5_000, 7_000, 9_000).gaps.sparse()
    assert whole["core 1"].ns == SECOND


def test_one_sample_at_a_time_a_gap_hits_one_sample():
    core = lost(*[10_000] * 100)
    # 100 gaps a second, samples of 1 us: 100 of a million samples.
    assert hit(5_000, [core], each_ns=1_000) == pytest.approx(1e-4)
    assert hit(20_000, [core], each_ns=1_000) == 0.0
    assert hit(5_000, [core, core], each_ns=1_000) == pytest.approx(2e-4)


def test_samples_that_are_due_are_hit_as_long_as_the_gap_lasts():
    core = lost(*[10_000] * 100)
    # In 100 x 10 us of a second something falls due; in the first half of it, it is 5 us late.
    assert hit(0, [core]) == pytest.approx(1e-3, rel=1e-3)
    assert hit(5_000, [core]) == pytest.approx(5e-4, rel=2e-3)


def test_gaps_and_samples_by_simulation():
    """Samples drawn at random instants are late as often as the rule says."""
    random = np.random.default_rng(5)
    starts, lengths = np.sort(random.uniform(0, SECOND, 200)), random.integers(1e3, 1e5, 200)
    lengths = np.minimum(lengths, np.diff([*starts, 2 * SECOND]) - 1)
    lengths = np.maximum(lengths, 0).astype(int)
    due = random.uniform(0, SECOND, 400_000)
    number = np.clip(np.searchsorted(starts, due) - 1, 0, None)
    late = np.where(due >= starts[number], starts[number] + lengths[number] - due, 0)
    core = lost(*lengths.tolist())
    for longer in (1_000, 20_000, 50_000):
        assert hit(longer, [core]) == pytest.approx(np.mean(late >= longer), rel=0.1)


@pytest.mark.parametrize(
    ("value_ns", "tail", "ours"),
    [
        (10_500, 1e-4, False),  # as many gaps as the tail has samples: the platform's
        (10_500, 2e-4, False),  # they explain half of it
        (10_500, 1e-3, True),  # they explain a tenth
        (11_600, 1e-4, True),  # longer than any gap
        (1_050, 1e-4, True),  # hardly above the median
    ],
)
def test_a_tail_is_the_platforms_where_gaps_explain_half_of_it(value_ns, tail, ours):
    core = lost(*[10_000] * 100)
    assert covered(value_ns, tail, 1_000, [core], each_ns=1_000) is not ours


def result_of(unit: str, **metrics: float) -> Result:
    return Result("latency", "what", unit, "p50", "less", rounds=[{"ring": metrics}] * 2)


@pytest.mark.parametrize(("unit", "scale"), [("ns", 1.0), ("us", 1e3)])
def test_a_table_is_marked_and_has_the_gaps_beside_it(unit, scale):
    rows = {"p50": 1_000, "p99": 1_200, "p99.9": 1_300, "p99.99": 10_500, "max": 10_900}
    result = result_of(unit, **{name: value / scale for name, value in rows.items()})
    beside(result, [{"core 1": lost(*[10_000] * 100)}], samples=20_000, one_at_a_time=True)
    assert result.platform == {"ring": ["p99.99", "max"]}
    assert result.jitter["core 1"][">1us /s"] == 100
    out = Console(file=io.StringIO(), width=160)
    report.show(result, out)
    shown = out.file.getvalue()
    marked = {"ns": ("°10,500", "°10,900"), "us": ("°10.5", "°10.9")}[unit]
    assert all(word in shown for word in marked)
    assert shown.count("°") == 3  # and what it means
    assert "3,000 - 10,000" in shown
    assert "gaps by length" in shown


def test_no_tail_is_smaller_than_one_sample():
    """Of 100 samples p99.99 is the longest, and is judged like it."""
    result = result_of("ns", p50=1_000.0, **{"p99.99": 10_500.0, "max": 10_500.0})
    few, many = (jitter.merged([{"core 1": lost(*[10_000] * 100)}]) for _ in range(2))
    beside(result, [few], samples=100, one_at_a_time=True)
    assert result.platform == {"ring": []}
    beside(result, [many], samples=10_000, one_at_a_time=True)
    assert result.platform == {"ring": ["p99.99", "max"]}


def test_a_table_that_needs_no_mark_has_none():
    result = result_of("ns", p50=100.0, p99=120.0)
    beside(result, [{"core 1": lost()}], samples=100, one_at_a_time=True)
    assert result.platform == {"ring": []}
    out = Console(file=io.StringIO(), width=160)
    report.show(result, out)
    assert "°" not in out.file.getvalue()


def test_a_long_watch_is_done_in_pieces(monkeypatch):
    asked = []

    def answer(crew, places, seconds):
        asked.append(seconds)
        return {"core 0": lost(ns=seconds * SECOND)}

    monkeypatch.setattr(jitter, "meter_all", answer)
    assert jitter.long([], [], 35.0)["core 0"].ns == pytest.approx(35 * SECOND)
    assert max(asked) <= jitter.PIECE_S
    asked.clear()
    jitter.long([], [], 0.01)
    assert asked == [0.01]


def test_the_seconds_are_those_asked_for():
    result = jitter.run(Options(seconds=0.1))
    assert len(result.rounds) == 2
    assert set(result.gaps) == set(result.variants)
    for core, sparse in result.gaps.items():
        assert Summary.from_sparse(sparse).highest == pytest.approx(
            1e3 * max(result.values(core, "longest us"))
        )
    assert SimpleNamespace(**result.as_dict()).gaps == result.gaps
