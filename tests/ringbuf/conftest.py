import itertools
import os

import pytest

from ringbuf import memory

NUMBERS = itertools.count()


@pytest.fixture
def pipeline():
    """The name of a pipeline whose segments are removed after the test."""
    name = f"test-{os.getpid()}-{next(NUMBERS)}"
    yield name
    for segment in memory.names(name):
        memory.unlink(segment)
