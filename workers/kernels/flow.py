"""A believable ITCH 5.0 day, message by message: integers only, so every machine makes the same.

A symbol's fair price wanders; new orders come around it, and what it has passed by is executed
and deleted first. Symbols are drawn by activity, arrivals come in bursts, more of them in the
parts of the day that have a greater share of its messages.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.wire import store_i64, store_u8, store_u16, store_u32
from workers.kernels.flow_book import (
    ALIAS,
    ALIAS_SIZE,
    ASK,
    BID,
    BINS,
    FLOW,
    LEVELS,
    MARGIN,
    ORDER,
    SYMBOL,
    below,
    draw,
    enqueue,
    give_back,
    order_at,
    part,
    pick,
    place,
    price,
    symbol_at,
    take_slot,
    touch,
    unlink,
)
from workers.kernels.flow_messages import (
    announce,
    begin,
    broken_trade,
    cross,
    hidden_trade,
    imbalance,
    name,
    next_match,
    retail_interest,
    system,
    trading,
)
from workers.kernels.itch_frames import PREFIX, SIZES

FRAME_MAX = PREFIX + max(SIZES.values())

# The mix: upper ends of each action's share, of 65,536. The rest is what no book shows.
ADD_END = 30_343  # A and F: 46.3 %
DELETE_END = ADD_END + 26_411  # 40.3 %
REPLACE_END = DELETE_END + 5_177  # 7.9 %
EXECUTE_END = REPLACE_END + 2_294  # E and C: 3.5 %
CANCEL_END = EXECUTE_END + 819  # 1.25 %
SAME_SYMBOL = 96  # of 256: the next message is about the same symbol
ATTRIBUTED = 13  # of 256: an added order names its market maker
WHOLE = 144  # of 256: an execution takes the whole order
OTHER_PRICE = 16  # of 256: an execution is a C
GAP_BITS = 6  # a gap is 1/64 of the fair one in a burst,
PAUSE = 300  # 300/64 of it between two: 1 on average, as bursts are 3.75 messages long

A, B, C, D, E, F = (ord(letter) for letter in "ABCDEF")
M, N, O, Q, S, U, X, Y = (ord(letter) for letter in "MNOQSUXY")  # noqa: E741


@kernel
def generate(state, target, room):
    """Write whole frames while `room` bytes hold them and the day lasts; return their bytes."""
    header = at(state, FLOW)
    written = 0
    while header.produced < header.total and room - written >= FRAME_MAX:
        message = target + written + PREFIX
        size = next_message(state, message)
        store_u16(message - PREFIX, size)
        written += PREFIX + size
        header.produced += 1
    return written


@kernel
def opening_messages(symbols):
    """How many messages come before the flow: S, R and H each, S, S, Q each."""
    return 3 * symbols + 3


@kernel
def closing_messages(symbols):
    """How many messages come after the flow: S, Q each, S, S."""
    return symbols + 3


@kernel
def next_message(state, message):
    """Write the message that is due; return its size."""
    header = at(state, FLOW)
    number, symbols = int(header.produced), int(header.symbols)
    if number < opening_messages(symbols):
        return open_day(state, message, number)
    ending = number - (int(header.total) - closing_messages(symbols))
    if ending >= 0:
        return close_day(state, message, ending)
    return flow(state, message)


@kernel
def open_day(state, message, number):
    """Session starts, each symbol is announced and set trading, opens with a cross."""
    header = at(state, FLOW)
    symbols, start_ns = int(header.symbols), int(header.start_ns)
    opened = 2 * symbols + 2
    if number > opened:
        header.now_ns = start_ns + number - opened
        return cross(state, message, number - opened - 1, O)
    before = start_ns - int(header.begin_ns)
    header.now_ns = int(header.begin_ns) + before * number // opened
    if number == 0:
        return system(state, message, O)
    if number <= symbols:
        return announce(state, message, number - 1)
    if number <= 2 * symbols:
        return trading(state, message, number - symbols - 1)
    return system(state, message, Q if number == opened else S)


@kernel
def close_day(state, message, number):
    """The market closes, each symbol with a cross; session ends."""
    header = at(state, FLOW)
    header.now_ns = int(header.end_ns) + number
    if number == 0:
        return system(state, message, M)
    if number <= header.symbols:
        return cross(state, message, number - 1, C)
    return system(state, message, E if number == header.symbols + 1 else C)


@kernel
def flow(state, message):
    """One message of continuous trading, the action drawn by the mix."""
    advance_clock(state)
    symbol = choose_symbol(state)
    wander(state, symbol)
    action = draw(state) & 0xFFFF
    size = 0
    if action < ADD_END:
        size = add(state, message, symbol)
    elif action < DELETE_END:
        size = delete(state, message, symbol)
    elif action < REPLACE_END:
        size = replace(state, message, symbol)
    elif action < EXECUTE_END:
        size = execute(state, message, symbol)
    elif action < CANCEL_END:
        size = cancel(state, message, symbol)
    else:
        size = aside(state, message, symbol)
    if size == 0:  # nothing rests that this could befall
        size = add(state, message, symbol)
    if size == 0:  # the pool is full
        size = delete(state, message, symbol)
    return size if size > 0 else hidden_trade(state, message, symbol)


@kernel
def advance_clock(state):
    """Time goes on by an exponential gap, short within a burst and long before one."""
    header = at(state, FLOW)
    while header.left == 0 and header.bin < BINS:
        start = int(header.start_ns) + int(header.bin) * int(header.bin_ns)
        header.now_ns = max(int(header.now_ns), start)
        header.left_ns = max(start + int(header.bin_ns) - int(header.now_ns), 0)
        header.left = header.bins[header.bin]
        header.bin += 1
    bits = draw(state)
    left_ns = int(header.left_ns)
    gap = left_ns // max(int(header.left), 1) * int(header.gaps[bits & 0xFF]) >> 10
    if header.burst > 0:
        header.burst -= 1
        gap >>= GAP_BITS
    else:
        header.burst = (bits >> 8) & (bits >> 12) & 0xF
        gap = gap * PAUSE >> GAP_BITS
    gap = min(gap, left_ns)
    header.now_ns += gap
    header.left_ns -= gap
    header.left -= 1


@kernel
def choose_symbol(state):
    """The symbol of the message before, or one drawn by activity (Walker's alias method)."""
    header = at(state, FLOW)
    bits = draw(state)
    if bits & 0xFF >= SAME_SYMBOL:
        place = below(state, int(header.symbols))
        alias = at(state + int(header.aliases_at) + place * ALIAS_SIZE, ALIAS)
        header.symbol = place if draw(state) < alias.chance else alias.other
    return int(header.symbol)


@kernel
def wander(state, symbol):
    """The fair price may step up or down; it turns back at the ladder's margins."""
    here = at(symbol_at(state, symbol), SYMBOL)
    if draw(state) >= here.chance:
        return
    step = int(here.step) if draw(state) & 1 else -int(here.step)
    if not MARGIN <= here.fair + step < LEVELS - MARGIN:
        step = -step
    here.fair += step


@kernel
def add(state, message, symbol):
    """A or F: a new order joins; 0 where the pool is full."""
    slot = take_slot(state)
    if slot == 0:
        return 0
    header, order = at(state, FLOW), at(order_at(state, slot), ORDER)
    bits = draw(state)
    header.reference += 1
    order.reference = header.reference
    order.symbol = symbol
    order.side = bits & 1
    order.quantity = header.quantities[(bits >> 8) & 0xFF]
    enqueue(state, slot, place(state, symbol, int(order.side)))
    attributed = (bits >> 16) & 0xFF < ATTRIBUTED
    begin(state, message, F if attributed else A, symbol)
    store_i64(message + 11, int(order.reference))
    store_u8(message + 19, B if order.side == BID else S)
    store_u32(message + 20, int(order.quantity))
    name(state, message + 24, symbol)
    store_u32(message + 32, price(state, symbol, int(order.level)))
    if attributed:
        store_u32(message + 36, int(header.mpids[(bits >> 24) & 3]))
        return 40
    return 36


@kernel
def delete(state, message, symbol):
    """D: an order leaves, the newest at the touch or any; 0 where none is found."""
    slot = pick(state, symbol)
    if slot == 0:
        return 0
    order = at(order_at(state, slot), ORDER)
    begin(state, message, D, int(order.symbol))
    store_i64(message + 11, int(order.reference))
    give_back(state, slot)
    return 19


@kernel
def replace(state, message, symbol):
    """U: an order moves to another price and quantity, under a new reference."""
    slot = pick(state, symbol)
    if slot == 0:
        return 0
    header, order = at(state, FLOW), at(order_at(state, slot), ORDER)
    begin(state, message, U, int(order.symbol))
    store_i64(message + 11, int(order.reference))
    header.reference += 1
    order.reference = header.reference
    order.quantity = header.quantities[draw(state) & 0xFF]
    unlink(state, slot)
    enqueue(state, slot, place(state, int(order.symbol), int(order.side)))
    store_i64(message + 19, int(order.reference))
    store_u32(message + 27, int(order.quantity))
    store_u32(message + 31, price(state, int(order.symbol), int(order.level)))
    return 35


@kernel
def execute(state, message, symbol):
    """E or C: the first order at a best price trades, wholly or in part."""
    slot = touch(state, symbol, True)
    if slot == 0:
        return 0
    order = at(order_at(state, slot), ORDER)
    bits = draw(state)
    traded = quantity = int(order.quantity)
    if bits & 0xFF >= WHOLE:
        traded = part(state, quantity)
    other_price = (bits >> 8) & 0xFF < OTHER_PRICE
    begin(state, message, C if other_price else E, symbol)
    store_i64(message + 11, int(order.reference))
    store_u32(message + 19, traded)
    store_i64(message + 23, next_match(state))
    improved = int(order.level) + (1 if order.side == ASK else -1)
    if traded == quantity:
        give_back(state, slot)
    else:
        order.quantity = quantity - traded
    if not other_price:
        return 31
    store_u8(message + 31, N if (bits >> 16) & 3 == 0 else Y)
    store_u32(message + 32, price(state, symbol, improved))
    return 36


@kernel
def cancel(state, message, symbol):
    """X: an order loses part of its quantity; 0 where it has no part to lose."""
    slot = pick(state, symbol)
    if slot == 0 or at(order_at(state, slot), ORDER).quantity < 2:
        return 0
    order = at(order_at(state, slot), ORDER)
    lost = part(state, int(order.quantity))
    order.quantity -= lost
    begin(state, message, X, int(order.symbol))
    store_i64(message + 11, int(order.reference))
    store_u32(message + 19, lost)
    return 23


@kernel
def aside(state, message, symbol):
    """P mostly; an imbalance, a retail interest or a broken trade now and then."""
    bits = draw(state) & 0xF
    if bits == 0:
        return broken_trade(state, message, symbol)
    if bits == 1:
        return retail_interest(state, message, symbol)
    if bits < 4:
        return imbalance(state, message, symbol)
    return hidden_trade(state, message, symbol)
