"""Sums of price times quantity, exact: two words of 62 bits, as one word cannot hold them."""

from ringbuf.jit import kernel

LIMIT = 1 << 61  # of a price, of a quantity and of a sum of quantities
HALF, WORD = 31, 62
LOW_HALF, LOW_WORD = (1 << HALF) - 1, (1 << WORD) - 1
WORD_UNIT = float(1 << WORD)


@kernel
def add_product(high, low, price, quantity):
    """high x 2**62 + low plus price x quantity, as (high, low); factors from 0 to LIMIT."""
    price_high, price_low = price >> HALF, price & LOW_HALF
    quantity_high, quantity_low = quantity >> HALF, quantity & LOW_HALF
    low += price_low * quantity_low
    high += low >> WORD
    low &= LOW_WORD
    middle = price_high * quantity_low + price_low * quantity_high
    low += (middle & LOW_HALF) << HALF
    high += (low >> WORD) + (middle >> HALF) + price_high * quantity_high
    return high, low & LOW_WORD


@kernel
def average(high, low, volume):
    """The sum over a volume, within two units in the last place; 0.0 where there is no volume."""
    if volume <= 0:
        return 0.0
    return (float(high) * WORD_UNIT + float(low)) / float(volume)
