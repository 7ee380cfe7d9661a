from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.atomics import at
from ringbuf.jit import compiled
from tests.workers.indexes import TICKS, Indexed
from workers.kernels import level_ticks, levels
from workers.kernels.level_pool import TICK, TICKS_MAX, TICKS_MIN, WINDOW, leaves_of
from workers.kernels.levels import Index

EXAMPLES = 60 if compiled() else 6


def ladder_of(ticks=TICKS):
    """A block with an empty ladder, and where its first window lies."""
    block = Indexed(Index.LADDER, 1000, ticks=ticks)
    return block, level_ticks.window_at(block.address, levels.side_at(block.address, 0))


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from([TICKS_MIN, 1024, 2048, *[TICKS_MAX] * compiled()]),
    st.lists(st.tuples(st.booleans(), st.integers(0, TICKS_MAX - 1)), max_size=60),
)
def test_the_bitmap_finds_what_was_marked(ticks, stream):
    (block, window), marked = ladder_of(ticks), set()
    for kept, drawn in stream:
        number = drawn % ticks
        (level_ticks.mark if kept else level_ticks.unmark)(window, number)
        (marked.add if kept else marked.discard)(number)
        at(level_ticks.tick_at(block.address, window, number), TICK).level = kept
        assert level_ticks.sound_window(block.address, window)
        assert level_ticks.highest(window) == max(marked, default=-1)
        for edge in (0, number, number + 1, ticks - 1):
            if edge < ticks:
                below = max((other for other in marked if other < edge), default=-1)
                assert level_ticks.highest_below(window, edge) == below


def test_bitmaps_stand_in_levels_of_32():
    assert [leaves_of(1 << power) for power in (6, 10, 11, 15)] == [1, 1, 33, 33]


@given(st.integers(1, 1 << 30), st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_tick_is_a_division_without_a_rest(step, data):
    """The product with the factor finds the same tick as dividing, for every key of a window."""
    _memory, where = ladder_of()
    window = at(where, WINDOW)
    step = min(step, level_ticks.SPAN_MAX // TICKS)
    base = step * data.draw(st.integers(-(1 << 20), 1 << 20))
    window.bottom, window.end, window.step = base, base + TICKS * step, step
    window.factor = (level_ticks.SPAN_MAX + step - 1) // step
    for number in range(TICKS):
        assert level_ticks.tick_of(where, base + number * step) == number
    for offset in data.draw(st.lists(st.integers(-step, TICKS * step + step), max_size=20)):
        number, rest = divmod(offset, step)
        on = rest == 0 and 0 <= number < TICKS
        assert level_ticks.tick_of(where, base + offset) == (number if on else -1)
