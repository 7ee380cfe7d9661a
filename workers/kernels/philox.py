"""Random bits by counting: Philox 4x32-10 and 4x64-10 (Salmon, Moraes, Dror and Shaw 2011).

A block of four words is a function of a counter and a key, nothing else. So the numbers of a path
are known by its name, (seed, portfolio, path): they are the same in whatever order, chunk, process
or machine they are made, and no path needs those before it.

    key      seed, 64 bits
    counter  block of the path, portfolio, path low, path high: 32 bits each

Plain integers below 2^63 and masks all along: so the same source runs compiled, where a product
wraps at 64 bits, and uncompiled, where it does not. A word of 64 bits is a pair of halves.
"""

from ringbuf.jit import kernel

MASK = 0xFFFFFFFF
MULTIPLY_0, MULTIPLY_1 = 0xD2511F53, 0xCD9E8D57
WEYL_0, WEYL_1 = 0x9E3779B9, 0xBB67AE85  # what the key grows by each round
WIDE_0_HIGH, WIDE_0_LOW = 0xD2E7470E, 0xE14C6C93
WIDE_1_HIGH, WIDE_1_LOW = 0xCA5A8263, 0x95121157
WEYL_0_HIGH, WEYL_0_LOW = 0x9E3779B9, 0x7F4A7C15
WEYL_1_HIGH, WEYL_1_LOW = 0xBB67AE85, 0x84CAA73B
ROUNDS = 10


@kernel
def block(seed, portfolio, path, number):
    """Four words of 32 bits: block `number` of a path of a portfolio, under a seed."""
    return philox_4x32(
        number & MASK,
        portfolio & MASK,
        path & MASK,
        (path >> 32) & MASK,
        seed & MASK,
        (seed >> 32) & MASK,
        ROUNDS,
    )


@kernel
def philox_4x32(c0, c1, c2, c3, k0, k1, rounds):
    """Counter and key to four words; all of 32 bits."""
    for _ in range(rounds):
        first, second = MULTIPLY_0 * c0, MULTIPLY_1 * c2
        c0, c1, c2, c3 = (
            ((second >> 32) & MASK) ^ c1 ^ k0,
            second & MASK,
            ((first >> 32) & MASK) ^ c3 ^ k1,
            first & MASK,
        )
        k0, k1 = (k0 + WEYL_0) & MASK, (k1 + WEYL_1) & MASK
    return c0, c1, c2, c3


@kernel
def philox_4x64(counter, key, rounds):
    """Counter (four words) and key (two words) to four words, each word a pair (high, low)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        first = multiply(WIDE_0_HIGH, WIDE_0_LOW, c0[0], c0[1])
        second = multiply(WIDE_1_HIGH, WIDE_1_LOW, c2[0], c2[1])
        c0, c1, c2, c3 = (
            (second[0] ^ c1[0] ^ k0[0], second[1] ^ c1[1] ^ k0[1]),
            (second[2], second[3]),
            (first[0] ^ c3[0] ^ k1[0], first[1] ^ c3[1] ^ k1[1]),
            (first[2], first[3]),
        )
        k0 = add(k0[0], k0[1], WEYL_0_HIGH, WEYL_0_LOW)
        k1 = add(k1[0], k1[1], WEYL_1_HIGH, WEYL_1_LOW)
    return c0, c1, c2, c3


@kernel
def multiply(a_high, a_low, b_high, b_low):
    """The 128-bit product of two words as four halves, the highest first."""
    low, middle = a_low * b_low, a_high * b_low
    other, high = a_low * b_high, a_high * b_high
    second = ((low >> 32) & MASK) + (middle & MASK) + (other & MASK)
    third = ((middle >> 32) & MASK) + ((other >> 32) & MASK) + (high & MASK) + (second >> 32)
    fourth = ((high >> 32) & MASK) + (third >> 32)
    return fourth & MASK, third & MASK, second & MASK, low & MASK


@kernel
def add(a_high, a_low, b_high, b_low):
    """The sum of two words, modulo 2^64, as two halves."""
    low = a_low + b_low
    return (a_high + b_high + (low >> 32)) & MASK, low & MASK
