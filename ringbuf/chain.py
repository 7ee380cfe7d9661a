"""What a record's place in a log is proven by: a checksum that includes all records before it.

In a log a record's last 8 bytes hold a chain value in place of the sequence, which follows from
where the record lies:

    chain(0) = ROOT,  chain(n) = link(chain(n - 1), n, the record's other words)

So the value at record n stands for the whole log up to n: equal logs have equal values, however
and wherever they were made, and a record of another place, of an earlier life or of another log
is not taken for one of this log. It guards against accidents, not against forgery.

The eight words of a cache line are mixed, weighed and added up, which waits for nothing, and the
sum is folded into the chain. (Weighed alone, a few flipped bits could make up for one another.)
Each step is one-to-one in every word and in the chain: a single damaged word is always found, and
anything else is missed once in 2**64. Numbers are int64 and wrap around.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from ringbuf.atomics import load_relaxed, store_relaxed
from ringbuf.jit import kernel
from ringbuf.ring import arrived, look_ahead, slot

WORDS = 8  # of a cache line; a record is whole lines
LINE_BYTES = 8 * WORDS
HALF = 0xFFFF_FFFF


def wrapped(value):
    """An int64 as the machine has it: without the bits that do not fit."""
    return ((value + 2**63) & (2**64 - 1)) - 2**63


ROOT = wrapped(0x436F72656C616E65)  # the chain value before the first record
FACTOR = wrapped(0xD6E8FEB86659FD93)  # odd, so that multiplying can be undone
WEIGHTS = tuple(  # odd, and no small sum or difference of some is another one
    wrapped(weight)
    for weight in (
        0xE220A8397B1DCDA1, 0x6E789E6AA1B965F3, 0x06C45D1880094545, 0xF88BB8A8724C81E7,
        0x1B39896A51A87499, 0x53CB9F0C747EA2EB, 0x2C829ABE1F4532ED, 0xC584133AC916AB3F,
    )
)  # fmt: skip


def mix(word):
    """A word with its upper half in its lower half as well."""
    return wrapped(word) ^ ((word >> 32) & HALF)


def weigh(address, last):
    """The weighed sum of the line at an address, with `last` for its last word."""
    words = [load_relaxed(address + 8 * place) for place in range(WORDS - 1)]
    total = 0
    for word, weight in zip([*words, last], WEIGHTS, strict=True):
        total += mix(mix(word) * FACTOR) * weight
    return wrapped(total)


def copy_lines(target, source, size):
    """Copy whole lines, `size` bytes, that nobody is writing."""
    for word in range(0, size, 8):
        store_relaxed(target + word, load_relaxed(source + word))


_I64 = ir.IntType(64)
_LINE = ir.VectorType(_I64, WORDS)


def _line(builder, address):
    """The words of a line in one register, or in a few."""
    line = builder.load(builder.inttoptr(address, _LINE.as_pointer()))
    line.align = 8
    return line


def _constants(values):
    return ir.Constant(_LINE, [ir.Constant(_I64, value) for value in values])


@intrinsic
def _weigh(typing_context, address, last):
    def codegen(context, builder, signature, args):
        place = ir.Constant(ir.IntType(32), WORDS - 1)
        line = builder.insert_element(_line(builder, args[0]), args[1], place)
        half = _constants([32] * WORDS)
        line = builder.xor(line, builder.lshr(line, half))
        line = builder.mul(line, _constants([FACTOR] * WORDS))
        line = builder.xor(line, builder.lshr(line, half))
        kind = ir.FunctionType(_I64, (_LINE,))
        name = f"llvm.vector.reduce.add.v{WORDS}i64"
        add = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(add, (builder.mul(line, _constants(WEIGHTS)),))

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _copy_line(typing_context, target, source):
    def codegen(context, builder, signature, args):
        place = builder.inttoptr(args[0], _LINE.as_pointer())
        builder.store(_line(builder, args[1]), place).align = 8
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@overload(wrapped)
def _overload_wrapped(value):
    return lambda value: value


@overload(weigh)
def _overload_weigh(address, last):
    def weigh_line(address, last):
        return _weigh(address, last)  # type: ignore[call-arg]

    return weigh_line


@overload(copy_lines)
def _overload_copy_lines(target, source, size):
    def copy(target, source, size):
        end = target + size
        while target < end:
            _copy_line(target, source)  # type: ignore[call-arg]
            target += LINE_BYTES
            source += LINE_BYTES

    return copy


@kernel
def fold(chain, weight):
    """The chain with one more line in it."""
    mixed = chain ^ weight
    mixed ^= (mixed >> 32) & HALF
    return wrapped(mixed * FACTOR)


@kernel
def link(chain, sequence, address, size):
    """The chain value of the record at an address; what its last word holds does not matter.

    chain: the value of the record before it; size: bytes of the record, its last word included.
    """
    last = address + size - LINE_BYTES
    while address < last:
        chain = fold(chain, weigh(address, load_relaxed(address + LINE_BYTES - 8)))
        address += LINE_BYTES
    return fold(chain, weigh(address, sequence))


@kernel
def seal(reader, first, limit, target, chain):
    """Copy the records of a ring that have arrived into a buffer, each with its chain value.

    first: the sequence to start at; limit: the records that the buffer takes; chain: the value
    before the first. Returns how many there were, and the value of the last.
    """
    count = 0
    while count < limit and arrived(reader, first + count):
        source = slot(reader, first + count)
        look_ahead(reader, first + count)
        chain = link(chain, first + count, source, reader.size)
        copy_lines(target, source, reader.size)
        target += reader.size
        store_relaxed(target - 8, chain)
        count += 1
    return count, chain


@kernel
def seal_records(records, size, first, count, chain):
    """Put chain values into records that lie one behind the other; the value of the last."""
    for number in range(count):
        chain = link(chain, first + number, records, size)
        records += size
        store_relaxed(records - 8, chain)
    return chain


@kernel
def verify(source, size, first, limit, chain):
    """How many records from an address on are what they must be, and the last one's value.

    first: the sequence of the first one; chain: the value before it.
    """
    for count in range(limit):
        found = link(chain, first + count, source, size)
        source += size
        if found != load_relaxed(source - 8):
            return count, chain
        chain = found
    return limit, chain


@kernel
def unseal(source, size, first, count, target):
    """Copy records, each with its sequence again; source and target may be the same."""
    if target != source:
        copy_lines(target, source, count * size)
    for number in range(count):
        target += size
        store_relaxed(target - 8, first + number)
