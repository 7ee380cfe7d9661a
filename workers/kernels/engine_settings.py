"""What an engine of matching is laid out for, and what its accounts are held to."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from workers.kernels.resting import Limits


class AccountLimits(NamedTuple):
    """What orders of an account are held to; 0: no limit."""

    quantity_max: int = 0  # of an order
    notional_max: int = 0  # price x quantity of an order, price units x lots
    collar_bps: int = 0  # how far its price may lie from the reference
    position_max: int = 0  # in each instrument, with all open orders of a side filled
    credit_max: int = 0  # open orders and positions together, price units x lots
    messages_max: int = 0  # ORDER and REPLACE_ORDER in `window_ns`
    window_ns: int = 1_000_000_000
    reduce_when_off: bool = False  # switched off, it may still send what only reduces a position
    executions: int = 0  # 1: they are told
    var_max: int = 0  # value at risk 99 % of its positions with an order, money units


class Settings(NamedTuple):
    """How an engine is laid out, and what holds for each instrument that is announced."""

    books: Limits  # real instruments; what `books_limits` adds is not counted here
    matched: int  # instruments that can be matched
    accounts: Sequence[AccountLimits] = ()  # of account 0, 1, ...; none: any account, no limits
    band_bps: int = 0  # trades further from the reference are prevented; 0: none is
    band_pauses: bool = False
    auction_every_ns: int = 0  # a call auction's price is told so often; 0: only when it trades
    returns: Mapping[str, np.ndarray] = {}  # int32 [scenarios] by symbol: see var_block.py

    def measured(self) -> list[int]:
        """The accounts that are held to a value at risk."""
        return [number for number, limits in enumerate(self.accounts) if limits.var_max]
