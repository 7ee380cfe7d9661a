"""Captures: every byte order, unit and link type; damage, and what lies at a page's end."""

import ctypes
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import compiled
from tests.naive import capture as naive
from tests.workers.guarded import Guarded
from workers.feeds import captures
from workers.feeds.captures import CaptureFile, Recorder, capture_state
from workers.feeds.feed import FeedError
from workers.kernels import capture as kernels
from workers.kernels.mold import PACKET

EXAMPLES = 200 if compiled() else 30
LINES = [("239.1.1.1", 26_400), ("239.1.1.2", 26_400)]
SERVER = ("10.0.0.9", 18_000)
START = 1_692_697_163 * 10**9
WRITERS = {
    "pcap": lambda link, frames, order: naive.pcap(link, frames, order, 1000),
    "pcap ns": naive.pcap,
    "pcapng": naive.pcapng,
    "pcapng ns": lambda link, frames, order: naive.pcapng(link, frames, order, 9),
}


def sample(wrap, unit=1000):
    """Frames, and the (line, payload, time) that they hold."""
    frames, held = [], []
    for number in range(12):
        time = START + number * 1_000_000
        payload = bytes([number]) * (number * 7)
        line = number % 2
        frames.append((time, wrap(naive.udp(payload, LINES[line], options=bytes(number % 3 * 4)))))
        held.append((line, payload, time))
    frames.insert(3, (START, wrap(naive.udp(b"else", ("239.1.1.3", 26_400)))))
    answer = naive.udp(b"answer", ("10.0.0.1", 9), SERVER)
    frames.append((START + 10**9, wrap(answer)))
    held.append((2, b"answer", START + 10**9))
    return frames, held


def read(path, lines=LINES, limit=5):
    """All packets of a file as (line, payload, time)."""
    file = CaptureFile(str(path), capture_state(lines, SERVER if lines else None))
    batch, found = np.zeros(limit, PACKET), []
    while not file.ended:
        count = file.read(batch.ctypes.data, limit)
        for packet in batch[:count]:
            payload = ctypes.string_at(int(packet["address"]), int(packet["length"]))
            found.append((int(packet["line"]), payload, int(packet["arrived_ns"])))
    assert file.read(batch.ctypes.data, limit) == 0
    assert file.progress() == 1.0
    file.close()
    return found, file


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("link", naive.LINKS)
def test_every_kind_of_capture(tmp_path, link, writer, order):
    kind, wrap = naive.LINKS[link]
    frames, held = sample(wrap)
    path = tmp_path / "x.pcap"
    path.write_bytes(WRITERS[writer](kind, frames, order))
    found, file = read(path)
    assert found == held
    assert not file.trouble
    counts = [int(file.state[name]) for name in ("frames", "packets", "others")]
    assert counts == [len(frames), len(held), 1]


def test_without_lines_each_destination_is_one(tmp_path):
    frames, _ = sample(naive.LINKS["raw"][1])
    path = tmp_path / "x.pcap"
    path.write_bytes(naive.pcap(naive.RAW, frames))
    state = capture_state([], None)
    state["open"] = 1
    file = CaptureFile(str(path), state)
    batch = np.zeros(20, PACKET)
    assert file.read(batch.ctypes.data, 20) == len(frames)
    assert batch["line"].tolist()[: len(frames)] == [0, 1, 0, 2, 1, 0, 1, 0, 1, 0, 1, 0, 1, 3]
    file.close()


NO_UDP = {
    "IPv6": lambda ip: b"\x60" + ip[1:],
    "TCP": lambda ip: ip[:9] + b"\x06" + ip[10:],
    "a first fragment": lambda ip: ip[:6] + b"\x20\0" + ip[8:],
    "a later fragment": lambda ip: ip[:6] + b"\0\x01" + ip[8:],
    "a head too short": lambda ip: b"\x44" + ip[1:],
    "a head too long": lambda ip: b"\x4f" + ip[1:],
    "longer than kept": lambda ip: ip[:2] + b"\x7f\xff" + ip[4:],
    "shorter than UDP": lambda ip: ip[:2] + b"\0\x1b" + ip[4:],
    "UDP longer than IP": lambda ip: ip[:24] + b"\x7f\xff" + ip[26:],
    "UDP of 7 bytes": lambda ip: ip[:24] + b"\0\x07" + ip[26:],
    "nothing": lambda ip: b"",
}


@pytest.mark.parametrize("damage", NO_UDP)
def test_what_is_no_whole_packet_is_passed_over(tmp_path, damage):
    good = naive.udp(b"good", LINES[0])
    bad = NO_UDP[damage](naive.udp(b"bad", LINES[0]))
    path = tmp_path / "x.pcap"
    path.write_bytes(naive.pcap(naive.RAW, [(START, bad), (START, good), (START, bad)]))
    found, file = read(path)
    assert found == [(0, b"good", START)]
    assert (int(file.state["others"]), file.trouble) == (2, "")


def test_a_frame_of_any_length_is_stepped_over(tmp_path):
    good = naive.udp(b"good", LINES[0])
    for writer in (naive.pcap, naive.pcapng):
        path = tmp_path / writer.__name__
        path.write_bytes(
            writer(naive.RAW, [(START, bytes(200_000)), (START, good)], digits_of(writer))
        )
        found, file = read(path)
        assert [payload for _, payload, _ in found] == [b"good"]
        assert (int(file.state["frames"]), file.trouble) == (2, "")


def digits_of(writer):
    return "<" if writer is naive.pcap else ">"


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_cut_off_anywhere_says_so(tmp_path, writer):
    frames, held = sample(naive.LINKS["raw"][1])
    whole = WRITERS[writer](naive.RAW, frames, "<")
    path = tmp_path / "x.pcap"
    for end in range(24, len(whole), 7 if compiled() else 61):
        path.write_bytes(whole[:end])
        found, file = read(path)
        assert found == held[: len(found)]
        assert bool(file.trouble) == bool(file.left_over)
    assert len(found) == len(held) - 1
    assert "cut off" in file.trouble


def test_a_length_beyond_belief_ends_the_file(tmp_path):
    frames, _ = sample(naive.LINKS["raw"][1])
    whole = bytearray(naive.pcap(naive.RAW, frames))
    whole[24 + 8 : 24 + 12] = b"\xff\xff\xff\x7f"
    path = tmp_path / "x.pcap"
    path.write_bytes(bytes(whole))
    found, file = read(path)
    assert (found, file.left_over) == ([], len(whole) - 24)
    assert "damaged" in file.trouble


@settings(max_examples=EXAMPLES)
@given(
    st.sampled_from(sorted(WRITERS)),
    st.sampled_from("<>"),
    st.sampled_from(sorted(naive.LINKS)),
    st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), max_size=6),
    st.integers(0, 1 << 12),
)
def test_damage_never_leads_outside(writer, order, link, wounds, end):
    kind, wrap = naive.LINKS[link]
    data = bytearray(WRITERS[writer](kind, sample(wrap)[0], order))
    for place, byte in wounds:
        data[place % len(data)] = byte
    data = bytes(data[: end % len(data)])
    guard, batch = Guarded(), np.zeros(64, PACKET)
    state = capture_state(LINES, SERVER)
    begin = guard.place(data)
    position = 0
    for _ in range(len(data) + 2):
        count = kernels.packets(
            state.ctypes.data, begin + position, len(data) - position, batch.ctypes.data, 3
        )
        position += int(state[0]["consumed"])
        assert 0 <= position <= len(data)
        for packet in batch[:count]:
            assert begin <= packet["address"] <= begin + len(data) - packet["length"]
            assert packet["line"] in (0, 1, 2)
        if not count:
            break
    assert not count
    guard.close()


def test_what_is_recorded_can_be_read_and_added_to(tmp_path):
    path, draw = tmp_path / "x.pcap", random.Random(1)
    sent = []
    for _ in range(2):
        state = capture_state(LINES, SERVER)
        recorder = Recorder(str(path), state, 100, 8)
        batch, held = np.zeros(8, PACKET), []
        for place in range(8):
            payload = draw.randbytes(draw.randrange(100))
            held.append(ctypes.create_string_buffer(payload, len(payload) or 1))
            time, line = START + len(sent) * 977, draw.randrange(3)
            batch[place] = (ctypes.addressof(held[-1]), len(payload), line, time)
            sent.append((line, payload, time))
        assert recorder.write(batch.ctypes.data, 8) == ""
        recorder.close()
        recorder.close()
        assert "cannot be written" in recorder.write(batch.ctypes.data, 8)
    found, file = read(path)
    assert found == sent
    assert not file.trouble


def test_files_that_are_none_are_refused(tmp_path):
    path = tmp_path / "x"
    for data in (b"short", b"text that is long enough to be one"):
        path.write_bytes(data)
        with pytest.raises(FeedError, match="no capture"):
            CaptureFile(str(path), capture_state(LINES, None))
    with pytest.raises(FeedError, match="cannot be written"):
        Recorder(str(tmp_path / "no" / "such"), capture_state(LINES, None), 10, 1)
    assert captures.key(("1.2.3.4", 5)) == 0x01020304 << 16 | 5
