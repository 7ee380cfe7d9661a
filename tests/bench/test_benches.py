"""Every benchmark runs, checks its payload and returns what tables, JSON and plots need."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from bench import c_program, report, traffic
from bench.harness import BenchError, Options, cores
from bench.registry import BENCHES, run_benches
from ringbuf import memory, ring, share
from ringbuf.record import LINE

needs_gcc = pytest.mark.skipif(not c_program.available(), reason="gcc is absent")
needs_two_cores = pytest.mark.skipif(cores(2)[-1].shared, reason="one core only")
HEADLINES = {"throughput": "rate", "latency": "p50", "jitter": "lost %", "histograms": "ns"}


@pytest.mark.parametrize("name", list(HEADLINES))
def test_a_benchmark_runs_shows_and_keeps_its_results(name, tmp_path):
    if name == "latency" and cores(2)[-1].shared:
        pytest.skip("a round trip needs two cores")
    shown = Console(file=io.StringIO(), width=120)
    kept, picture = tmp_path / "results.json", tmp_path / "results.svg"
    (result,) = run_benches([name], kept, picture, Options(short=True), shown)

    assert result.name == name
    assert result.headline == HEADLINES[name]
    assert len(result.rounds) == 2
    for variant in result.variants:
        assert result.median(variant, result.headline) >= 0
        assert variant in shown.file.getvalue()
    for variant, against in result.pairs.items():
        assert {variant, against} <= set(result.variants)
        assert result.ratio(variant, against) > 0
    read = json.loads(kept.read_text())
    assert read["host"]["cores"] >= 1
    assert read["benches"][0]["rounds"] == result.rounds
    assert read["benches"][0]["medians"].keys() == set(result.variants)
    assert picture.read_text().count("<svg") == 1


def test_every_registered_benchmark_is_described():
    for name, bench in BENCHES.items():
        assert bench.name == name
        assert bench.what
        assert callable(bench.run)


def test_nothing_is_left_in_shared_memory():
    with traffic.Rings(128, there=1, back=2) as rings:
        pipeline = rings.pipeline
        assert len(memory.names(pipeline)) == 2
    assert memory.names(pipeline) == []


def sent_and_read(count: int, stamped: bool) -> np.ndarray:
    """The tally of a reader after so many records, writer and reader taking turns."""
    with traffic.Rings(128, there=1) as rings:
        writer = share.RingWriter(rings.pipeline, "there", traffic.LAYOUTS)
        reader = share.RingReader(rings.pipeline, "there", traffic.LAYOUTS, "reader-0")
        sent, sending = traffic.new_tally()
        read, reading = traffic.new_tally()
        while read["next"][0] <= count:
            traffic.produce(sending, writer.view, count, stamped, 1, 64)
            traffic.consume(reading, reader.view, count, True, 1)
        writer.close()
        reader.close()
    assert sent["next"][0] == count + 1
    return read


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_what_is_sent_is_read_once_and_whole(count):
    read = sent_and_read(count, stamped=True)
    naive = sum(sequence + word for sequence in range(1, count + 1) for word in range(7))
    naive += sum(range(1, count + 1))
    assert read["total"][0] == naive == traffic.expected(count)
    assert read["late"][0] == 0


def test_records_without_a_stamp_are_noticed():
    assert sent_and_read(100, stamped=False)["late"][0] == 100


def test_a_wrong_payload_is_refused():
    traffic.check(traffic.expected(10), 10, "reader")
    with pytest.raises(BenchError, match="reader: the payload adds up to"):
        traffic.check(traffic.expected(10) + 1, 10, "reader")


def test_a_side_left_alone_gives_up_instead_of_hanging(monkeypatch):
    monkeypatch.setattr(traffic, "ANSWER_S", 0.02)
    with pytest.raises(BenchError, match="stuck at record 1 of 5"):
        traffic.until_done(5, lambda: 1, shared=True)


@needs_gcc
def test_the_c_program_has_the_layout_of_the_ring():
    source = c_program.SOURCE.read_text()
    for name in ("SPACING", "READERS_MAX", "AHEAD", "RELEASE_EVERY"):
        assert f"{name} = {getattr(ring, name)}," in source
    assert traffic.TRAFFIC.itemsize == LINE


@needs_gcc
def test_the_c_program_verifies_its_payload():
    one, two = [core.number for core in cores(2)]
    rates = c_program.throughput(1024, 20_000, 1_000, True, 50, [one, two, two])
    assert len(rates) == 2
    assert min(rates) > 0


@needs_gcc
@needs_two_cores
def test_percentiles_of_the_c_program_rise():
    found = c_program.round_trip(1024, 2_000, 100, 1, True, [core.number for core in cores(2)])
    names = [f"p{percent:g}" for percent in report.PERCENTS] + ["max"]
    values = [found[name] for name in names]
    assert values == sorted(values)


@needs_gcc
def test_wrong_words_for_the_c_program_are_an_error():
    with pytest.raises(BenchError, match="usage"):
        c_program._answer(["nonsense"])


def test_without_a_compiler_the_c_program_says_so(monkeypatch):
    monkeypatch.setattr(c_program, "COMPILER", "no-such-compiler")
    c_program.built.cache_clear()
    assert not c_program.available()
    with pytest.raises(BenchError, match="no gcc"):
        c_program.built()
