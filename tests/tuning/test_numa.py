"""Pages land on the node we said; where the kernel will not, we are told."""

import ctypes
import mmap
import os

import pytest

from tuning import numa
from tuning.topology import read

PAGE = os.sysconf("SC_PAGESIZE")
NODES = [node.id for node in read().nodes if node.memory_bytes]


@pytest.fixture(autouse=True)
def _default_policy():
    yield
    numa.release()


def skip_where_forbidden(why: str) -> None:
    if why.startswith(("EPERM", "ENOSYS")):
        pytest.skip(why)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("wish", [numa.bind, numa.prefer])
def test_pages_land_where_asked(wish, node):
    outcome = wish(node)
    skip_where_forbidden(outcome.why)
    assert (outcome.asked, outcome.got, outcome.why) == (f"{wish.__name__} {node}",) * 2 + ("",)
    assert outcome.granted
    with mmap.mmap(-1, 16 * PAGE) as memory:
        for page in range(10):
            memory[page * PAGE] = 1
        view = ctypes.c_char.from_buffer(memory)
        placed = numa.node_of_pages(ctypes.addressof(view), 16 * PAGE)
        one = numa.node_of_pages(ctypes.addressof(view) + PAGE - 1, 2)  # across two pages
        del view
    skip_where_forbidden(placed.why)
    assert placed == numa.Placement({node: 10}, absent=6)
    assert one == numa.Placement({node: 2}, absent=0)


@pytest.mark.parametrize("wish", [numa.bind, numa.prefer])
def test_a_node_that_is_not_there(wish):
    before = numa.policy()
    outcome = wish(max(NODES) + 1)
    skip_where_forbidden(outcome.why)
    assert not outcome.granted
    assert outcome.got == before
    assert outcome.why.startswith("EINVAL")
    assert "no such node" in outcome.why


@pytest.mark.parametrize("node", [-1, 1024])
def test_a_number_that_is_no_node(node):
    outcome = numa.bind(node)
    assert outcome.asked == f"bind {node}"
    assert outcome.why == "nodes are numbered 0 to 1023"


def test_release():
    skip_where_forbidden(numa.bind(NODES[0]).why)
    assert numa.policy() == f"bind {NODES[0]}"
    assert numa.release().granted
    assert numa.policy() == "default"


def test_a_machine_whose_calls_are_not_known(monkeypatch):
    for name in ("_SET", "_GET", "_MOVE"):
        monkeypatch.setattr(numa, name, -1)
    outcome = numa.bind(0)
    assert (outcome.got, outcome.granted) == ("unknown", False)
    assert "knows no NUMA" in outcome.why
    assert "knows no NUMA" in numa.node_of_pages(0, 1).why


@pytest.mark.parametrize("wish", ["prefer", "bind"])
def test_a_policy_ends_with_its_block(wish):
    with numa.placed(wish, NODES[0]) as outcome:
        skip_where_forbidden(outcome.why)
        assert outcome.granted
        assert numa.policy() == f"{wish} {NODES[0]}"
    assert numa.policy() == "default"
    with pytest.raises(KeyError), numa.placed(wish, NODES[0]):
        raise KeyError
    assert numa.policy() == "default"


@pytest.mark.parametrize(("wish", "node"), [("off", NODES[0]), ("prefer", None)])
def test_where_nothing_is_asked_the_policy_stays(wish, node):
    skip_where_forbidden(numa.bind(NODES[0]).why)
    with numa.placed(wish, node) as outcome:
        assert outcome is None
        assert numa.policy() == f"bind {NODES[0]}"
    assert numa.policy() == f"bind {NODES[0]}"
