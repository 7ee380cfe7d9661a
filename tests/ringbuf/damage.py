"""Damaged logs and power cuts by the million: only what was written may ever be taken for whole.

python -m tests.ringbuf.damage [images, 50,000,000 unless told] [cuts, 2,000,000]

An *image* is a sealed log that something has happened to; what is accepted of it must be exactly
the records before the first that is not as it was. A *cut* ends one of a series of lives that
write the same file: of what was not synced, any part of any sector may be on the disk after.
Both run with production's kernels, and with mutants of the protocol that must be caught.
"""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from enum import IntEnum

import numpy as np

from ringbuf.atomics import copy_words, load_relaxed, store_relaxed
from ringbuf.chain import ROOT, link, seal_records, verify, wrapped
from ringbuf.jit import kernel

IMAGES, CUTS = 50_000_000, 2_000_000
CHUNK_IMAGES, CHUNK_CUTS = 500_000, 20_000
SECTOR = 512  # bytes that a disk writes in one piece, or tears
PLACES = 64  # records of a log
LINES_MAX = 2  # cache lines of a record
FRESH_EVERY = 64  # images made of the same logs
BATCHES = 6  # writes in a life, at most
RIGHT = 0


class Mutant(IntEnum):
    """Protocols that are wrong in one place."""

    UNCHAINED = 1  # each record has a sum of its own, with its sequence
    UNNUMBERED = 2  # and without
    RESTARTED = 3  # the chain begins anew with each segment
    SHALLOW = 4  # only the first word is summed
    NO_WIPE = 5  # what is torn is left behind the last whole record
    LATE_WIPE = 6  # it is wiped, but on the disk only with what comes after
    EAGER = 7  # what is written counts as durable
    UNCHAINED_UNWIPED = 8  # 1 and 5 at once


class Damage(IntEnum):
    """What can happen to a log."""

    NONE = 0
    FLIPS = 1  # up to 8 bits
    TORN = 2  # zeros from some byte on
    GARBAGE = 3  # up to 512 bytes of noise
    MISDIRECTED = 4  # a record of another place of the same segment
    FOREIGN = 5  # records of another segment, at the same places
    STALE = 6  # the end is that of another life, whose history is another one
    SECTORS = 7  # some sectors are of another life


OF_IMAGES = (Mutant.UNCHAINED, Mutant.UNNUMBERED, Mutant.RESTARTED, Mutant.SHALLOW)
OF_CUTS = (Mutant.UNCHAINED_UNWIPED, Mutant.NO_WIPE, Mutant.LATE_WIPE, Mutant.EAGER)
UNCHAINED, UNNUMBERED = Mutant.UNCHAINED.value, Mutant.UNNUMBERED.value
RESTARTED, SHALLOW = Mutant.RESTARTED.value, Mutant.SHALLOW.value
NO_WIPE, LATE_WIPE, EAGER = Mutant.NO_WIPE.value, Mutant.LATE_WIPE.value, Mutant.EAGER.value
UNCHAINED_UNWIPED = Mutant.UNCHAINED_UNWIPED.value
FLIPS, TORN = Damage.FLIPS.value, Damage.TORN.value
MISDIRECTED, FOREIGN = Damage.MISDIRECTED.value, Damage.FOREIGN.value
STALE = Damage.STALE.value


@kernel
def below(limit):
    """A random number from 0 up."""
    return np.random.randint(0, limit)


@kernel
def noise():
    """A random chain value."""
    return np.random.randint(1, 2**62)


@kernel
def seed_with(seed):
    """Have everything that is random follow from a number."""
    np.random.seed(seed)


@kernel
def byte_at(address, byte):
    """One byte of a log."""
    return (load_relaxed(address + (byte & ~7)) >> (8 * (byte & 7))) & 255


@kernel
def set_byte(address, byte, value):
    """Change one byte of a log."""
    word, shift = address + (byte & ~7), 8 * (byte & 7)
    changed = (byte_at(address, byte) ^ value) & 255
    store_relaxed(word, load_relaxed(word) ^ wrapped(changed << shift))


@kernel
def own_link(mutant, chain, sequence, address, size):
    """The value of a record as a mutant has it."""
    if mutant in (UNCHAINED, UNCHAINED_UNWIPED):
        return link(ROOT, sequence, address, size)
    if mutant == UNNUMBERED:
        return link(ROOT, 0, address, size)
    if mutant == SHALLOW:
        return chain ^ load_relaxed(address) ^ sequence
    return link(chain, sequence, address, size)


@kernel
def close_up(mutant, address, size, first, count, chain):
    """Seal records; the value of the last."""
    if mutant == RIGHT:
        return seal_records(address, size, first, count, chain)
    for number in range(count):
        chain = own_link(mutant, chain, first + number, address, size)
        address += size
        store_relaxed(address - 8, chain)
    return chain


@kernel
def whole(mutant, address, size, first, limit, chain):
    """How many records are accepted, and the value of the last."""
    if mutant == RIGHT:
        return verify(address, size, first, limit, chain)
    for number in range(limit):
        found = own_link(mutant, chain, first + number, address, size)
        address += size
        if found != load_relaxed(address - 8):
            return number, chain
        chain = found
    return limit, chain


@kernel
def fill(address, size, first, count, change):
    """Records that are the same in every life, but for what `change` adds to their first word."""
    for number in range(count):
        for word in range(size // 8 - 1):
            store_relaxed(address + 8 * word, (first + number) * (word + 1))
        store_relaxed(address, first + number + change)
        address += size


@kernel
def first_difference(one, other, size, count):
    """The first record that is not the same in two logs."""
    for number in range(count):
        for word in range(size // 8):
            place = number * size + 8 * word
            if load_relaxed(one + place) != load_relaxed(other + place):
                return number
    return count


@kernel
def make_logs(mutant, memory, size, first):
    """Four logs behind one another: the true one, another life's, another segment's, and room.

    The other life's is the same up to some record. Returns the chain value before the first
    record, how many records there are, and the first that is another in the other life.
    """
    length = PLACES * size
    chain = ROOT if mutant == RESTARTED else noise()
    before = ROOT if mutant == RESTARTED else noise()
    count, fork = 1 + below(PLACES), below(PLACES)
    fill(memory, size, first, PLACES, 0)
    fill(memory + length, size, first, fork, 0)
    fill(memory + length + fork * size, size, first + fork, PLACES - fork, 1 + below(1000))
    fill(memory + 2 * length, size, first, PLACES, 0)
    close_up(mutant, memory, size, first, count, chain)
    close_up(mutant, memory + length, size, first, PLACES, chain)
    other = first if mutant == RESTARTED else first + PLACES
    if mutant == RESTARTED:  # the segment before, taken for this one
        fill(memory + 2 * length, size, first, PLACES, 5)
    close_up(mutant, memory + 2 * length, size, other, PLACES, before)
    for word in range(count * size // 8, length // 8):
        store_relaxed(memory + 8 * word, 0)
    return chain, count, fork


@kernel
def hurt(kind, log, size, count, fork):
    """Damage the log at an address; the others lie before it, the true one first."""
    if kind < MISDIRECTED:
        hurt_bytes(kind, log, count * size)
    else:
        hurt_records(kind, log, size, count, fork)


@kernel
def hurt_bytes(kind, log, written):
    """Damage of bytes, wherever they are; written: how many there are."""
    start = below(written)
    if kind == FLIPS:
        for _ in range(1 + below(8)):
            byte = below(written)
            set_byte(log, byte, byte_at(log, byte) ^ (1 << below(8)))
    elif kind == TORN:
        words = min((start + 7) & ~7, written)
        for byte in range(start, words):
            set_byte(log, byte, 0)
        for byte in range(words, written, 8):
            store_relaxed(log + byte, 0)
    else:
        for byte in range(start, min(start + 1 + below(512), written)):
            set_byte(log, byte, below(256))


@kernel
def hurt_records(kind, log, size, count, fork):
    """Damage that brings records, or whole sectors, from elsewhere."""
    length = PLACES * size
    stale, foreign = log - 2 * length, log - length
    place = below(PLACES)
    if kind == MISDIRECTED:
        copy_words(log + place * size, log + below(count) * size, size // 8)
    elif kind == FOREIGN:
        some = 1 + below(PLACES - place)
        copy_words(log + place * size, foreign + place * size, some * size // 8)
    elif kind == STALE:
        place = min(fork + 1 + place, PLACES)  # behind where the histories part
        copy_words(log + place * size, stale + place * size, (PLACES - place) * size // 8)
    else:
        for sector in range((fork * size) // SECTOR + 1, length // SECTOR):
            if below(3) == 0:
                to = sector * SECTOR
                copy_words(log + to, stale + to, SECTOR // 8)


@kernel
def damaged_images(mutant, seed, images, memory, tally):
    """Judge some damaged images; how many were judged wrongly.

    memory: address of four logs; tally: of a count by kind of damage, and one of records lost.
    """
    seed_with(seed)
    wrong = 0
    for number in range(images):
        if number % FRESH_EVERY == 0:
            size, first = 64 * (1 + below(LINES_MAX)), 1 + below(1 << 40)
            chain, count, fork = make_logs(mutant, memory, size, first)
            log = memory + 3 * PLACES * size
        copy_words(log, memory, PLACES * size // 8)
        kind = number % 8
        if kind:
            hurt(kind, log, size, count, fork)
        expected = first_difference(log, memory, size, count)
        accepted, _ = whole(mutant, log, size, first, PLACES, chain)
        store_relaxed(tally + 8 * kind, load_relaxed(tally + 8 * kind) + 1)
        if expected < count:
            store_relaxed(tally + 64, load_relaxed(tally + 64) + 1)
        wrong += accepted != expected
    return wrong


@kernel
def write_out(disk, cache, sector):
    """One sector of what was written gets to the disk: not, whole, or in part."""
    place = sector * SECTOR
    fate = below(4)
    if fate == 0:
        copy_words(disk + place, cache + place, SECTOR // 8)
    elif fate == 1:
        start = below(SECTOR)
        for byte in range(start if below(2) else 0, SECTOR if below(2) else start):
            set_byte(disk, place + byte, byte_at(cache, place + byte))


@kernel
def power_cuts(mutant, seed, cuts, memory, tally):
    """Live and die on one file; how many times something false was found after a cut.

    memory: address of the disk's content, the system's, and the truth, PLACES records each;
    tally: of counts of records that came through, that were lost unacknowledged, and of files.
    """
    seed_with(seed)
    size, first, chain, history = 64, 1, ROOT, ROOT
    length = PLACES * size
    disk, cache, truth = memory, memory + length, memory + 2 * length
    for word in range(3 * length // 8):
        store_relaxed(memory + 8 * word, 0)
    written = durable = wrong = 0
    for _ in range(cuts):
        found, chain = whole(mutant, disk, size, first, PLACES, history)
        false = found > written or first_difference(disk, truth, size, found) < found
        if false or found < durable:
            wrong += 1
            found = min(found, written)
        store_relaxed(tally, load_relaxed(tally) + found)
        store_relaxed(tally + 8, load_relaxed(tally + 8) + max(written - found, 0))
        written = durable = found
        copy_words(cache, disk, length // 8)
        if written == PLACES:  # the next file
            first, history = first + PLACES, chain
            for word in range(3 * length // 8):
                store_relaxed(memory + 8 * word, 0)
            written = durable = 0
            store_relaxed(tally + 16, load_relaxed(tally + 16) + 1)
        wipes = mutant not in (NO_WIPE, UNCHAINED_UNWIPED)
        if wipes:
            for word in range(written * size // 8, length // 8):
                store_relaxed(cache + 8 * word, 0)
        alive = below(8) > 0  # else the next cut comes while the wipe is on its way
        if alive and wipes and mutant != LATE_WIPE:
            copy_words(disk, cache, length // 8)
        if alive:
            written, durable = live(mutant, memory, first, written, chain)
        for sector in range(length // SECTOR):
            write_out(disk, cache, sector)
    return wrong


@kernel
def live(mutant, memory, first, written, chain):
    """Append, sync now and then; how many records are written, and how many acknowledged."""
    size, length = 64, PLACES * 64
    disk, cache, truth = memory, memory + length, memory + 2 * length
    durable = written
    change = 0 if below(2) else 1 + below(1000)  # the same again, or something new
    for _ in range(1 + below(BATCHES)):
        count = min(1 + below(12), PLACES - written)
        place = written * size
        fill(cache + place, size, first + written, count, change)
        chain = close_up(mutant, cache + place, size, first + written, count, chain)
        copy_words(truth + place, cache + place, count * size // 8)
        written += count
        fate = below(4)
        if fate == 0:
            copy_words(disk, cache, length // 8)
            durable = written
        elif fate == 1:  # the system writes some of it out by itself
            for sector in range(length // SECTOR):
                write_out(disk, cache, sector)
        if mutant == EAGER:
            durable = written
    return written, durable


def run_images(mutant: int, seed: int, images: int) -> np.ndarray:
    """Wrong judgements, images by kind of damage, and images that lost records, int64[10]."""
    memory = np.zeros(4 * PLACES * LINES_MAX * 8, np.int64)
    tally = np.zeros(10, np.int64)
    wrong = damaged_images(mutant, seed, images, memory.ctypes.data, tally.ctypes.data)
    return np.concatenate([[wrong], tally[:9]])


def run_cuts(mutant: int, seed: int, cuts: int) -> np.ndarray:
    """Wrong recoveries, records that came through, records lost unacknowledged, files, int64[4]."""
    memory = np.zeros(3 * PLACES * 8, np.int64)
    tally = np.zeros(3, np.int64)
    wrong = power_cuts(mutant, seed, cuts, memory.ctypes.data, tally.ctypes.data)
    return np.concatenate([[wrong], tally])


def campaign(run, total: int, chunk: int) -> tuple[np.ndarray, float]:
    """Run chunks on all cores, production's protocol; the sum of figures, and the seconds."""
    began = time.monotonic()
    sizes = [min(chunk, total - start) for start in range(0, total, chunk)]
    run(RIGHT, 0, 1)  # compiled once, for all
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        figures = sum(pool.map(run, [RIGHT] * len(sizes), range(len(sizes)), sizes))
    return figures, time.monotonic() - began


def main(arguments: list[str]) -> int:
    """Run both campaigns and every mutant, and print tables; 1 where something was wrong."""
    images, cuts = (int(text) for text in [*arguments, IMAGES, CUTS][:2])
    if len(arguments) == 1:
        cuts = CUTS
    hurt_by, seconds = campaign(run_images, images, CHUNK_IMAGES)
    print("| damage | images |\n|---|---:|")
    for kind in Damage:
        print(f"| {kind.name.lower()} | {hurt_by[1 + kind]:,} |")
    print(f"| of them with records lost | {hurt_by[9]:,} |")
    print(f"| judged wrongly | {hurt_by[0]:,} |\n\n{images:,} images in {seconds:.0f} s\n")
    cut, seconds = campaign(run_cuts, cuts, CHUNK_CUTS)
    print("| power cuts | |\n|---|---:|")
    for name, figure in zip(
        ("false content or acknowledged records lost", "records that came through",
         "records lost that nobody was told of", "files"), cut, strict=True
    ):  # fmt: skip
        print(f"| {name} | {figure:,} |")
    print(f"\n{cuts:,} cuts in {seconds:.0f} s\n\n| mutant | caught by | wrong |\n|---|---|---:|")
    missed = 0
    for by, run, mutants, count in (
        ("images", run_images, OF_IMAGES, 100_000),
        ("cuts", run_cuts, OF_CUTS, 20_000),
    ):
        for mutant in mutants:
            wrong = run(mutant.value, 1, count)[0]
            missed += wrong == 0
            print(f"| {mutant.name.lower()} | {by} | {wrong:,} of {count:,} |")
    return int(hurt_by[0] > 0 or cut[0] > 0 or missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
