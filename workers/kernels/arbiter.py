"""One stream out of redundant lines: what comes first wins, order and completeness by sequence.

    address -> | ARBITER | LINE x LINES_MAX | slots: | tag i8 | arrived i8 | length u16 BE | bytes |

Every line carries the same messages under the same numbers, each of them with losses, copies and
swaps of its own. What is next is used where it lies; what came too early waits in a window of
slots, found by its number. A message is missing when no line has brought it `timeout_ns` after a
later one showed that it exists; it is asked for, some times, and then given up. Time is a number
that the caller passes in. What the bytes are is nobody's business here.
"""

from typing import NamedTuple

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE as CACHE_LINE
from ringbuf.record import record
from ringbuf.wire import load_u8, load_u16, load_word, store_u8, store_u16, store_word

LINES_MAX = 9  # eight lines, and where answers to requests come in
BACKOFF_MAX = 6  # the wait for an answer doubles so many times at most
TAG, ARRIVED, FRAME = 0, 8, 16  # offsets in a slot
PREFIX = 2  # bytes of a frame's length

OLD, NEXT, KEPT, BEYOND, OVERRUN = range(5)  # what becomes of a message
NOTHING, ASK, GIVEN_UP = range(3)  # what a look at the clock says

LINE = record(
    [
        ("packets", "i8"),
        ("heartbeats", "i8"),
        ("messages", "i8"),
        ("won", "i8"),  # of them, those that no line had brought before
        ("duplicates", "i8"),
        ("refused", "i8"),  # packets that were none, or of another session
        ("begin", "i8"),  # the first number heard of, 0: none
        ("end", "i8"),  # one past the highest
        ("dropped", "i8"),  # by this host, as its kernel says
        ("lag_ns", "i8"),  # how long after the first line it last brought the same
        ("lag_max_ns", "i8"),
        ("answers", "i8"),  # 1: here come the answers to requests
    ]
)
ARBITER = record(
    [
        ("next", "i8"),  # the next number to go out; 0: not started
        ("known", "i8"),  # one past the highest number that is known to exist
        ("known_ns", "i8"),  # when that became known
        ("seen", "i8"),  # one past the highest that any line has brought
        ("kept", "i8"),  # slots in use
        ("window", "i8"),  # slots, a power of two
        ("slot", "i8"),  # bytes of one
        ("slots", "i8"),  # address of the first
        ("lines", "i8"),
        ("asks", "i8"),  # 1: what is missing can be asked for
        ("timeout_ns", "i8"),
        ("tries", "i8"),  # requests without an answer before a gap is given up
        ("gap_at", "i8"),  # the gap that is waited for: the number that is missing
        ("gap_end", "i8"),  # and the next that is not, or one past what is known
        ("tried", "i8"),
        ("due_ns", "i8"),  # when its patience ends
        ("counted_to", "i8"),  # gaps before this number are counted
        ("marks", "i8"),  # slots that tell of a message given up
        ("probe", "i8"),  # a number whose other copies are timed; 0: none
        ("probe_ns", "i8"),
        ("probe_line", "i8"),
        ("duplicates", "i8"),
        ("late", "i8"),  # came after they had been given up
        ("beyond", "i8"),  # came too early even for the window
        ("oversize", "i8"),  # came too early, too long for a slot
        ("gaps", "i8"),
        ("lost", "i8"),
        ("recovered", "i8"),
        ("out_of_order", "i8"),
    ]
)
LINE_SIZE, LINES_AT = LINE.itemsize, ARBITER.itemsize
SLOTS_AT = -(-(LINES_AT + LINES_MAX * LINE.itemsize) // CACHE_LINE) * CACHE_LINE


class Limits(NamedTuple):
    """How much an arbiter remembers, and how patient it is."""

    window: int = 1 << 16  # messages that may wait for earlier ones, a power of two
    message: int = 110  # bytes of the longest message that may
    lines: int = 2
    timeout_ns: int = 20_000_000
    asks: bool = False
    tries: int = 5

    @property
    def slot(self) -> int:
        """Bytes of a slot, whole words."""
        return -(-(FRAME + PREFIX + self.message) // 8) * 8


def bytes_needed(limits: Limits) -> int:
    """Bytes of memory that an arbiter takes."""
    return SLOTS_AT + limits.window * limits.slot


def create(arbiter: int, limits: Limits) -> None:
    """Set an arbiter up in zeroed memory at an address."""
    assert limits.window & (limits.window - 1) == 0, limits
    assert 0 < limits.lines < LINES_MAX, limits
    header = at(arbiter, ARBITER)
    header.window, header.slot, header.slots = limits.window, limits.slot, arbiter + SLOTS_AT
    header.lines, header.timeout_ns = limits.lines, limits.timeout_ns
    header.asks, header.tries = int(limits.asks), limits.tries


def line_view(arbiter: int, line: int):
    """A line's LINE record, for Python to read and write: compiled kernels return copies."""
    return at(arbiter + LINES_AT + line * LINE_SIZE, LINE)


@kernel
def line_at(arbiter, line):
    """The LINE record of a line."""
    return at(arbiter + LINES_AT + line * LINE_SIZE, LINE)


@kernel
def begin(arbiter, sequence):
    """Start with a message, and forget all that waits."""
    header = at(arbiter, ARBITER)
    for number in range(header.window):
        store_word(slot_of(arbiter, number), 0)
    header.next = header.known = header.seen = sequence
    header.kept = header.marks = header.gap_end = header.probe = header.counted_to = 0


@kernel
def slot_of(arbiter, sequence):
    """Where a message waits, or would."""
    header = at(arbiter, ARBITER)
    place = int(sequence) & (int(header.window) - 1)
    return int(header.slots) + place * int(header.slot)


@kernel
def heard(arbiter, line, sequence, count, now_ns):
    """A line speaks of messages from a number on: all before exist."""
    header, source = at(arbiter, ARBITER), line_at(arbiter, line)
    source.packets += 1
    source.heartbeats += count == 0
    source.messages += count
    if source.begin == 0:
        source.begin = source.end = sequence
    source.end = max(source.end, sequence + count)
    if sequence > header.known:
        header.known, header.known_ns = sequence, now_ns


@kernel
def measure_lag(arbiter, line, sequence, count, now_ns):
    """Time how long a line takes to bring what another has brought first."""
    header = at(arbiter, ARBITER)
    if header.probe > 0 and line != header.probe_line:
        if sequence <= header.probe < sequence + count:
            source = line_at(arbiter, line)
            source.lag_ns = max(now_ns - header.probe_ns, 0)
            source.lag_max_ns = max(source.lag_max_ns, source.lag_ns)
            header.probe = 0
    if header.probe == 0 or header.probe + header.window < header.next:
        if count > 0 and sequence >= header.next and not line_at(arbiter, line).answers:
            header.probe, header.probe_line, header.probe_ns = sequence, line, now_ns


@kernel
def pass_over(arbiter, line, sequence, count):
    """Messages that are behind: copies, or such as came after they were given up."""
    header = at(arbiter, ARBITER)
    late = 0
    if header.marks > 0:
        reach = max(sequence, header.next - header.window)
        for number in range(reach, sequence + count):
            slot = slot_of(arbiter, number)
            if load_word(slot) == -number:
                store_word(slot, 0)
                header.marks -= 1
                late += 1
    header.late += late
    header.duplicates += count - late
    line_at(arbiter, line).duplicates += count - late


@kernel
def accept(arbiter, line, sequence, count):
    """Count messages that a line was the first to bring."""
    header, source = at(arbiter, ARBITER), line_at(arbiter, line)
    source.won += count
    if source.answers:
        header.recovered += count
    else:
        header.out_of_order += max(0, min(header.seen - sequence, count))
    header.seen = max(header.seen, sequence + count)
    header.known = max(header.known, sequence + count)


@kernel
def take(arbiter, line, sequence, count):
    """How many of `count` messages that begin with the next one go out now; they count as gone."""
    header = at(arbiter, ARBITER)
    run = count
    if header.kept > 0:
        run = 1
        while run < count and not waits(arbiter, sequence + run):
            run += 1
    accept(arbiter, line, sequence, run)
    header.next += run
    return run


@kernel
def waits(arbiter, sequence):
    """Whether a message is in the window."""
    return load_word(slot_of(arbiter, sequence)) == sequence


@kernel
def offer(arbiter, line, sequence, message, length, now_ns):
    """Take one message of `length` bytes: what became of it. NEXT: it is for the caller to use.

    OVERRUN: nothing was done, as a gap must be given up first to make room.
    """
    header = at(arbiter, ARBITER)
    if sequence < header.next or waits(arbiter, sequence):
        pass_over(arbiter, line, sequence, 1)
        return OLD
    if sequence == header.next:
        take(arbiter, line, sequence, 1)
        return NEXT
    if sequence > header.known:
        header.known, header.known_ns = sequence, now_ns
    if sequence - header.next >= header.window:
        if not header.asks:
            if header.gap_end <= header.next:
                look(arbiter)
            header.gap_end = min(header.gap_end, sequence)
            return OVERRUN
        return drop(arbiter, sequence, now_ns)
    if PREFIX + length > header.slot - FRAME:
        header.oversize += 1
        return drop(arbiter, sequence, now_ns)
    keep(arbiter, sequence, message, length, now_ns)
    accept(arbiter, line, sequence, 1)
    return KEPT


@kernel
def drop(arbiter, sequence, now_ns):
    """Do without a message that cannot wait; it will be missing."""
    header = at(arbiter, ARBITER)
    header.beyond += 1
    header.seen = max(header.seen, sequence + 1)
    if sequence >= header.known:
        header.known, header.known_ns = sequence + 1, now_ns
    return BEYOND


@kernel
def keep(arbiter, sequence, message, length, now_ns):
    """Put a message into its slot."""
    header, slot = at(arbiter, ARBITER), slot_of(arbiter, sequence)
    header.marks -= load_word(slot) < 0
    store_word(slot, sequence)
    store_word(slot + ARRIVED, now_ns)
    store_u16(slot + FRAME, length)
    copy_bytes(slot + FRAME + PREFIX, message, length)
    header.kept += 1
    header.gap_end = min(header.gap_end, sequence)


@kernel
def ready(arbiter):
    """Address of the frame (length, bytes) of the next message, if it waited; 0 if not.

    It counts as gone, and lies there until the next message is offered.
    """
    header = at(arbiter, ARBITER)
    if header.kept == 0 or not waits(arbiter, header.next):
        return 0
    slot = slot_of(arbiter, header.next)
    store_word(slot, 0)
    header.kept -= 1
    header.next += 1
    return slot + FRAME


@kernel
def frame_length(frame):
    """Bytes of a frame, its prefix among them."""
    return PREFIX + load_u16(frame)


@kernel
def look(arbiter):
    """See where the gap ends that begins at the next number, and since when it is known."""
    header = at(arbiter, ARBITER)
    end, since = header.known, header.known_ns
    if header.kept > 0:
        for number in range(header.next, min(header.known, header.next + header.window)):
            if waits(arbiter, number):
                end, since = number, load_word(slot_of(arbiter, number) + ARRIVED)
                break
    header.gap_at, header.gap_end, header.tried = header.next, end, 0
    header.due_ns = since + header.timeout_ns


@kernel
def tend(arbiter, now_ns):
    """What is to be done about a gap now: NOTHING, ASK for it, or it was GIVEN_UP.

    What is ready is to be taken first. A gap that is found open counts once its time is out.
    """
    header = at(arbiter, ARBITER)
    if header.next == 0 or header.next >= header.known:
        return NOTHING
    if header.gap_end <= header.next:
        look(arbiter)
    elif header.gap_at != header.next:  # some of it came
        header.gap_at = header.next
        if header.tried > 0:
            header.tried, header.due_ns = 0, now_ns
    if now_ns < header.due_ns:
        return NOTHING
    if header.gap_end > header.counted_to:
        header.gaps += header.next > header.counted_to
        header.counted_to = header.gap_end
    if header.asks and header.tried < header.tries:
        header.due_ns = now_ns + (header.timeout_ns << min(header.tried, BACKOFF_MAX))
        header.tried += 1
        return ASK
    give_up(arbiter)
    return GIVEN_UP


@kernel
def give_up(arbiter):
    """Go on behind the gap; remember what was in it as far as the window reaches."""
    header = at(arbiter, ARBITER)
    if header.gap_end <= header.next:
        look(arbiter)
    if header.gap_end > header.counted_to:
        header.gaps += header.next > header.counted_to
        header.counted_to = header.gap_end
    header.lost += header.gap_end - header.next
    first = max(header.next, header.gap_end - header.window)
    for number in range(first, header.gap_end):
        slot = slot_of(arbiter, number)
        if load_word(slot) <= 0:
            header.marks += load_word(slot) == 0
            store_word(slot, -number)
    header.next = header.gap_end
    header.gap_end = 0


@kernel
def copy_bytes(target, source, length):
    """Copy bytes that do not overlap, whole words first."""
    whole = length - length % 8
    for place in range(0, whole, 8):
        store_word(target + place, load_word(source + place))
    for place in range(whole, length):
        store_u8(target + place, load_u8(source + place))
