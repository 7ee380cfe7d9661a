"""A venue's checksum of its book, compared with ours: the CRC-32 of prices and quantities as text.

The text is made digit by digit from the integers of the book, and never stored. Kraken (API guide,
"Book checksum"): the ten best asks, then the ten best bids, each price and quantity without its
point and without leading zeros. OKX (API guide, "Checksum"): the 25 best bids and asks in turns,
"price:quantity" joined by colons, numbers without trailing zeros.
"""

import numpy as np

from ringbuf.jit import kernel
from workers.kernels import bookview
from workers.records import Checksum, Side

KRAKEN_LEVELS, OKX_LEVELS = 10, 25
DIGITS_MAX = 19
START = 0xFFFFFFFF
COLON, DOT, ZERO = ord(":"), ord("."), ord("0")
POLYNOMIAL = 0xEDB88320  # of IEEE 802.3, reflected


def remainder(value: int) -> int:
    """What a byte leaves of eight steps of the division."""
    for _ in range(8):
        value = value >> 1 ^ POLYNOMIAL * (value & 1)
    return value


TABLE = np.array([remainder(value) for value in range(256)], np.int64)


@kernel
def agrees(book, event, price_scale, lot_decimals):
    """Whether the book of a CHECK event's instrument has the checksum that it carries."""
    decimals = 0
    while price_scale >= 10:
        price_scale //= 10
        decimals += 1
    instrument = int(event.instrument)
    if event["flags"] == Checksum.KRAKEN:
        price_up, lot_up = int(event.price) - decimals, int(event.quantity) - lot_decimals
        crc = kraken(book, instrument, price_up, lot_up)
    elif event["flags"] == Checksum.OKX:
        crc = okx(book, instrument, decimals, lot_decimals)
    else:
        return False
    return crc ^ START == event.order


@kernel
def kraken(book, instrument, price_up, lot_up):
    """The ten best asks, then the ten best bids; so many decimals more than ours are printed."""
    crc = START
    for side in (Side.ASK, Side.BID):
        for depth in range(KRAKEN_LEVELS):
            price, quantity, _ = bookview.depth_level(book, instrument, side, depth)
            if quantity > 0:
                crc = digits(crc, shifted(price, price_up))
                crc = digits(crc, shifted(quantity, lot_up))
    return crc


@kernel
def shifted(number, decimals):
    """A number with so many decimals more, or less."""
    for _ in range(min(abs(decimals), DIGITS_MAX)):
        number = number * 10 if decimals > 0 else number // 10
    return number


@kernel
def okx(book, instrument, decimals, lot_decimals):
    """The 25 best of both sides in turns."""
    crc, first = START, True
    for depth in range(OKX_LEVELS):
        for side in (Side.BID, Side.ASK):
            price, quantity, _ = bookview.depth_level(book, instrument, side, depth)
            if quantity > 0:
                if not first:
                    crc = byte(crc, COLON)
                first = False
                crc = decimal(crc, price, decimals)
                crc = decimal(byte(crc, COLON), quantity, lot_decimals)
    return crc


@kernel
def decimal(crc, number, decimals):
    """Fold a number of so many decimals in, without zeros at its end."""
    while decimals > 0 and number % 10 == 0:
        number //= 10
        decimals -= 1
    unit = 1
    for _ in range(decimals):
        unit *= 10
    crc = digits(crc, number // unit)
    if decimals > 0:
        crc = byte(crc, DOT)
        while unit > 1:
            unit //= 10
            crc = byte(crc, ZERO + number // unit % 10)
    return crc


@kernel
def digits(crc, number):
    """Fold the digits of a number in, from the first one that is not 0; one 0 for 0."""
    unit = 1
    while number // unit >= 10:
        unit *= 10
    while unit > 0:
        crc = byte(crc, ZERO + number // unit % 10)
        unit //= 10
    return crc


@kernel
def byte(crc, value):
    """Fold one byte into a CRC-32 (IEEE 802.3, reflected)."""
    return crc >> 8 ^ TABLE[(crc ^ value) & 0xFF]
