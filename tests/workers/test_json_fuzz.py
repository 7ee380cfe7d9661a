"""A small share of the campaign of damaged messages."""

import random

import pytest

from ringbuf.jit import compiled
from tests.workers.json_fuzz import SOURCES, messages_of, play

COUNT = 1500 if compiled() else 40


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_damaged_messages_break_nothing(name):
    messages = messages_of(name, COUNT)
    for share in (0.05, 0.5):
        assert play(name, messages, random.Random(f"{name} {share}"), share) > len(messages) / 2
