"""Having the kernels of the risk stage loaded before anybody waits for them."""

from collections.abc import Sequence

import numpy as np

from workers.kernels import option_positions, position_block, positions
from workers.kernels.black_scholes import CALL
from workers.kernels.option_positions import Held
from workers.records import lined


def rehearse(limits: position_block.Limits, returns: Sequence[np.ndarray]) -> None:
    """Hold, mark and hold again, on books of one position that are thrown away; options, too.

    limits: those of the stage; returns: rows of them, int32 [scenarios]: of one instrument, or none
    """
    small = limits._replace(instruments=1, portfolios=1, held=1, options=min(limits.options, 2))
    for row in (*returns, np.zeros(1, np.int32)):
        _play(small._replace(scenarios=len(row)), row)


def _play(limits: position_block.Limits, returns: np.ndarray) -> None:
    memory = lined(position_block.bytes_needed(limits))
    address = memory.ctypes.data
    position_block.create(address, limits)
    for _ in range(limits.options):
        held = Held(CALL, 1.0, 0.0, 0.0, 0.2, 1, 1.0, 0)
        option_positions.hold(address, 0, 0, held, 1, returns)
    for quantity in (1, 2):
        positions.hold(address, 0, 0, quantity, 0, 1, returns)
        positions.mark(address, 0, 1, 1)
        option_positions.mark(address, 0, 0)
