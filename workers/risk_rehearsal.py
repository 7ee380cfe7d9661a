"""Having the kernels of the risk stage loaded before anybody waits for them."""

from collections.abc import Sequence

import numpy as np

from workers.kernels import position_block, positions
from workers.records import lined


def rehearse(limits: position_block.Limits, returns: Sequence[np.ndarray]) -> None:
    """Hold, mark and hold again, on books of one position that are thrown away.

    limits: those of the stage; returns: rows of them, int32 [scenarios]: of one instrument, or none
    """
    small = limits._replace(instruments=1, portfolios=1, held=1)
    for row in (*returns, np.zeros(1, np.int32)):
        _play(small._replace(scenarios=len(row)), row)


def _play(limits: position_block.Limits, returns: np.ndarray) -> None:
    memory = lined(position_block.bytes_needed(limits))
    address = memory.ctypes.data
    position_block.create(address, limits)
    for quantity in (1, 2):
        positions.hold(address, 0, 0, quantity, 0, 1, returns)
        positions.mark(address, 0, 1, 1)
