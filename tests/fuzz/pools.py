"""Good frames of every format, made here, and which of their bits are free."""

import random
import struct

from tests.fuzz import mutate
from tests.fuzz.mutate import Pool
from tests.naive import capture as captures
from tests.naive import dbn, itch, lobster, mold
from tests.workers.dbn_streams import TIME
from workers.feeds.synthetic import Day, SyntheticOptions

ANY, NONE = b"\xff", b"\0"
# Which bits of an ITCH field are free, by its struct code; a side, a state and such have none.
POSITIVE = b"\x7f" + 7 * ANY
IGNORED = set("YLVWKJhINO")  # messages of which nothing but the time is looked at
LINES = [("239.1.1.1", 26_400), ("239.1.1.2", 26_400)]


def itch_mask(message: bytes, by_type: bool) -> bytes:
    """The free bits of a message behind its length."""
    letter = chr(message[0])
    mask = (2 * ANY if by_type else 2 * NONE) + NONE + 4 * ANY + 2 * NONE + 4 * ANY
    for name, code in itch.FIELDS[letter]:
        size = struct.calcsize(f">{code}")
        if letter in IGNORED or code == "I" or name in ("mpid", "reserved", "reason"):
            mask += size * ANY
        elif code == "Q":
            mask += POSITIVE
        else:
            mask += (b"\1" if name == "stock" else NONE) * size
    return mask


def itch_messages(count: int, seed: int = 1) -> list[bytes]:
    """A made-up day's first messages, and one of every type now and then."""
    day = Day(SyntheticOptions(messages=max(count, 2000), symbols=4, seed=seed))
    found = itch.frames(day.chunk(day.next_chunk()))[:count]
    good = {"time": 10**9, "stock": b"ODD", "side": b"B", "state": b"P", "printable": b"N",
            "code": b"Q"}  # fmt: skip
    for number, letter in enumerate(itch.FIELDS):
        names = {name for name, _ in itch.HEADER + itch.FIELDS[letter]}
        given = {name: value for name, value in good.items() if name in names}
        found.insert(7 * number, itch.encode(letter, locate=9, **given))
    return found


def itch_pool(by_type: bool) -> Pool:
    """Frames of an ITCH file."""
    messages = itch_messages(400)
    masks = [itch_mask(message, by_type) for message in messages]
    return Pool([itch.frame(message) for message in messages], masks, mutate.ITCH)


def dbn_mask(message: bytes) -> bytes:
    """The free bits of a DBN record: ids, low bytes of times and quantities, numbers of events."""
    kind = message[1]
    mask = bytearray(len(message))
    mask[4:5], mask[8:12] = ANY, 4 * ANY
    if kind == 0xA0:
        places = [(16, 24), (33, 35), (37, 38), (40, 44), (48, 56)]
    elif kind in dbn.FIELDS and kind != 0x12:
        places = [(25, 27), (32, 36), (40, 48)]
    elif kind == 0x12:
        places = [(16, 20), (26, 30)]
    else:
        places = []
    for begin, end in places:
        mask[begin:end] = (end - begin) * ANY
    return bytes(mask)


def dbn_order(draw: random.Random, **header) -> bytes:
    """A record of an order that can be taken, whatever was before."""
    action = draw.choice(b"AAAACCMRTFN")
    flags = draw.choice([0, 128, 128, 128, 128, 32, 160, 40, 168, 130, 132])
    return dbn.record(
        0xA0, order=draw.randrange(1, 99), price=draw.randrange(90, 110) * 10**8,
        size=2 * draw.randrange(40) + 1, flags=flags, action=bytes([action]),
        side=draw.choice([b"B", b"A"]), sequence=draw.randrange(99), **header,
    )  # fmt: skip


def dbn_quote(draw: random.Random, kind: int, **header) -> bytes:
    """The same of levels or a trade."""
    middle, depth = draw.randrange(90, 110), dbn.LEVELS.get(kind, 0)
    pairs = [
        ((middle - n) * 10**9, (middle + 1 + n) * 10**9, 1 + n, 2 + n, 1, draw.randrange(3))
        for n in range(draw.randrange(depth + 1))
    ]
    action = b"T" if kind == 0 else draw.choice([b"A", b"C", b"T", b"M"])
    return dbn.record(
        kind, price=middle * 10**9, size=2 * draw.randrange(40) + 1, action=action,
        side=draw.choice([b"B", b"A", b"N"]), flags=draw.choice([0, 128, 128]), levels=pairs,
        **header,
    )  # fmt: skip


def dbn_pool(kinds: list[int], version: int, ts_out: bool = False, count: int = 500) -> Pool:
    """Records of some types; behind each the time of sending, if wanted."""
    draw, found = random.Random(5), []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        stamp = TIME + number * 1000
        header = {"publisher": draw.choice([1, 1, 2]), "instrument": draw.randrange(5, 8)}
        header["ts_event"] = stamp
        if kind == 0xA0:
            record = dbn_order(draw, ts_recv=stamp + 500, **header)
        elif kind in dbn.LEVELS or kind == 0:
            record = dbn_quote(draw, kind, ts_recv=stamp + 500, **header)
        elif kind == 0x12:
            action = draw.randrange(16)
            record = dbn.record(0x12, ts_recv=stamp, action=action, trading=b"Y", **header)
        elif kind == 0x13:
            record = dbn.definition(version, draw.choice(["AB", "CDE", "E" * 22]), **header)
        elif kind == 0x16:
            record = dbn.mapping(version, draw.choice(["XY", "Z1"]), **header)
        else:
            record = dbn.other(kind, dbn.sizes(version)[kind], **header)
        if ts_out:
            record = bytes([record[0] + 2]) + record[1:] + struct.pack("<Q", stamp)
        found.append(record)
    masks = [dbn_mask(record[: 4 * (record[0] - 2 * ts_out)]) + 8 * ts_out * ANY
             for record in found]  # fmt: skip
    return Pool(found, masks, mutate.DBN)


def lobster_mask(line: str) -> bytes:
    """The free bits of a line: 0 and 1, 2 and 3 ... may take each other's place."""
    fields, mask = line.split(","), b""
    for place, field in enumerate(fields):
        free = place == 2 or (place in (3, 4) and fields[1] != "7")
        behind = field.partition(".")[0] if place == 0 else field[:1]
        bits = [free and digit.isdigit() for digit in field[len(behind) :]]
        if place == 0:
            bits = [digit.isdigit() for digit in field[len(behind) :]]
        mask += bytes(len(behind)) + bytes(bits) + NONE
    return mask


def lobster_pool() -> Pool:
    """Lines of a message file."""
    lines = lobster.simulate(3, 5, 300, 60).messages
    frames = [f"{line}\n".encode() for line in lines]
    letters = b"0123456789,.-\r\n0123456789,"
    return Pool(frames, [lobster_mask(line) for line in lines], mutate.LINE, letters)


def capture_pool(link: str, blocks: bool, order: str) -> tuple[bytes, Pool]:
    """What a capture begins with, and its frames."""
    kind, wrap = captures.LINKS[link]
    writer = captures.pcapng if blocks else captures.pcap
    head, draw, found = writer(kind, [], order), random.Random(2), []
    messages = itch_messages(60)
    for number in range(200):
        data = mold.packet(number + 1, messages[number % 50 :][: draw.randrange(5)])
        where = draw.choice([*LINES, *LINES, ("239.1.1.3", 26_400)])
        options = b"" if link == "raw" else bytes(draw.randrange(3) * 4)
        packet = wrap(captures.udp(data, where, options=options))
        stamp = TIME + number * 1_000_000
        found.append(writer(kind, [(stamp, packet)], order)[len(head) :])
    form = 2 * blocks + (order == ">") + mutate.PCAP_LITTLE
    return head, Pool(found, [payload_mask(one, blocks) for one in found], form)


def payload_mask(frame: bytes, blocks: bool) -> bytes:
    """The free bits of a frame of a capture: those of the message that the packet carries."""
    tail = 40 if blocks else 32
    mask = bytearray(len(frame))
    if len(frame) > 150 + tail:  # behind all headers
        mask[100:-tail] = (len(frame) - tail - 100) * ANY
    return bytes(mask)
