"""The messages of a made-up day that concern no displayed order: session, symbols, auctions."""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.wire import (
    store_i64,
    store_u8,
    store_u16,
    store_u32,
    store_u48,
    store_word,
)
from workers.kernels.flow_book import FLOW, SYMBOL, below, price, symbol_at

AUCTION_LOTS = 200  # an auction trades up to so many round lots
HIDDEN_LOTS = 5  # a hidden order trades up to so many
ROUND_LOT = 100
B, C, H, I, N, P = (ord(letter) for letter in "BCHINP")  # noqa: E741
Q, R, S, T, Z, L = (ord(letter) for letter in "QRSTZL")
SPACE, SPACES, ONE = 32, 0x20202020, ord("1")


@kernel
def begin(state, message, letter, symbol):
    """What all messages start with; symbols are located from 1, -1 stands for none."""
    store_u8(message, letter)
    store_u16(message + 1, symbol + 1)
    store_u16(message + 3, 0)
    store_u48(message + 5, int(at(state, FLOW).now_ns))


@kernel
def name(state, address, symbol):
    """Write a symbol's eight letters."""
    store_word(address, int(at(symbol_at(state, symbol), SYMBOL).name))


@kernel
def fair_price(state, symbol):
    """Where a symbol would trade now."""
    return price(state, symbol, int(at(symbol_at(state, symbol), SYMBOL).fair))


@kernel
def next_match(state):
    """A match number not used yet."""
    header = at(state, FLOW)
    header.match += 1
    return int(header.match)


@kernel
def system(state, message, code):
    """S: a session event."""
    begin(state, message, S, -1)
    store_u8(message + 11, code)
    return 12


@kernel
def announce(state, message, symbol):
    """R: a common stock of the first tier, in round lots of 100."""
    begin(state, message, R, symbol)
    name(state, message + 11, symbol)
    store_u8(message + 19, Q)
    store_u8(message + 20, N)
    store_u32(message + 21, ROUND_LOT)
    store_u8(message + 25, N)
    store_u8(message + 26, C)
    store_u8(message + 27, Z)
    store_u8(message + 28, SPACE)
    store_u8(message + 29, P)
    store_u8(message + 30, N)
    store_u8(message + 31, N)
    store_u8(message + 32, ONE)
    store_u8(message + 33, N)
    store_u32(message + 34, 0)
    store_u8(message + 38, N)
    return 39


@kernel
def trading(state, message, symbol):
    """H: a symbol is set trading."""
    begin(state, message, H, symbol)
    name(state, message + 11, symbol)
    store_u8(message + 19, T)
    store_u8(message + 20, SPACE)
    store_u32(message + 21, SPACES)
    return 25


@kernel
def cross(state, message, symbol, kind):
    """Q: an auction's trade; kind O at the open, C at the close."""
    begin(state, message, Q, symbol)
    store_i64(message + 11, ROUND_LOT * (1 + below(state, AUCTION_LOTS)))
    name(state, message + 19, symbol)
    store_u32(message + 27, fair_price(state, symbol))
    store_i64(message + 31, next_match(state))
    store_u8(message + 39, kind)
    return 40


@kernel
def hidden_trade(state, message, symbol):
    """P: an order that was not displayed trades near the fair price."""
    begin(state, message, P, symbol)
    store_i64(message + 11, 0)
    store_u8(message + 19, B)
    store_u32(message + 20, ROUND_LOT * (1 + below(state, HIDDEN_LOTS)))
    name(state, message + 24, symbol)
    store_u32(message + 32, fair_price(state, symbol))
    store_i64(message + 36, next_match(state))
    return 44


@kernel
def imbalance(state, message, symbol):
    """I: how an auction would come out now."""
    begin(state, message, I, symbol)
    store_i64(message + 11, ROUND_LOT * (1 + below(state, AUCTION_LOTS)))
    store_i64(message + 19, ROUND_LOT * (1 + below(state, AUCTION_LOTS)))
    store_u8(message + 27, B if below(state, 2) == 0 else S)
    name(state, message + 28, symbol)
    for offset in range(36, 48, 4):  # far, near and reference price
        store_u32(message + offset, fair_price(state, symbol))
    store_u8(message + 48, C)
    store_u8(message + 49, L)
    return 50


@kernel
def retail_interest(state, message, symbol):
    """N: retail orders on both sides would be bettered."""
    begin(state, message, N, symbol)
    name(state, message + 11, symbol)
    store_u8(message + 19, ord("A"))
    return 20


@kernel
def broken_trade(state, message, symbol):
    """B: the last trade is broken."""
    begin(state, message, B, symbol)
    store_i64(message + 11, int(at(state, FLOW).match))
    return 19
