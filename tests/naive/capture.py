"""Captures written the obvious way: pcap and pcapng, of every link type that is read."""

import struct

ETHERNET, RAW, COOKED, COOKED_2, NULL = 1, 101, 113, 276, 0


def udp(
    payload: bytes, destination: tuple[str, int], source=("10.0.0.1", 5000), options=b""
) -> bytes:
    """An IPv4 packet that holds a UDP packet."""
    inner = struct.pack(">HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
    head = 20 + len(options)
    addresses = b"".join(bytes(map(int, host.split("."))) for host in (source[0], destination[0]))
    fixed = struct.pack(">BBHIBBH", 0x40 | head // 4, 0, head + len(inner), 0, 9, 17, 0)
    return fixed + addresses + options + inner


LINKS = {
    "ethernet": (ETHERNET, lambda ip: bytes(12) + b"\x08\x00" + ip + b"padding"),
    "vlan": (ETHERNET, lambda ip: bytes(12) + b"\x81\x00\0\x07\x08\x00" + ip),
    "two vlans": (ETHERNET, lambda ip: bytes(12) + b"\x88\xa8\0\x07\x81\x00\0\x01\x08\x00" + ip),
    "raw": (RAW, lambda ip: ip),
    "cooked": (COOKED, lambda ip: bytes(14) + b"\x08\x00" + ip),
    "cooked 2": (COOKED_2, lambda ip: b"\x08\x00" + bytes(18) + ip),
    "loopback": (NULL, lambda ip: b"\x02\0\0\0" + ip),
}


def pcap(link: int, frames: list[tuple[int, bytes]], order="<", unit=1) -> bytes:
    """A pcap file of (time in ns, frame); unit: 1 for nanoseconds, 1000 for microseconds."""
    magic = 0xA1B23C4D if unit == 1 else 0xA1B2C3D4
    out = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 1 << 18, link)
    for time, frame in frames:
        parts = (time // 10**9, time % 10**9 // unit, len(frame), len(frame))
        out += struct.pack(order + "IIII", *parts) + frame
    return out


def block(order: str, kind: int, body: bytes) -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def pcapng(link: int, frames: list[tuple[int, bytes]], order="<", digits=6) -> bytes:
    """A pcapng file whose second interface counts time in 10 ** -digits seconds."""
    begin = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    option = struct.pack(order + "HHB3x", 9, 1, digits) + struct.pack(order + "HH", 0, 0)
    out = block(order, 0x0A0D0D0A, begin)
    out += block(order, 1, struct.pack(order + "HHI", 147, 0, 0))
    out += block(order, 1, struct.pack(order + "HHI", link, 0, 0) + option)
    out += block(order, 0xBAD, b"of no known kind")
    for time, frame in frames:
        ticks = time // 10 ** (9 - digits)
        head = struct.pack(
            order + "IIIII", 1, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)
        )
        out += block(order, 6, head + frame)
    return out
