"""The MoldUDP64 feed: live over 127.0.0.1 and multicast, from captures, recorded and gone on."""

import gzip
import json
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from ringbuf.jit import compiled
from tests.data import DATA, ROOT, data_file
from tests.naive import itch, mold
from tests.senders import Play, Sender, free_ports
from tests.workers.live_mold import Heard, expected, hear, plan, without_positions
from tests.workers.test_itch import plain_messages
from workers.feeds import datagrams
from workers.feeds.feed import FeedError
from workers.feeds.moldudp64 import MoldFeed, MoldOptions
from workers.records import Doubt, Event

COUNT = 600 if compiled() else 120
PCAPS = sorted(path.name for path in (DATA / "pcap").glob("*.pcap"))


@pytest.fixture(scope="module")
def sender():
    venue = Sender()
    yield venue
    venue.close()


@pytest.fixture
def lines():
    return [("127.0.0.1", port) for port in free_ports(2)]


TROUBLES = {
    "none": {},
    "loss": {"loss": 0.2},
    "copies": {"twice": 0.3},
    "swaps": {"swap": 6},
    "all": {"loss": 0.2, "twice": 0.2, "swap": 6},
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("trouble", TROUBLES)
def test_with_a_server_the_stream_is_whole(sender, lines, trouble, seed):
    some = plain_messages(seed, COUNT)
    packets, had = plan(some, seed, **TROUBLES[trouble])
    served = {"deaf": seed * 3}
    heard = hear(sender, lines, some, packets, served, timeout_ms=15.0, tries=8)
    assert heard.unspoilt()
    assert without_positions(heard.events) == itch.events(some)[0]
    assert (heard.count("lost"), heard.count("connects")) == (0, 1)
    assert heard.count("recovered") >= len(some) - len(had)
    lost_by_both = len(had) < len(some)
    assert lost_by_both == (heard.count("gaps") > 0 and heard.count("recovered") > 0) or seed == 0
    messages = sum(line["messages"] for line in heard.feed.lines)
    assert messages == heard.count("messages") + heard.count("duplicates")


@pytest.mark.parametrize("seed", range(3))
def test_without_a_server_what_both_lines_miss_is_said_to_be_lost(sender, lines, seed):
    some = plain_messages(seed, COUNT)
    packets, had = plan(some, seed, loss=0.5, twice=0.1, swap=4)
    heard = hear(sender, lines, some, packets, timeout_ms=700.0)
    assert heard.unspoilt()
    assert 0 < len(some) - len(had) == heard.count("lost")
    assert without_positions(heard.events) == expected(some, had)
    stale = heard.events[heard.events["kind"] == Event.STALE]
    assert set(stale["flags"]) == {Doubt.GAP}
    assert set(stale["instrument"]) == {1, 2, 3}


def test_a_server_that_has_only_a_part_gives_that(sender, lines):
    some = plain_messages(5, COUNT)
    packets, had = plan(some, 7, loss=0.4)
    missed = sorted(set(range(1, len(some) + 1)) - had)
    knows = range(1, missed[len(missed) // 2])
    heard = hear(sender, lines, some, packets, {"knows": knows}, timeout_ms=10.0, tries=2)
    assert heard.unspoilt()
    assert without_positions(heard.events) == expected(some, had | set(knows))
    assert heard.count("lost") == len([n for n in missed if n not in knows])


def test_a_late_join_asks_for_all_that_was_before(sender, lines):
    some = plain_messages(6, COUNT)
    packets, _ = plan(some, 6, loss=0.1, swap=3, start=COUNT // 2)
    heard = hear(sender, lines, some, packets, {}, timeout_ms=10.0)
    assert heard.unspoilt()
    assert without_positions(heard.events) == itch.events(some)[0]
    assert heard.count("recovered") >= COUNT // 2


def test_a_late_join_without_a_server_trusts_no_book(sender, lines):
    some, start = plain_messages(6, COUNT), COUNT // 2
    packets, had = plan(some, 6, swap=3, start=start)
    heard = hear(sender, lines, some, packets, late=True)
    assert without_positions(heard.events) == expected(some, had, start, Doubt.NO_SNAPSHOT)
    stale = heard.events[heard.events["kind"] == Event.STALE]
    assert set(stale["flags"]) == {Doubt.NO_SNAPSHOT}


def test_heartbeats_tell_of_a_lost_end(sender, lines):
    some = plain_messages(8, COUNT)
    packets, _ = plan(some, 8, ending=False)
    cut = [p for p in packets if mold.parse(p[1])[1] < COUNT - 20]
    had = {n + i for _, data, _ in cut for _, n, c, _ in [mold.parse(data)] for i in range(c)}
    cut.append((0, mold.packet(len(some) + 1, 0), 0.01))
    play = Play(lines, cut, some)
    names = [f"{host}:{port}" for host, port in lines]
    heard = Heard(
        MoldOptions(lines=names, request=f"127.0.0.1:{sender.server_port}", date="1970-01-01")
    )
    sender.play(play)
    heard.until(lambda: heard.feed.arbiter["next"] == len(some) + 1)
    heard.fill()
    heard.until(sender.done)
    heard.feed.close()
    assert without_positions(heard.events) == itch.events(some)[0]
    assert heard.count("recovered") == len(some) - len(had) > 0


def test_positions_name_what_lies_before_them_and_a_feed_goes_on_from_there(sender, lines):
    some = plain_messages(9, COUNT)
    packets, _ = plan(some, 9)
    whole = hear(sender, lines, some, packets, {}, limit=40).events
    places = np.flatnonzero(whole["kind"] == Event.POSITION)
    assert len(places) > 1
    assert whole[places[-1]]["order"] == len(some) + 1
    for place in (places[0], places[len(places) // 2]):
        position, log = whole[place], without_positions(whole[:place])
        assert log == expected(some[: position["order"] - 1], range(1, len(some) + 1))
        for skip in (0, 2):
            names = [f"{host}:{port}" for host, port in lines]
            heard = Heard(
                MoldOptions(
                    lines=names, request=f"127.0.0.1:{sender.server_port}", date="1970-01-01"
                )
            )
            codes = {event[1] for event in log}
            heard.feed.rejoin(int(position["order"]), int(position["other"]), skip, codes)
            end = [(0, mold.packet(len(some) + 1, mold.END), 0.0)]
            sender.play(Play(lines, end, some))
            heard.to_the_end().until(sender.done)
            rest = without_positions(heard.events)
            assert log + without_positions(whole[place:])[:skip] + rest == itch.events(some)[0]


def test_what_was_recorded_gives_the_same_once_more(sender, lines, tmp_path):
    some = plain_messages(10, COUNT)
    packets, _ = plan(some, 10, loss=0.3, swap=4)
    knows = range(1, COUNT // 2)
    path = tmp_path / "day.pcap"
    heard = hear(sender, lines, some, packets, {"knows": knows}, timeout_ms=10.0, record=str(path))
    names = [f"{host}:{port}" for host, port in lines]
    request = f"127.0.0.1:{sender.server_port}"
    packed = tmp_path / "day.pcap.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for source in (path, packed):
        again = Heard(
            MoldOptions(
                lines=names, request=request, from_start=True, pcap=str(source),
                date="1970-01-01", timeout_ms=10.0,
            )
        ).to_the_end()  # fmt: skip
        assert not again.feed.trouble
        assert without_positions(again.events) == without_positions(heard.events)
        assert again.events.size == len(without_positions(again.events))
        assert again.count("lost") == heard.count("lost")
        assert again.count("messages") == heard.count("messages")
    wrong = tmp_path / "notes.txt"
    wrong.write_text("something else altogether, and long enough")
    with pytest.raises(FeedError, match="not recorded here"):
        Heard(MoldOptions(lines=names, record=str(wrong)))


def test_multicast_lines_in_a_network_of_their_own():
    command = ["unshare", "--net", "--map-root-user", sys.executable, "-m", "tests.workers.groups"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here to make a network namespace with")
    if done.returncode and "unshare" in done.stderr.splitlines()[-1]:
        pytest.skip(f"no network namespace can be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["groups"] == told["expected"] > 0
    assert told["whole"] is True
    assert all(line["won"] for line in told["lines"][:2])


@pytest.mark.parametrize("name", PCAPS)
def test_real_captures(name):
    path = data_file(f"pcap/{name}")
    heard = Heard(MoldOptions(pcap=str(path), date="1970-01-01")).to_the_end()
    if not name.startswith("Nasdaq"):
        frames = heard.feed.trouble
        assert "none of them MoldUDP64" in frames
        assert heard.count("bad_frames") == sum(line["refused"] for line in heard.feed.lines) > 0
        assert heard.count("messages") == heard.events.size == 0
        return
    raw = path.read_bytes()
    begin = raw.index(mold.SESSION)
    session, number, count, messages = mold.parse(raw[begin : begin + first_packet(raw, begin)])
    assert (session, count) == (mold.SESSION, len(messages))
    assert number == heard.feed.lines[0]["begin"]
    multiple = "Multiple" in name
    assert heard.count("messages") == (39 if multiple else 1)
    assert heard.feed.lines[0]["packets"] == (2 if multiple else 1)
    kinds = [Event.DELETE, Event.DIRECTORY, Event.STALE, Event.ADD, Event.ADD]
    if multiple:
        assert heard.events["kind"].tolist()[:5] == kinds
        assert heard.count("gaps") == 1
    else:
        stream = mold.Events(doubt=Doubt.NO_SNAPSHOT)
        stream.message(messages[0])
        assert without_positions(heard.events) == stream.found


def first_packet(raw: bytes, begin: int) -> int:
    """Bytes of the packet that begins there, by the UDP header before it."""
    return int.from_bytes(raw[begin - 4 : begin - 2], "big") - 8


def test_a_capture_that_is_none_is_refused(tmp_path):
    path = tmp_path / "x.pcap"
    path.write_bytes(b"no capture at all, but bytes enough")
    with pytest.raises(FeedError, match="no capture"):
        Heard(MoldOptions(pcap=str(path)))


WRONG = {
    "name the lines": {},
    "IPv4 address and port": {"lines": ["nowhere:1"]},
    "line '127.0.0.1:70000'": {"lines": ["127.0.0.1:70000"]},
    "each of them once": {"lines": ["127.0.0.1:7"] * 2},
    "request 'x'": {"lines": ["127.0.0.1:7"], "request": "x"},
    "for live lines": {"pcap": "x", "record": "y"},
    "needs a server": {"lines": ["127.0.0.1:7"], "from_start": True},
    "ten characters": {"lines": ["127.0.0.1:7"], "session": "short"},
    "power of two": {"lines": ["127.0.0.1:7"], "window": 1000},
    "timeout_ms": {"lines": ["127.0.0.1:7"], "timeout_ms": 0.0},
    "tries": {"lines": ["127.0.0.1:7"], "tries": 0},
    "no date": {"lines": ["127.0.0.1:7"], "date": "soon"},
    "unknown field": {"lines": ["127.0.0.1:7"], "windw": 64},
}


@pytest.mark.parametrize("match", WRONG)
def test_mistaken_options_are_refused(match):
    with pytest.raises(msgspec.ValidationError, match=match):
        msgspec.convert({"kind": "moldudp64", **WRONG[match]}, MoldOptions)


def test_an_address_that_is_not_ours_is_refused():
    for line, interface in (("192.0.2.1:2640", None), ("239.1.1.1:2640", "nosuch0")):
        with pytest.raises(FeedError, match=r"192\.0\.2\.1:2640|nosuch0"):
            Heard(MoldOptions(lines=[line], interface=interface))


def test_a_packet_longer_than_its_room_is_refused_and_counted(lines):
    heard = Heard(MoldOptions(lines=[f"{host}:{port}" for host, port in lines]))
    line = datagrams.socket.socket(datagrams.socket.AF_INET, datagrams.socket.SOCK_DGRAM)
    some = plain_messages(1, 400)
    line.sendto(mold.packet(1, some), lines[0])
    heard.until(lambda: heard.feed.lines[0]["refused"] == 1)
    assert (heard.count("bad_frames"), heard.count("messages")) == (1, 0)
    assert (heard.feed.live, heard.feed.finished) == (True, False)
    assert np.isnan(heard.feed.progress())
    heard.feed.close()
    line.close()


def test_a_live_feed_never_waits(lines):
    heard = Heard(MoldOptions(lines=[f"{host}:{port}" for host, port in lines]))
    assert [heard.fill() for _ in range(3)] == [0, 0, 0]
    heard.feed.resync(1)
    heard.feed.close()
    heard.feed.close()
    assert heard.feed.finished
    assert isinstance(heard.feed, MoldFeed)
