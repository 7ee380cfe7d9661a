"""The ring's protocol in every order: topologies, ways of waiting, crashes; and flaws to be found.

More of the same runs with `python -m tests.campaign`.
"""

from collections import Counter

import pytest

from tests.ringbuf.stories import TOPOLOGIES, WAITS, Kernels, tell

SEEDS = 200  # of each topology with each way of waiting
SEEDS_PER_FLAW = 1500
STEPS = 100


@pytest.fixture(scope="module")
def kernels():
    return Kernels()


ALL = [(topology, wait) for topology in TOPOLOGIES for wait in WAITS]
SAW = {  # what must have come about for a topology to have been tried at all
    "two readers and an observer": {"gated", "killed"},
    "a reader that stays dead": {"gated", "killed", "retired"},
    "a barrier": {"gated", "killed"},
    "a barrier whose first stays dead": {"gated", "killed", "retired"},
    "one that drops": {"missed", "killed"},
    "two writers merged": {"gated", "killed"},
}


@pytest.mark.parametrize(("topology", "wait"), ALL)
def test_every_record_is_seen_once_in_order_and_whole_in_every_order(kernels, topology, wait):
    figures: Counter = Counter()
    orders = {tuple(run.order) for run in tell(kernels, topology, wait, range(SEEDS), figures)}
    assert len(orders) > SEEDS - 10  # times 12: more than 2,000 different ones
    saw = {what for what, times in figures.items() if times > 20}
    assert SAW[topology] | ({"wakes"} if WAITS[wait] else set()) <= saw


@pytest.mark.parametrize(
    ("topology", "victim"), [(name, n) for name in TOPOLOGIES for n in (0, 1, 2)]
)
def test_a_crash_at_each_step_loses_and_doubles_nothing(kernels, topology, victim):
    for step in range(1, STEPS):
        story = TOPOLOGIES[topology](kernels, step // 2 % 2 == 0, step)
        story.play(step, {victim: step}, reorder=bool(step % 2))


def test_the_same_seed_is_the_same_run(kernels):
    def orders(seed):
        return [run.order for run in tell(kernels, "a barrier", "park", range(seed, seed + 3))]

    assert orders(5) == orders(5)
    assert orders(5) != orders(6)


PAIR, BARRIER, DROP, MERGE = (
    "two readers and an observer", "a barrier", "one that drops", "two writers merged"
)  # fmt: skip
BROKEN = "a barrier whose first stays dead"
PUBLISH = "store_release(slot(writer, sequence) + writer.size - 8, sequence)"
MARK = "store_relaxed(address + writer.size - 8, -sequence)"
BOUND = "return reader.after == 0 or load_acquire(reader.after) >= sequence"
CLOSE = "load_relaxed(writer.line + WRITTEN) + 1)\n    wake(writer.line)"
GONE = """    if reader.after == 0 or load_acquire(reader.after - POSITION + POLICY):
        return False
    return load_acquire(reader.after) < sequence"""
CLEAR = "store_relaxed(parked, 0)  # before the call: one who is about to sleep sees it"
WAKE = f"{CLEAR}\n                futex_wake(parked)"
AGAIN = """        seen = load_relaxed(address + reader.size - 8)
        if seen == sequence:
            store_relaxed(target"""
SKIP = """    line.skip_missed = line.missed + to - first
    store_release(reader.line + SKIP_TO, to)
    settle(reader)"""
FLAWS = {
    "published before it is written": ("ring", PAIR, MARK, MARK.replace("-sequence", "sequence")),
    "published with no order": ("ring", PAIR, PUBLISH, PUBLISH.replace("release", "relaxed")),
    "not marked as being rewritten": ("ring", PAIR, MARK, "pass"),
    "marked with no fence": ("ring", PAIR, "fence_release()\n    return addr", "return addr"),
    "released before it is read": ("ring", PAIR, BOUND, f"release(reader, sequence)\n    {BOUND}"),
    "gate off by one": ("ring", PAIR, "writer.mask + 2", "writer.mask + 3"),
    "second reader forgotten":
        ("ring", PAIR, "range(READERS_MAX):\n        line", "range(1):\n        line"),
    "recovery trusts the writer's note":
        ("ring", PAIR, "range(writer.mask + 1)", "range(0)"),
    "recovery takes a claimed record for whole":
        ("ring", PAIR, "max(written, load_acquire(slot(writer, number) + writer.size - 8))",
         "max(written, abs(load_acquire(slot(writer, number) + writer.size - 8)))"),
    "closed one too early": ("ring", PAIR, CLOSE, CLOSE.replace(" + 1)", ")")),
    "observer does not look again":
        ("lossy", PAIR, "seen = load_relaxed(address + reader.size - 8)\n        if seen != seq",
         "seen = sequence + count\n        if seen != seq"),
    "observer forgets that it was lapped":
        ("lossy", PAIR, "return -1 if lapped and", "return -0 if lapped and"),
    "mirror does not look again":
        ("lossy", DROP, AGAIN, AGAIN.replace("load_relaxed", "sequence + 0 * load_relaxed")),
    "gap counted as one record": ("lossy", DROP, "line.missed + to - first", "line.missed + 1"),
    "who dies in a skip counts it twice":
        ("lossy", DROP, SKIP, "    line.missed += to - first\n    release(reader, to - 1)"),
    "one that was lapped sleeps on": ("park", DROP, "return lossy and", "return False and"),
    "waker has no fence": ("ring", PAIR, "fence_full()\n        for", "for"),
    "sleeper has no fence": ("park", PAIR, "fence_full()\n    if", "if"),
    "sleeper does not look again": ("park", PAIR, "if not stirs(reader):", "if True:"),
    "woken before it is marked awake":
        ("ring", PAIR, WAKE, f"futex_wake(parked)\n                {CLEAR}"),
    "woken and not marked awake": ("ring", PAIR, CLEAR, "pass"),
    "closed and nobody woken": ("ring", PAIR, CLOSE, CLOSE.removesuffix("\n    wake(writer.line)")),
    "who dies in a wake-up leaves a sleeper":
        ("ring", PAIR, "    rouse(writer.line)\n", ""),
    "barrier open": ("ring", BARRIER, BOUND, "return True"),
    "released and nobody woken": ("ring", BARRIER, "wake(reader.writer)", "pass"),
    "position looked at before it was final":
        ("ring", BARRIER, GONE,
         "    bound = load_acquire(reader.after) if reader.after else 0\n"
         + GONE.replace("return load_acquire(reader.after)", "return bound")),
    "retired and nobody woken": ("ring", BROKEN, "    rouse(ring)", "    pass"),
    "merged to the end of one ring only":
        ("poller", MERGE, "            return False\n    return True",
         "            continue\n        return True\n    return False"),
}  # fmt: skip


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_in_the_protocol_is_found(flaw):
    module, topology, old, new = FLAWS[flaw]
    flawed = Kernels({module: [(old, new)]})
    runs = (
        run for s in range(SEEDS_PER_FLAW) for w in WAITS for run in tell(flawed, topology, w, [s])
    )
    with pytest.raises(AssertionError):
        list(runs)
