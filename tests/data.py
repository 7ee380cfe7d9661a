"""Where the market data samples lie: $CORELANE_DATA, or shared/data beside the checkout."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("CORELANE_DATA") or ROOT.parent / "shared" / "data")


def data_file(name: str) -> Path:
    """The path of a sample; the calling test is skipped, saying so, where there is none."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"market data sample {name} is not here (set CORELANE_DATA to its folder)")
    return path
