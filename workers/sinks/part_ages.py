"""Whole part files of a history that are too old."""

import re
import time
from pathlib import Path

from ringbuf.durable import sync_folder

DAY_S = 86_400


def check_age(keep_days: float | None) -> None:
    """ValueError for what is no time to keep files for."""
    if keep_days is not None and not 0 < keep_days < 1e6:
        raise ValueError(f"keep_days = {keep_days}: give more than 0, or leave it out")


def remove_old(folder: Path, ring: str, keep_days: float | None) -> int:
    """Remove the part files of a ring in the tables of a folder that are too old; how many.

    The cursor stays where it is, so nothing that they held comes back.
    """
    if keep_days is None:
        return 0
    part, count = re.compile(rf"{re.escape(ring)}-\d+-\d+\.parquet"), 0
    for path in folder.glob("*/*.parquet"):
        if part.fullmatch(path.name) and time.time() - path.stat().st_mtime > keep_days * DAY_S:
            path.unlink()
            sync_folder(path.parent)
            count += 1
    return count
