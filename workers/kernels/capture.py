"""UDP packets out of pcap and pcapng captures, and pcap records out of UDP packets.

    pcap:    header 24 | time s, time part, kept, whole (u32 each) | frame ... | time ...
    pcapng:  blocks: type u32, length u32, body, length u32; bodies of type 6 hold frames

Frames are Ethernet (with VLAN tags or without), Linux cooked, loopback or plain IP; what is not
a whole IPv4 UDP packet is passed over and counted. Nothing is read outside the bytes given.
(Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.)
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.wire import load_u8, load_u16, load_u32, store_u8, store_u16, store_u32
from workers.kernels.arbiter import LINES_MAX, copy_bytes
from workers.kernels.mold import PACKET, PACKET_SIZE

MAGIC_US, MAGIC_NS = 0xA1B2C3D4, 0xA1B23C4D
SECTION, INTERFACE, PLAIN, ENHANCED = 0x0A0D0D0A, 1, 3, 6  # pcapng blocks
BYTE_ORDER = 0x1A2B3C4D
FILE_HEADER, RECORD_HEADER = 24, 16
BLOCK_HEADER, BLOCK_LEAST, BLOCK_ENHANCED = 8, 12, 32  # 32: all but the frame
KEPT_MAX = 1 << 18  # bytes of a frame that are believed: what capture programs keep at most
WHOLE_MAX = 1 << 15  # bytes of a frame that is looked at: longer ones are no market data
INTERFACES = 16
TIME_MAX = (1 << 63) - 1  # ns
RESOLUTION, END_OF_OPTIONS = 9, 0  # options of an interface
S, MS, US, NS = 1, 10**3, 10**6, 10**9
ETHERNET, RAW, RAW_BSD, RAW_OPENBSD, COOKED, COOKED_2, IPV4_LINK, NULL, LOOP = (
    1, 101, 12, 14, 113, 276, 228, 0, 108,
)  # fmt: skip
IPV4, UDP = 0x0800, 17
VLAN_TAGS = 4  # at most so many
IP_LEAST, UDP_HEADER = 20, 8

CAPTURE = record(
    [
        ("consumed", "i8"),  # bytes that the last call is done with
        ("skip", "i8"),  # bytes to leave out before the next record
        ("begun", "i8"),  # 1: the file's header is read
        ("blocks", "i8"),  # 1: pcapng
        ("swapped", "i8"),  # 1: numbers are big-endian
        ("broken", "i8"),  # 1: what follows makes no sense
        ("kinds", "i8", (INTERFACES,)),  # link types
        ("units", "i8", (INTERFACES,)),  # time units in a second
        ("interfaces", "i8"),
        ("open", "i8"),  # 1: every destination is a line
        ("lines", "i8"),
        ("keys", "i8", (LINES_MAX,)),  # their destinations
        ("answers", "i8"),  # the line of the answers to requests, and
        ("answers_key", "i8"),  # where they come from; 0: nowhere
        ("frames", "i8"),
        ("packets", "i8"),  # frames that hold a packet of a line
        ("others", "i8"),  # frames that hold none
    ]
)


@kernel
def number(state, address):
    """The 32-bit number at an address, by the file's byte order."""
    value = load_u32(address)
    if at(state, CAPTURE).swapped:
        return value
    swapped = (value >> 24) | ((value >> 8) & 0xFF00) | ((value & 0xFF00) << 8)
    return swapped | (value & 0xFF) << 24


@kernel
def half(state, address):
    """The 16-bit number at an address, by the file's byte order."""
    value = load_u16(address)
    if at(state, CAPTURE).swapped:
        return value
    return (value >> 8) | (value & 0xFF) << 8


@kernel
def packets(state, data, length, batch, limit):
    """Find at most `limit` packets in `length` bytes; write PACKET records, return how many.

    `consumed` says how many bytes are done with: the rest is to come again with more behind it.
    """
    header = at(state, CAPTURE)
    position = found = 0
    while found < limit and not header.broken:
        left = length - position
        if header.skip > 0:
            stride = int(min(header.skip, left))
            header.skip -= stride
        elif not header.begun:
            stride = open_file(state, data + position, left)
        elif header.blocks:
            stride = block(state, data + position, left, batch + found * PACKET_SIZE)
        else:
            stride = frame(state, data + position, left, batch + found * PACKET_SIZE)
        if stride == 0 and (header.skip == 0 or left == 0):
            break
        found += stride < 0
        position += abs(stride)
    header.consumed = position
    return found


@kernel
def open_file(state, address, length):
    """Read the header of a pcap file; pcapng has none: its first block says enough."""
    header = at(state, CAPTURE)
    if length < FILE_HEADER:
        return 0
    header.begun = 1
    if load_u32(address) == SECTION:
        header.blocks = 1
        return block(state, address, length, 0)
    for swapped in range(2):
        header.swapped = swapped
        magic = number(state, address)
        if magic in (MAGIC_US, MAGIC_NS):
            header.units[0] = NS if magic == MAGIC_NS else US
            header.kinds[0], header.interfaces = number(state, address + 20) & 0xFFFF, 1
            return FILE_HEADER
    header.broken = 1
    return 0


@kernel
def frame(state, address, length, target):
    """One record of a pcap file: its bytes, negative where a packet was found; 0: more needed."""
    if length < RECORD_HEADER:
        return 0
    kept = number(state, address + 8)
    if not believed(state, kept):
        return 0
    if kept > WHOLE_MAX:
        return pass_frame(state, RECORD_HEADER + kept)
    if length < RECORD_HEADER + kept:
        return 0
    header = at(state, CAPTURE)
    unit = NS // int(header.units[0])
    time_ns = number(state, address) * NS + number(state, address + 4) * unit
    found = datagram(state, 0, address + RECORD_HEADER, kept, time_ns, target)
    return -(RECORD_HEADER + kept) if found else RECORD_HEADER + kept


@kernel
def believed(state, size):
    """Whether a frame or block can be that long; if not, the rest of the file makes no sense."""
    if size <= KEPT_MAX:
        return True
    at(state, CAPTURE).broken = 1
    return False


@kernel
def pass_frame(state, whole):
    """Leave out a record that is longer than what is ever looked at."""
    header = at(state, CAPTURE)
    header.frames += 1
    header.others += 1
    header.skip = whole
    return 0


@kernel
def block(state, address, length, target):
    """One block of a pcapng file, as `frame`."""
    if length < BLOCK_LEAST:
        return 0
    kind = load_u32(address)
    if kind == SECTION and not section(state, address):
        return 0
    header = at(state, CAPTURE)
    kind, whole = number(state, address), number(state, address + 4)
    if whole < BLOCK_LEAST or whole % 4 > 0 or not believed(state, whole):
        header.broken = 1
        return 0
    if whole > WHOLE_MAX:
        return pass_frame(state, whole)
    if length < whole:
        return 0
    if number(state, address + whole - 4) != whole:
        header.broken = 1
        return 0
    if kind == INTERFACE:
        interface(state, address, whole)
    elif kind in (ENHANCED, PLAIN) and enhanced(state, kind, address, whole, target):
        return -whole
    return whole


@kernel
def section(state, address):
    """Learn the byte order of a section, whose interfaces count anew."""
    header = at(state, CAPTURE)
    header.interfaces = 0
    for swapped in range(2):
        header.swapped = swapped
        if number(state, address + BLOCK_HEADER) == BYTE_ORDER:
            return True
    header.broken = 1
    return False


@kernel
def interface(state, address, whole):
    """Note what frames of an interface are, and how it counts time: microseconds, or as it says."""
    header = at(state, CAPTURE)
    if header.interfaces == INTERFACES or whole < 20:
        return
    place = header.interfaces
    header.kinds[place], header.units[place] = half(state, address + BLOCK_HEADER), US
    header.interfaces += 1
    position = 16
    while position + 4 <= whole - 4:
        code, size = half(state, address + position), half(state, address + position + 2)
        if code == END_OF_OPTIONS or position + 4 + size > whole - 4:
            return
        if code == RESOLUTION and size == 1:
            digits = load_u8(address + position + 4)
            if digits in (0, 3, 6, 9):
                header.units[place] = 10**digits
        position += 4 + (size + 3) // 4 * 4


@kernel
def enhanced(state, kind, address, whole, target):
    """A frame with interface and time; one without (a plain one) has time 0."""
    header = at(state, CAPTURE)
    if kind == PLAIN or whole < BLOCK_ENHANCED:
        header.frames += 1
        header.others += 1
        return False
    place, kept = number(state, address + 8), number(state, address + 20)
    if place >= header.interfaces or kept > whole - BLOCK_ENHANCED:
        header.frames += 1
        header.others += 1
        return False
    ticks = (number(state, address + 12) & 0x7FFFFFFF) << 32 | number(state, address + 16)
    unit = NS // int(header.units[place])
    time_ns = min(ticks, TIME_MAX // unit) * unit
    return datagram(state, place, address + 28, kept, time_ns, target)


@kernel
def datagram(state, place, address, length, time_ns, target):
    """Write the PACKET of a frame, where it holds one of a line; whether it does."""
    header = at(state, CAPTURE)
    header.frames += 1
    start = ip_start(header.kinds[place], address, length)
    if start < 0 or not whole_udp(address + start, length - start):
        header.others += 1
        return False
    ip = address + start
    udp = ip + (load_u8(ip) & 15) * 4
    source = load_u32(ip + 12) << 16 | load_u16(udp)
    line = line_of(state, source, load_u32(ip + 16) << 16 | load_u16(udp + 2))
    if line < 0:
        header.others += 1
        return False
    header.packets += 1
    packet = at(target, PACKET)
    packet.address, packet.length = udp + UDP_HEADER, load_u16(udp + 4) - UDP_HEADER
    packet.line, packet.arrived_ns = line, time_ns
    return True


@kernel
def ip_start(kind, address, length):
    """Where a frame's IPv4 packet starts; -1 where it has none."""
    if kind == ETHERNET:
        return typed(address, length, 12)
    if kind == COOKED:
        return typed(address, length, 14)
    if kind == COOKED_2:
        return 20 if length >= 20 and load_u16(address) == IPV4 else -1
    if kind in (RAW, RAW_BSD, RAW_OPENBSD, IPV4_LINK):
        return 0
    return 4 if kind in (NULL, LOOP) else -1


@kernel
def typed(address, length, offset):
    """Behind the type of a frame's content at an offset, and VLAN tags before it."""
    for _ in range(VLAN_TAGS + 1):
        if length < offset + 2:
            return -1
        kind = load_u16(address + offset)
        if kind == IPV4:
            return offset + 2
        if kind not in (0x8100, 0x88A8, 0x9100):
            return -1
        offset += 4
    return -1


@kernel
def whole_udp(ip, length):
    """Whether bytes are one whole IPv4 packet that holds one whole UDP packet."""
    if length < IP_LEAST or load_u8(ip) >> 4 != 4:
        return False
    head, whole = (load_u8(ip) & 15) * 4, load_u16(ip + 2)
    if head < IP_LEAST or whole > length or whole < head + UDP_HEADER:
        return False
    if load_u8(ip + 9) != UDP or load_u16(ip + 6) & 0x3FFF:  # a fragment
        return False
    size = load_u16(ip + head + 4)
    return UDP_HEADER <= size <= whole - head


@kernel
def line_of(state, source, destination):
    """The line of a packet by its addresses; -1 for none."""
    header = at(state, CAPTURE)
    if header.answers_key > 0 and source == header.answers_key:
        return header.answers
    for line in range(header.lines):
        if header.keys[line] == destination:
            return line
    if not header.open or header.lines == LINES_MAX - 1:
        return -1
    header.keys[header.lines] = destination
    header.lines += 1
    return header.lines - 1


@kernel
def append(state, batch, count, target):
    """Write PACKETs as records of a nanosecond pcap file of plain IP, big-endian; the bytes."""
    header = at(state, CAPTURE)
    position = target
    for place in range(count):
        packet = at(batch + place * PACKET_SIZE, PACKET)
        size = int(packet.length) + IP_LEAST + UDP_HEADER
        store_u32(position, packet.arrived_ns // NS)
        store_u32(position + 4, packet.arrived_ns % NS)
        store_u32(position + 8, size)
        store_u32(position + 12, size)
        ip = position + RECORD_HEADER
        answer = header.answers_key > 0 and packet.line == header.answers
        source = int(header.answers_key) if answer else 0
        destination = 0 if answer else int(header.keys[packet.line])
        write_headers(ip, size, source, destination)
        copy_bytes(ip + IP_LEAST + UDP_HEADER, int(packet.address), int(packet.length))
        position = ip + size
    return position - target


@kernel
def write_headers(ip, size, source, destination):
    """An IPv4 and a UDP header, without the checksums, which are optional or not looked at."""
    store_u16(ip, 0x4500)
    store_u16(ip + 2, size)
    store_u32(ip + 4, 0)
    store_u8(ip + 8, 1)
    store_u8(ip + 9, UDP)
    store_u16(ip + 10, 0)
    store_u32(ip + 12, source >> 16)
    store_u32(ip + 16, destination >> 16)
    store_u16(ip + 20, source & 0xFFFF)
    store_u16(ip + 22, destination & 0xFFFF)
    store_u16(ip + 24, size - IP_LEAST)
    store_u16(ip + 26, 0)
