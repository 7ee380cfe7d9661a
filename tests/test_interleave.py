"""The explorer itself: what it must find, and what it must not make up."""

import numpy as np
import pytest

from tests.interleave import (
    Stuck,
    fence_full,
    fence_release,
    futex_wait,
    futex_wake,
    interleave,
    load_acquire,
    load_relaxed,
    plain,
    store_relaxed,
    store_release,
)

SEEDS = range(200)


def words(count):
    memory = np.zeros(count, np.int64)
    return memory, [memory.ctypes.data + 8 * place for place in range(count)]


def message_passing(seed, say, reorder):
    """What a reader sees of the data once it has seen the flag."""
    memory, (data, flag) = words(2)
    seen = []

    def write(life):
        store_relaxed(data, 1)
        say(flag)

    def read(life):
        while not load_acquire(flag):
            pass
        seen.append(load_relaxed(data))

    interleave(seed, write, read, reorder=reorder)
    assert memory.tolist() == [1, 1]
    return seen


def say_released(flag):
    store_release(flag, 1)


def say_fenced(flag):
    fence_release()
    store_relaxed(flag, 1)


def say_relaxed(flag):
    store_relaxed(flag, 1)


@pytest.mark.parametrize("say", [say_released, say_fenced])
def test_a_release_or_a_fence_keeps_stores_in_order(say):
    results = [message_passing(seed, say, reorder=True) for seed in SEEDS]
    assert {tuple(seen) for seen in results} == {(1,)}


def test_relaxed_stores_change_places_only_on_a_weak_memory():
    strong = [message_passing(seed, say_relaxed, reorder=False) for seed in SEEDS]
    weak = [message_passing(seed, say_relaxed, reorder=True) for seed in SEEDS]
    assert strong == [[1]] * len(SEEDS)
    assert [0] in weak


def test_an_actor_sees_its_own_stores_at_once():
    memory, (place,) = words(1)

    def write(life):
        for value in range(20):
            store_relaxed(place, value)
            assert load_relaxed(place) == value

    for seed in SEEDS:
        interleave(seed, write, reorder=True)
        assert memory[0] == 19


def test_a_lost_update_is_found():
    results = set()
    for seed in SEEDS:
        memory, (place,) = words(1)

        def bump(life, place=place):
            store_relaxed(place, load_relaxed(place) + 1)

        interleave(seed, bump, bump)
        results.add(int(memory[0]))
    assert results == {1, 2}


@pytest.mark.parametrize("step", range(1, 4))
def test_a_killed_actor_starts_again_and_what_it_stored_stays(step):
    memory, places = words(3)
    lives = []

    def write(life):
        lives.append(life)
        for place in places:
            store_relaxed(place, load_relaxed(place) + 1)

    interleave(step, write, crashes={0: 2 * step}, reorder=True)
    assert lives == [0, 1]
    assert memory.tolist() == [1 + (place < step - 1) for place in range(3)]


def test_actors_that_never_end_are_reported():
    _, (place,) = words(1)

    def wait(life):
        while not load_acquire(place):
            pass

    with pytest.raises(Stuck, match="no end"):
        interleave(0, wait, wait)


def store_buffering(seed, fence):
    """Both actors store their own word, then look at the other's: what each of them sees."""
    _, places = words(2)
    seen = [0, 0]

    def actor(me):
        def look(life):
            store_relaxed(places[me], 1)
            fence()
            seen[me] = load_relaxed(places[1 - me])

        return look

    interleave(seed, actor(0), actor(1), reorder=True)
    return tuple(seen)


def test_only_a_full_fence_lets_one_of_two_see_the_other():
    assert (0, 0) in {store_buffering(seed, fence_release) for seed in SEEDS}
    assert {store_buffering(seed, fence_full) for seed in SEEDS} == {(0, 1), (1, 0), (1, 1)}


def sleeper_and_waker(seed, value, crashes=None):
    """One sleeps until a word changes, the other changes it and wakes whoever sleeps on it."""
    memory, (place,) = words(1)
    lives = []

    def sleep(life):
        lives.append(life)
        while load_relaxed(place) == 0:
            futex_wait([place], value)

    def wake(life):
        store_relaxed(place, 1)
        futex_wake(place)

    interleave(seed, sleep, wake, crashes=crashes, reorder=bool(seed % 2))
    assert memory[0] == 1
    return lives


def test_a_sleeper_is_woken_or_does_not_fall_asleep():
    assert all(sleeper_and_waker(seed, 0) == [0] for seed in SEEDS)
    assert all(sleeper_and_waker(seed, 5) == [0] for seed in SEEDS)  # it never says 5: no sleep


def test_a_sleeper_may_be_killed():
    lives = [sleeper_and_waker(seed, 0, {0: step}) for seed in SEEDS for step in (2, 3)]
    assert [0, 1] in lives


def test_a_sleeper_that_nobody_wakes_is_reported():
    _, (place,) = words(1)
    with pytest.raises(Stuck, match=r"asleep for ever: \[0, 1\]"):
        interleave(0, *[lambda life: futex_wait([place], 0)] * 2, lambda life: load_relaxed(place))


def test_a_sleeper_on_several_words_is_woken_through_any():
    for seed in SEEDS:
        _, places = words(2)
        interleave(
            seed,
            lambda life, places=places: futex_wait(places, 0),
            lambda life, place=places[seed % 2]: [
                store_relaxed(place, 1),
                futex_wake(place),
            ],
        )


def test_a_failure_is_raised_with_its_seed():
    _, (place,) = words(1)

    def fail(life):
        load_relaxed(place)
        assert life < 0

    with pytest.raises(AssertionError) as caught:
        interleave(7, fail, fail)
    assert "seed 7" in caught.value.__notes__[0]


def test_a_change_of_source_that_no_longer_applies_is_refused():
    with pytest.raises(AssertionError, match="no longer says"):
        plain("ringbuf.ring", ("this is not in the ring", ""))
