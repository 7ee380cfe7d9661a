"""The benches beside other transports: all run where they are installed, and lies are refused."""

import importlib.util
import io
import json
import multiprocessing
import os

import numpy as np
import pytest
from rich.console import Console

from bench import c_program, edge, harness, offered, peer_java, peer_python, peers, traffic
from bench.harness import BenchError, Options, Result, cores, percentiles, run_rounds
from bench.registry import run_benches
from ringbuf import memory, ring, share

needs_two_cores = pytest.mark.skipif(cores(2)[-1].shared, reason="one core only")
needs_java = pytest.mark.skipif(bool(peer_java.absent()), reason="no java, mvn or libraries")
SHORT = Options(short=True)


def shown_and_kept(name: str, tmp_path) -> tuple[str, list[Result], dict]:
    """A bench run short: what it printed, its tables, the JSON that was kept."""
    shown, kept = Console(file=io.StringIO(), width=160), tmp_path / "results.json"
    results = run_benches([name], kept, tmp_path / "results.svg", SHORT, shown)
    return shown.file.getvalue(), results, json.loads(kept.read_text())


def expected_rows() -> set[str]:
    """Whoever must be in every table on this machine."""
    rows = {"ring", "ring, with stamps", *peer_python.installed()}
    rows |= {"C"} if c_program.available() else set()
    return rows | (set() if peer_java.absent() else set(peer_java.MAINS))


@needs_two_cores
def test_peers_run_side_by_side_in_three_tables(tmp_path):
    told, results, kept = shown_and_kept("peers", tmp_path)
    assert [result.name for result in results] == ["peers 1→1", "peers 1→3", "peers round trip"]
    for result in results:
        assert expected_rows() <= set(result.variants)
        assert len(result.rounds) == 2
        for name in result.variants:
            assert result.median(name, result.headline) > 0
            assert name in told
        assert result.base_ratios().keys() == set(result.variants) - {"ring"}
    assert results[2].jitter.keys() == {f"core {place.number}" for place in cores(2)}
    assert set(results[2].rounds[0]["ring"]) == set(peers.TAILS)
    assert [bench["base_ratios"] for bench in kept["benches"]] == [
        result.base_ratios() for result in results
    ]
    assert memory.names(f"bench-{os.getpid()}") == []


@needs_two_cores
def test_every_rate_is_offered_to_everybody(tmp_path):
    told, results, _ = shown_and_kept("offered", tmp_path)
    assert [result.name for result in results] == ["offered 2,000/s", "offered 20,000/s"]
    for result in results:
        assert expected_rows() <= set(result.variants)
        for row in result.rounds:
            for metrics in row.values():
                assert 0 < metrics["p50"] <= metrics["p99"] <= metrics["p99.9"] <= metrics["max"]
        assert result.jitter.keys() == {f"core {place.number}" for place in cores(2)}
        assert result.name in told


def test_the_edge_of_python_is_measured_beside_queues(tmp_path):
    _, (result,), _ = shown_and_kept("edge", tmp_path)
    names = {edge.ONE, edge.MANY, edge.BARE, "multiprocessing.Queue put"}
    if importlib.util.find_spec("faster_fifo"):
        names.add("faster-fifo put")
    assert names == set(result.variants)


def test_an_edge_that_loses_records_is_refused():
    sent = np.zeros(3, traffic.TRAFFIC)
    kept = sent.copy()
    edge.check(kept, sent, 2 + edge.ARRAY, 2, 1)
    with pytest.raises(BenchError, match="the ring has 7 records"):
        edge.check(kept, sent, 7, 2, 1)
    kept["words"][1, 4] += 1
    with pytest.raises(BenchError, match="others than were pushed"):
        edge.check(kept, sent, 2 + edge.ARRAY, 2, 1)


@pytest.mark.parametrize("count", [1, 2, peer_python.BATCH])
def test_messages_carry_the_words_that_kernels_write(count):
    words = peer_python.words_of(peer_python.packed(5, count))
    naive = [word for s in range(5, 5 + count) for word in [*range(s, s + 7), s]]
    assert list(words) == naive
    assert peer_python.added_up(words) == sum(naive)
    assert len(words) == count * peer_python.WORDS


def test_the_sums_of_messages_are_those_of_kernels():
    last = 200
    total = sum(
        peer_python.added_up(peer_python.words_of(peer_python.packed(first, 50)))
        for first in range(1, last + 1, 50)
    )
    assert total == traffic.expected(last)


class Lane:
    """Both ends in one: what is sent is taken again, in order."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.counts: list[int] = []

    def send(self, first: int, count: int) -> None:
        self.messages.append(peer_python.packed(first, count))
        self.counts.append(count)

    def take(self):
        return peer_python.words_of(self.messages.pop(0))


@pytest.fixture
def lane(monkeypatch):
    lane = Lane()
    monkeypatch.setattr(peer_python, "ENDS", {"to there": lane, "from there": lane})
    return lane


def test_a_python_reader_refuses_what_was_not_sent(lane):
    peer_python.send_all(100, 8)
    assert lane.counts == [8] * 12 + [4]
    assert peer_python.take_all(10, 100) > 0
    peer_python.send_all(100, 8)
    lane.messages[3] = peer_python.packed(1, 8)
    with pytest.raises(BenchError, match="reader: the payload adds up to"):
        peer_python.take_all(10, 100)


def test_a_late_writer_sends_all_that_is_due_and_each_record_counts_from_its_own_time(lane):
    """Everything was due long ago: one message after another, and no record is left out."""
    start, period = -1_000_000_000, 1000.0
    assert peer_python.keep_up(150, start, period, 10**18) == 150
    assert lane.counts == [64, 64, 22, 1]
    late = peer_python.arrivals(start, period)
    assert len(late) == 150
    assert (-np.diff(late[:64]) == period).all()


def test_a_writer_that_cannot_hold_the_rate_gives_up_and_says_so(lane):
    assert peer_python.keep_up(10_000, -1_000_000_000, 1000.0, 1_000_000) == 0
    assert lane.counts == [1]
    assert len(peer_python.arrivals(0, 1000.0)) == 0


@pytest.mark.parametrize("peer", peer_python.installed())
def test_every_python_peer_carries_batches_and_single_records(peer, monkeypatch):
    """Both ends in this process: what goes in comes out, in order."""
    monkeypatch.setattr(harness, "INHERITED", peer_python.inherited(shared=False))
    with traffic.Rings(128, there=1) as rings:
        _, sender_of, taker_of = peer_python.PEERS[peer]
        taker = taker_of(peer, rings.pipeline, "there", 0)
        sender = sender_of(peer, rings.pipeline, "there", 1)
        total = 0
        for first, count in ((1, 1), (2, 64), (66, 3), (69, 1)):
            sender.send(first, count)
            words = taker.take()
            assert len(words) == count * peer_python.WORDS
            total += peer_python.added_up(words)
        sender.close()
        taker.close()
    assert total == traffic.expected(69)
    for queues in harness.INHERITED.get("multiprocessing.Queue", {}).values():
        for queue in queues:
            queue.close()
            queue.join_thread()


def test_a_peer_that_is_not_installed_is_a_note(monkeypatch):
    monkeypatch.setitem(peer_python.PEERS, "iceoryx2", ("no_such_package", object, object))
    assert "iceoryx2" not in peer_python.installed()
    assert 'iceoryx2: not installed: pip install "corelane[peers]"' in peer_python.notes()
    told = {note.partition(":")[0] for note in peer_python.notes()}
    assert told == {*peer_python.PEERS} - {*peer_python.installed()}
    assert peer_python.OURS in peer_python.installed()


def test_without_java_the_jvm_peers_are_a_note(monkeypatch):
    monkeypatch.setattr(peer_java, "TOOLS", ("no-such-tool",))
    assert peer_java.absent().startswith("no no-such-tool on this machine")


@needs_java
def test_what_maven_cannot_build_is_a_note_with_its_reason(monkeypatch, tmp_path):
    for path in peer_java.SOURCES.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pom.xml").write_text("<project>")
    build = peer_java.built.__wrapped__  # not from the cache
    monkeypatch.setattr(peer_java, "built", lambda: build(tmp_path))
    assert "mvn could not build them: " in peer_java.absent()


@needs_java
@needs_two_cores
@pytest.mark.parametrize("peer", list(peer_java.MAINS))
def test_a_jvm_peer_answers_every_shape_and_its_sums_are_checked(peer):
    numbers = [place.number for place in cores(2)]
    mode = peers.MODES[peer]
    with peer_java.Machine(peer, numbers) as machine:
        one, two = numbers
        rates = peer_java.throughput(machine, mode, 5_000, 100, [one, two, two])
        assert len(rates) == 2
        assert min(rates) > 0
        for found in (
            peer_java.round_trip(machine, mode, 500, 10, numbers),
            peer_java.offered(machine, mode, 500, 10, 50_000, numbers),
        ):
            assert found["p50"] <= found["p99"] <= found["max"]
        with pytest.raises(BenchError, match=f"{peer}: the payload adds up to"):
            machine.ask(501, "roundtrip", mode, 490, 10, *numbers)


@needs_java
def test_a_jvm_that_fails_says_why():
    (core,) = (place.number for place in cores(1))
    wanted = pytest.raises(BenchError, match=r"(?s)Disruptor: .* failed: .*nonsense")
    with peer_java.Machine("Disruptor", [core]) as machine, wanted:
        machine.ask(1, "nonsense")


@pytest.mark.skipif(not c_program.available(), reason="gcc is absent")
@needs_two_cores
def test_the_c_program_takes_an_offered_load():
    found = c_program.offered(1024, 2_000, 100, 100_000, True, [core.number for core in cores(2)])
    assert found["p50"] <= found["p99"] <= found["max"]


def test_records_are_late_by_the_schedule_not_by_when_they_were_sent():
    """Both sides run one after the other: each record is late by its own distance to the end."""
    count = 100
    with traffic.Rings(128, there=1) as rings:
        writer = share.RingWriter(rings.pipeline, "there", traffic.LAYOUTS)
        reader = share.RingReader(rings.pipeline, "there", traffic.LAYOUTS, "reader-0")
        late = np.zeros(count, np.int64)
        sent, sending = traffic.new_tally()
        read, reading = traffic.new_tally()
        period = 1e7  # cycles
        start = -int(period * count)  # all are due before the counter's first tick
        offered.keep_up(sending, writer.view, count, True, start, period, 10)
        assert ring.next_free(writer.view) == 1  # nobody has been told: no batch has ended
        offered.arrivals(reading, reader.view, count, True, start, period, late.ctypes.data, 10)
        writer.close()
        reader.close()
    assert sent["next"][0] == read["next"][0] == count + 1
    traffic.check(int(read["total"][0]), count, "reader")
    assert (-np.diff(late) < period).all()
    assert late[0] > late[-1] > 0
    assert offered.due(start, period, 3) - offered.due(start, period, 1) == 2 * period


def test_a_writer_without_a_reader_gives_up_at_a_full_ring():
    with traffic.Rings(128, there=1) as rings:
        writer = share.RingWriter(rings.pipeline, "there", traffic.LAYOUTS)
        sent, sending = traffic.new_tally()
        offered.keep_up(sending, writer.view, 1000, False, 0, 0.0, 5)
        writer.close()
    assert sent["next"][0] == 129


def test_a_base_is_held_against_every_other_in_every_metric():
    row = {"a": {"p50": 2.0, "p99": 6.0}, "b": {"p50": 4.0, "p99": 2.0}, "c": {"p50": 1.0}}
    result = run_rounds(
        Result("n", "w", "ns", "p50", base="a"),
        {name: lambda name=name: row[name] for name in row},
        2,
    )
    assert result.base_ratios() == {"b": {"p50": 0.5, "p99": 3.0}, "c": {"p50": 2.0}}
    assert Result("n", "w", "ns", "p50").base_ratios() == {}


def test_only_some_percentiles_are_shown():
    found = peers.tails(percentiles(np.arange(1000)))
    assert list(found) == list(peers.TAILS)


def test_an_actor_inherits_what_only_a_start_can_hand_over():
    queue = multiprocessing.get_context("spawn").Queue()
    with harness.actors(cores(1), {"queue": queue}) as (actor,):
        actor.start(put_inherited, "here")
        actor.result()
        assert queue.get(timeout=30) == "here"
    queue.close()
    queue.join_thread()


def put_inherited(word: str) -> None:
    harness.INHERITED["queue"].put(word)
