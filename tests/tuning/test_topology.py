"""Hosts of all shapes, drawn as the kernel shows them, are read as what they are."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.topology import Core, Node, parse, read, show

GIGABYTE = 1 << 30


def draw(root: Path, cores: list[tuple[int, int, str]], nodes: dict[int, tuple[str, int]], **more):
    """A host's /sys and /proc. cores: (number, package, siblings); nodes: (cores, gigabytes)."""
    cpus = root / "sys/devices/system/cpu"
    for number, package, siblings in cores:
        folder = cpus / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{package}\n")
        (folder / "thread_siblings_list").write_text(f"{siblings}\n")
    (cpus / "online").write_text(more.get("online", show(core[0] for core in cores)) + "\n")
    (cpus / "isolated").write_text(more.get("isolated", "") + "\n")
    for number, (beside, gigabytes) in nodes.items():
        folder = root / f"sys/devices/system/node/node{number}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{beside}\n")
        memory = (
            f"Node {number} MemTotal:       {gigabytes << 20} kB\nNode {number} MemFree: 1 kB\n"
        )
        (folder / "meminfo").write_text(memory)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Sample 9000 @ 3 GHz\n")
    (root / "proc/self/cgroup").write_text(more.get("cgroup", "0::/\n"))
    if "cpuset" in more:
        path, granted = more["cpuset"]
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(granted + "\n")


def test_one_core(tmp_path):
    draw(tmp_path, [(0, 0, "0")], {0: ("0", 4)})
    host = read(tmp_path, affinity={0})
    assert host.cores == (Core(0, 0, 0, (0,)),)
    assert host.nodes == (Node(0, (0,), 4 * GIGABYTE),)
    assert host.physical_cores() == (0,)
    assert host.model == "Sample 9000 @ 3 GHz"
    assert host.isolated == frozenset()


def test_sixteen_logical_cores_are_eight_physical_ones(tmp_path):
    cores = [(number, 0, f"{number % 8},{number % 8 + 8}") for number in range(16)]
    draw(tmp_path, cores, {0: ("0-15", 64)})
    host = read(tmp_path, affinity=range(16))
    assert host.physical_cores() == tuple(range(8))
    assert host.core(11).siblings == (3, 11)
    assert read(tmp_path, affinity={3, 9, 11, 12}).physical_cores() == (3, 9, 12)


def test_two_nodes_and_one_of_pure_memory(tmp_path):
    cores = [(number, number // 2, str(number)) for number in range(4)]
    draw(tmp_path, cores, {0: ("0-1", 8), 1: ("2-3", 16), 10: ("", 128)})
    host = read(tmp_path, affinity=range(4))
    assert [(core.node, core.package) for core in host.cores] == [(0, 0), (0, 0), (1, 1), (1, 1)]
    assert [node.id for node in host.nodes] == [0, 1, 10]
    assert host.nodes[2] == Node(10, (), 128 * GIGABYTE)


def test_cores_that_are_offline_are_not_there(tmp_path):
    cores = [(number, 0, f"{number % 2},{number % 2 + 2}") for number in range(4)]
    draw(tmp_path, cores, {0: ("0-3", 8)}, online="0-1,3")
    host = read(tmp_path, affinity=range(4))
    assert [core.id for core in host.cores] == [0, 1, 3]
    assert host.core(0).siblings == (0,)
    assert host.nodes[0].cores == (0, 1, 3)
    assert host.allowed == {0, 1, 3}
    with pytest.raises(KeyError, match=r"core 2 \(online: 0-1,3\)"):
        host.core(2)


@pytest.mark.parametrize(
    ("more", "allowed"),
    [
        ({}, {0, 1, 2, 3}),  # isolated cores are in nobody's affinity, yet they are ours to take
        ({"cpuset": ("sys/fs/cgroup/pod/a/cpuset.cpus.effective", "0-2")}, {0, 1, 2}),
        ({"cpuset": ("sys/fs/cgroup/cpuset/pod/a/cpuset.effective_cpus", "0,3")}, {0, 1, 3}),
    ],
)
def test_isolated_cores_are_allowed_where_the_cpuset_grants_them(tmp_path, more, allowed):
    old = "cpuset/pod" in more.get("cpuset", "")[0] if more else False
    cgroup = "3:cpuset:/pod/a\n1:cpu:/x\n" if old else "0::/pod/a\n"
    cores = [(number, 0, str(number)) for number in range(4)]
    draw(tmp_path, cores, {0: ("0-3", 8)}, isolated="2-3", cgroup=cgroup, **more)
    host = read(tmp_path, affinity={0, 1})
    assert host.isolated == {2, 3}
    assert host.allowed == allowed


def test_a_host_that_shows_nothing(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:  1024 kB\n")
    host = read(tmp_path, affinity={0, 5})
    assert host.cores == (Core(0, 0, 0, (0,)), Core(5, 0, 0, (5,)))
    assert host.nodes == (Node(0, (0, 5), 1 << 20),)
    assert host.physical_cores() == (0, 5)
    assert host.model == "unknown"


def test_this_host():
    host = read()
    assert os.sched_getaffinity(0) <= host.allowed
    assert host.allowed <= {core.id for core in host.cores}
    assert sorted(core for node in host.nodes for core in node.cores) == [c.id for c in host.cores]
    assert sum(node.memory_bytes for node in host.nodes) > 1 << 27
    for core in host.cores:
        assert core.id in core.siblings
        assert all(host.core(sibling).siblings == core.siblings for sibling in core.siblings)
    assert set(host.physical_cores()) <= host.allowed


@given(st.frozensets(st.integers(0, 300)))
def test_a_list_reads_back(numbers):
    assert parse(show(numbers)) == numbers


def test_lists_as_the_kernel_writes_them():
    assert parse("0-3,8,10-11\n") == {0, 1, 2, 3, 8, 10, 11}
    assert parse("\n") == frozenset()
    assert show([11, 10, 8, 0, 1, 2, 3]) == "0-3,8,10-11"
