"""Damaged MoldUDP64 packets by the million, each at the end of a page nobody may read beyond.

    python -m tests.workers.fuzz_mold [frames] [seed]

Half of them are damaged anywhere, half are made right again as packets, so that the damage reaches
the arbiter and the decoder. After each batch the feed's equations must hold, each packet must be
taken or refused as the naive parser says, and what is taken must be accounted for by number.
"""

import random
import sys
import time

from tests.naive import itch, mold
from tests.workers.guarded import Guarded
from tests.workers.test_itch import plain_messages
from tests.workers.test_mold import Mold, balanced
from workers.kernels import arbiter

ROUND = 400  # packets before all is begun anew
NOISE = 6  # bytes changed at most


def damaged(draw: random.Random, messages: list[bytes], number: int) -> bytes:
    """A packet somewhere near a number, hurt in one way or the other."""
    some = [bytearray(draw.choice(messages)) for _ in range(draw.randrange(30))]
    number += draw.randrange(-40, 80)
    kind = draw.random()
    if kind < 0.5:
        for message in some:
            if draw.random() < 0.2 and message:
                message[draw.randrange(len(message))] = draw.randrange(256)
            if draw.random() < 0.05:
                del message[draw.randrange(len(message) + 1) :]
        return mold.packet(max(number, 1), [bytes(message) for message in some])
    data = bytearray(mold.packet(max(number, 1), [bytes(message) for message in some]))
    for _ in range(draw.randrange(NOISE)):
        data[draw.randrange(len(data))] = draw.choice([0, 1, 255, draw.randrange(256)])
    if kind < 0.6:
        del data[draw.randrange(len(data) + 1) :]
    elif kind < 0.7:
        data += draw.randbytes(draw.randrange(8))
    return bytes(data)


def one_round(draw: random.Random, guard: Guarded, messages: list[bytes]) -> int:
    """A feed of its own through damaged packets; how many frames were in them."""
    feed = Mold(
        late=draw.random() < 0.5,
        renew=draw.random() < 0.3,
        limit=draw.choice([1, 7, 64]),
        asks=draw.random() < 0.5,
        tries=2,
        timeout_ns=1000,
    )
    frames = refused = taken = 0
    for now in range(ROUND):
        data = damaged(draw, messages, int(arbiter.at(feed.arbiter, arbiter.ARBITER).next))
        parsed = mold.parse(data)
        feed.batch[0] = (guard.place(data), len(data), draw.randrange(3), 0)
        feed.put_batch(1, now * draw.choice([1, 100]))
        lines = [arbiter.line_view(feed.arbiter, line) for line in range(3)]
        refused_now = sum(int(line.refused) for line in lines) - refused
        taken_now = sum(int(line.packets) for line in lines) - taken
        assert refused_now + taken_now == 1
        assert parsed is not None or refused_now
        refused, taken = refused + refused_now, taken + taken_now
        frames += len(parsed[3]) if parsed else 1
        feed.events.clear()
    check(feed)
    return frames


def check(feed: Mold) -> None:
    """What must hold whatever came: equations, and each number gone once."""
    assert balanced(feed.counters[0])
    header = arbiter.at(feed.arbiter, arbiter.ARBITER)
    assert header.next <= header.known
    assert 0 <= header.kept <= header.window
    brought = sum(int(arbiter.line_view(feed.arbiter, line).messages) for line in range(3))
    won = sum(int(arbiter.line_view(feed.arbiter, line).won) for line in range(3))
    assert brought == won + header.duplicates + header.late + header.beyond
    gone = feed.count("messages") + feed.count("unknown")
    bad = feed.count("bad_frames") - feed.state["malformed"] - feed.state["foreign"]
    assert gone + bad == won - header.kept


def campaign(frames: int, seed: int) -> int:
    """So many frames at least; how many it were."""
    draw, guard, done = random.Random(seed), Guarded(), 0
    messages = [*plain_messages(seed, 200), *(itch.encode(x) for x in itch.FIELDS), b"", b"?"]
    while done < frames:
        done += one_round(draw, guard, messages)
    guard.close()
    return done


if __name__ == "__main__":
    wanted, first = (*map(int, sys.argv[1:]), *(1_000_000, 1)[len(sys.argv) - 1 :])
    begun = time.monotonic()
    print(f"{campaign(wanted, first):,} frames in {time.monotonic() - begun:.0f} s, seed {first}")
