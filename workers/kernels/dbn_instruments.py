"""Who DBN's instrument numbers stand for, and their dense codes.

An instrument is a publisher and an id: venues that share a data set share ids, never books. What
an id is called tell, in this order, the metadata for the day, a mapping in the stream, and the
definition; an id that nobody names is called `#<id>`. The symbols of other publishers than the
home one end in `@<publisher>`. An id that is called something else from some day on is another
instrument from then on.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import offset
from ringbuf.wire import load_u8, load_word, store_u8, store_word
from workers.kernels.dbn_records import (
    DEFINITION,
    DEPTH,
    HEADER,
    LEVELS_AT,
    MBO,
    MBP_0,
    MBP_1,
    MBP_10,
    PAIR,
    PRICE_DECIMALS,
)
from workers.kernels.dbn_state import (
    CLEAR,
    COARSE,
    CODE,
    CODE_SIZE,
    CODES,
    DBN_STATE,
    NAME,
    NAME_SIZE,
    NEVER,
    SLOTS,
    SPAN,
    SPAN_SIZE,
    WORDS,
    announce,
    decimals,
    instrument_at,
    say,
    whole,
)

SYMBOL_BYTES = 8 * WORDS
SPACE, DIGIT, HASH, AT = (ord(letter) for letter in " 0#@")
SPREAD = 0x1E3779B97F4A7C15  # odd: spreads keys over slots
HEAD, PAIR_SIZE = HEADER.itemsize, PAIR.itemsize
SYMBOL_AT = offset(DBN_STATE, "symbol")
SPAN_SYMBOL_AT, NAME_SYMBOL_AT = offset(SPAN, "symbol"), offset(NAME, "symbol")


@kernel
def place_of(key, turn):
    """Where a key may lie in a table, on its turn-th try."""
    return (((key * SPREAD) >> 20) + turn) & (SLOTS - 1)


@kernel
def name_of(state, identity):
    """The NAME slot of an id, or the free one where it would go."""
    table = int(at(state, DBN_STATE).names_at)
    for turn in range(SLOTS):
        place = table + place_of(identity + 1, turn) * NAME_SIZE
        key = int(at(place, NAME).key)
        if key == 0 or key == identity + 1:
            return place
    return 0


@kernel
def slot_of(state, publisher, identity):
    """The CODE slot of an instrument, or the free one where it would go."""
    table, wanted = int(at(state, DBN_STATE).codes_at), ((publisher << 32) | identity) + 1
    for turn in range(SLOTS):
        place = table + place_of(wanted, turn) * CODE_SIZE
        key = int(at(place, CODE).key)
        if key == 0 or key == wanted:
            return place
    return 0


@kernel
def take_name(state, identity):
    """The NAME slot of an id, made its own; 0 where there is no room for one more."""
    header, place = at(state, DBN_STATE), name_of(state, identity)
    name = at(place, NAME)
    if name.key == 0:
        if header.named >= CODES:
            return 0
        header.named += 1
        name.key = identity + 1
    return place


@kernel
def span_of(state, identity, time_ns):
    """The SPAN that names an id at a time, or the first one later; 0 where there is none."""
    header = at(state, DBN_STATE)
    low, high = 0, int(header.span_count)
    while low < high:
        middle = (low + high) >> 1
        span = span_at(state, middle)
        if span.id < identity or (span.id == identity and span.start_ns <= time_ns):
            low = middle + 1
        else:
            high = middle
    for number in (low - 1, low):
        if 0 <= number < header.span_count and span_at(state, number).id == identity:
            return int(header.spans) + number * SPAN_SIZE
    return 0


@kernel
def span_at(state, number):
    """A SPAN by its number."""
    return at(int(at(state, DBN_STATE).spans) + number * SPAN_SIZE, SPAN)


@kernel
def symbol_length(address, room):
    """Bytes of a symbol that ends at a zero or at `room`; 0 where it cannot be announced."""
    length = 0
    while length < room and load_u8(address + length) != 0:
        byte = load_u8(address + length)
        if byte < SPACE or byte > 126 or (byte == SPACE and length == 0):
            return 0
        length += 1
        if length > SYMBOL_BYTES:
            return 0
    return length


@kernel
def write_symbol(target, address, length):
    """Copy a symbol and fill up with spaces."""
    for place in range(SYMBOL_BYTES):
        store_u8(target + place, load_u8(address + place) if place < length else SPACE)


@kernel
def write_number(target, letter, number):
    """Write a letter and a number in digits; return how many bytes."""
    store_u8(target, letter)
    digits, rest = 1, number // 10
    while rest > 0:
        digits, rest = digits + 1, rest // 10
    for place in range(digits):
        store_u8(target + digits - place, DIGIT + number % 10)
        number //= 10
    return digits + 1


@kernel
def scratch(state):
    """Where a symbol is spelled."""
    return state + SYMBOL_AT


@kernel
def spell(state, publisher, identity):
    """Spell what an instrument is called now."""
    header, text = at(state, DBN_STATE), scratch(state)
    span, name = span_of(state, identity, header.index_ns), name_of(state, identity)
    header.until_ns, header.made_up, header.moved = NEVER, 0, 0
    given, length = int(header.given), 0
    if given:
        length = symbol_length(given, int(header.symbol_bytes))
    if span:
        length = symbol_length(span + SPAN_SYMBOL_AT, SYMBOL_BYTES)
        write_symbol(text, span + SPAN_SYMBOL_AT, length)
        header.until_ns, header.moved = at(span, SPAN).until_ns, at(span, SPAN).moved
    elif at(name, NAME).key != 0 and at(name, NAME).told:
        length = symbol_length(name + NAME_SYMBOL_AT, SYMBOL_BYTES)
        write_symbol(text, name + NAME_SYMBOL_AT, length)
        header.moved = 1
    elif length:
        write_symbol(text, given, length)
    length = trimmed(text, length)
    add_publisher(state, publisher, identity, length)


@kernel
def trimmed(text, length):
    """A symbol's length without the spaces behind it."""
    while length > 0 and load_u8(text + length - 1) == SPACE:
        length -= 1
    return length


@kernel
def add_publisher(state, publisher, identity, length):
    """Name the publisher where it is not the home one; `#<id>` where a symbol does not fit."""
    header, text = at(state, DBN_STATE), scratch(state)
    foreign = publisher != header.home
    if length == 0 or (foreign and length + 6 > SYMBOL_BYTES):
        header.made_up = 1
        length = write_number(text, HASH, identity)
    if foreign:
        length += write_number(text + length, AT, publisher)
    for place in range(length, SYMBOL_BYTES):
        store_u8(text + place, SPACE)


@kernel
def code_of(state, message):
    """The code of a record's instrument, announced if need be; -1 where codes have run out."""
    header, hd = at(state, DBN_STATE), at(message, HEADER)
    publisher, identity = whole(hd.publisher), whole(hd.instrument)
    if header.home < 0:
        header.home = publisher
    key = (publisher << 32) | identity
    if header.key == key and header.index_ns < header.key_until_ns:
        return int(header.key_code)
    code = look_up(state, message, publisher, identity)
    header.key, header.key_code = key, code
    header.key_until_ns = instrument_at(state, code).until_ns if code >= 0 else 0
    return code


@kernel
def look_up(state, message, publisher, identity):
    """The same, where it is not the instrument of the record before."""
    header = at(state, DBN_STATE)
    slot = slot_of(state, publisher, identity)
    if at(slot, CODE).key != 0:
        code = int(at(slot, CODE).code)
        instrument = instrument_at(state, code)
        if header.index_ns < instrument.until_ns and instrument.epoch == header.epoch:
            return code
        spell(state, publisher, identity)
        if header.made_up or same_symbol(state, code):
            instrument.until_ns, instrument.epoch = header.until_ns, header.epoch
            return code
        header.moved = 1
    else:
        spell(state, publisher, identity)
    return new_code(state, slot, publisher, identity, decimals_in(message))


@kernel
def same_symbol(state, code):
    """Whether an instrument is called what was spelled."""
    text, instrument = scratch(state), instrument_at(state, code)
    differs = 0
    for word in range(WORDS):
        differs |= load_word(text + 8 * word) ^ int(instrument.symbol[word])
    return differs == 0


@kernel
def new_code(state, slot, publisher, identity, needed):
    """Give an instrument the next code and announce it; -1 where there is none left."""
    header = at(state, DBN_STATE)
    if header.codes >= CODES:
        header.codes_full = 1
        return -1
    code = int(header.codes)
    header.codes += 1
    at(slot, CODE).key, at(slot, CODE).code = ((publisher << 32) | identity) + 1, code
    instrument, text = instrument_at(state, code), scratch(state)
    for word in range(WORDS):
        instrument.symbol[word] = load_word(text + 8 * word)
    instrument.until_ns, instrument.epoch = header.until_ns, header.epoch
    instrument.made_up = header.made_up
    name = at(name_of(state, identity), NAME)
    if name.key != 0:
        needed = max(needed, int(name.decimals))
    instrument.unit = 10 ** (PRICE_DECIMALS - decimals_of(state, needed))
    announce(state, code)
    header.announced += 1
    if header.moved:
        say(state, code, CLEAR, 0)
    return code


@kernel
def decimals_in(message):
    """Decimals that the prices in a record need."""
    kind = load_u8(message + 1)
    if kind in (MBO, DEFINITION):
        return decimals(load_word(message + 24))  # price, min_price_increment
    depth = 1 if kind == MBP_1 else DEPTH if kind == MBP_10 else 0
    needed = 0
    if depth > 0 or kind == MBP_0:
        needed = decimals(load_word(message + HEAD))
    for number in range(depth):
        pair = at(message + LEVELS_AT + number * PAIR_SIZE, PAIR)
        needed = max(needed, decimals(int(pair.bid)), decimals(int(pair.ask)))
    return needed


@kernel
def look_at(state, message):
    """Note the decimals that a record's prices need, ahead of its being read."""
    place, needed = take_name(state, whole(at(message, HEADER).instrument)), decimals_in(message)
    if place:
        name = at(place, NAME)
        name.decimals = max(int(name.decimals), needed)


@kernel
def decimals_of(state, needed):
    """Decimals of an instrument's prices whose own need so many."""
    chosen = int(at(state, DBN_STATE).decimals)
    if chosen >= 0:
        return chosen
    return COARSE if needed <= COARSE else PRICE_DECIMALS


@kernel
def rename(state, identity, symbol):
    """A mapping in the stream calls an id something; 0 where it cannot be taken in."""
    room = int(at(state, DBN_STATE).symbol_bytes)
    length, place = symbol_length(symbol, room), take_name(state, identity)
    if length == 0 or place == 0:
        return 0
    name, text = at(place, NAME), scratch(state)
    write_symbol(text, symbol, length)
    for word in range(WORDS):
        fresh = load_word(text + 8 * word)
        if name.told == 0 or fresh != name.symbol[word]:
            at(state, DBN_STATE).epoch += name.told
            at(state, DBN_STATE).key_until_ns = 0
        store_word(place + NAME_SYMBOL_AT + 8 * word, fresh)
    name.told = 1
    return 1
