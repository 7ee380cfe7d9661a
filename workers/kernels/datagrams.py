"""What recvmmsg(2) filled in, as PACKET records."""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels.arbiter import line_at
from workers.kernels.mold import MOLD, PACKET, PACKET_SIZE

SOL_SOCKET, RXQ_OVFL, TIMESTAMP_NS = 1, 40, 35  # levels and types of control messages
TRUNCATED = 0x20  # MSG_TRUNC: the packet was longer than its room
NS = 10**9

IOVEC = record([("start", "i8"), ("length", "i8")])
MMSGHDR = record(
    [
        ("name", "i8"),
        ("name_length", "i8"),
        ("iovec", "i8"),
        ("iovecs", "i8"),
        ("control", "i8"),
        ("control_length", "i8"),
        ("flags", "i4"),
        ("spare", "i4"),
        ("length", "i8"),
    ]
)
IOVEC_SIZE, MMSGHDR_SIZE = IOVEC.itemsize, MMSGHDR.itemsize
CMSGHDR = record([("length", "i8"), ("level", "i4"), ("type", "i4")])
HEAD = CMSGHDR.itemsize
CONTENT = record([("first", "i8"), ("second", "i8")])
COUNT = record([("number", "u4")])


@kernel
def gather(state, headers, count, line, room, control, now_ns):
    """Append the packets that one call read to the batch; their room is free until the next."""
    header = at(state, MOLD)
    for number in range(count):
        filled = at(headers + number * MMSGHDR_SIZE, MMSGHDR)
        packet = at(header.batch + header.packets * PACKET_SIZE, PACKET)
        packet.address = at(int(filled.iovec), IOVEC).start
        packet.length, packet.line = min(filled.length, room), line
        if filled["flags"] & TRUNCATED:
            packet.length = 0  # refused as no packet
        told, size = int(filled.control), int(filled.control_length)
        packet.arrived_ns = notes(state, told, size, line, now_ns)
        filled.control_length = control
        header.packets += 1


@kernel
def notes(state, address, length, line, now_ns):
    """Read a packet's control messages: note what was dropped; when it came, or `now_ns`."""
    arrived_ns = now_ns
    position = 0
    while position + HEAD <= length:
        head = at(address + position, CMSGHDR)
        if head.length < HEAD or position + head.length > length:
            break
        if head.level == SOL_SOCKET and head.type == TIMESTAMP_NS and head.length >= HEAD + 16:
            stamp = at(address + position + HEAD, CONTENT)
            arrived_ns = stamp.first * NS + stamp.second
        elif head.level == SOL_SOCKET and head.type == RXQ_OVFL and head.length >= HEAD + 4:
            dropped = at(address + position + HEAD, COUNT).number
            line_at(int(at(state, MOLD).arbiter), line).dropped = dropped
        position += (head.length + 7) // 8 * 8
    return arrived_ns
