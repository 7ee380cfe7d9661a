"""The cores and memory nodes of this host, and which of them this process may use."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HOST = Path("/")


@dataclass(frozen=True)
class Core:
    """One logical CPU as the kernel numbers it."""

    id: int
    node: int
    package: int
    siblings: tuple[int, ...]  # the logical CPUs of its physical core, itself among them


@dataclass(frozen=True)
class Node:
    """One memory node and the online cores beside it (none beside pure memory)."""

    id: int
    cores: tuple[int, ...]
    memory_bytes: int


@dataclass(frozen=True)
class Topology:
    """A host. All cores here are online; `allowed` are those we may be pinned to."""

    cores: tuple[Core, ...]
    nodes: tuple[Node, ...]
    allowed: frozenset[int]
    isolated: frozenset[int]  # kept free of other work by the kernel (isolcpus)
    model: str

    def core(self, number: int) -> Core:
        """The core of a number; KeyError where it does not exist or is offline."""
        for core in self.cores:
            if core.id == number:
                return core
        raise KeyError(f"core {number} (online: {show(core.id for core in self.cores)})")

    def physical_cores(self) -> tuple[int, ...]:
        """The first allowed logical CPU of each physical core, in order: what to pin to."""
        chosen: dict[tuple[int, ...], int] = {}
        for core in self.cores:
            if core.id in self.allowed:
                chosen.setdefault(core.siblings, core.id)
        return tuple(chosen.values())


def read(root: Path = HOST, affinity: Iterable[int] | None = None) -> Topology:
    """Look at the host under `root` (its sys and proc folders).

    affinity: the cores this thread may run on now; asked of the kernel where not given. The
    number of CPUs that os.cpu_count tells is of no use: it knows no cpuset and no taskset.
    What is not there (no /sys in a container, a kernel without NUMA) is read as: every core by
    itself, one node, all memory on it.
    """
    affinity = frozenset(os.sched_getaffinity(0) if affinity is None else affinity)
    cpus = root / "sys/devices/system/cpu"
    online = _numbers(cpus / "online") or affinity
    isolated = _numbers(cpus / "isolated") & online
    nodes = _nodes(root, online)
    node_of = {core: node.id for node in nodes for core in node.cores}
    return Topology(
        cores=tuple(
            _core(cpus, number, node_of.get(number, 0), online) for number in sorted(online)
        ),
        nodes=nodes,
        # isolcpus takes cores out of everybody's affinity, yet pinning to them is their purpose.
        allowed=(affinity | (isolated & _cpuset(root, online))) & online,
        isolated=isolated,
        model=_model(root),
    )


def parse(text: str) -> frozenset[int]:
    """The numbers of a kernel list such as "0-3,8,10-11"; empty text is no numbers."""
    numbers: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def show(numbers: Iterable[int]) -> str:
    """Numbers as a kernel list: the inverse of `parse`."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _core(cpus: Path, number: int, node: int, online: frozenset[int]) -> Core:
    folder = cpus / f"cpu{number}" / "topology"
    siblings = _numbers(folder / "thread_siblings_list") & online or {number}
    package = _text(folder / "physical_package_id")
    return Core(number, node, max(0, int(package or 0)), tuple(sorted(siblings)))


def _nodes(root: Path, online: frozenset[int]) -> tuple[Node, ...]:
    """The nodes; cores that no node lists are beside the first."""
    folders = (root / "sys/devices/system/node").glob("node[0-9]*")
    nodes = [
        Node(
            int(folder.name.removeprefix("node")),
            tuple(sorted(_numbers(folder / "cpulist") & online)),
            _memory(folder / "meminfo"),
        )
        for folder in folders
    ]
    if not nodes:
        return (Node(0, tuple(sorted(online)), _memory(root / "proc/meminfo")),)
    nodes.sort(key=lambda node: node.id)
    homeless = online.difference(*(node.cores for node in nodes))
    first = nodes[0]
    nodes[0] = Node(first.id, tuple(sorted({*first.cores, *homeless})), first.memory_bytes)
    return tuple(nodes)


def _memory(path: Path) -> int:
    for line in _text(path).splitlines():
        _, found, rest = line.partition("MemTotal:")
        if found:
            return int(rest.split()[0]) * 1024
    return 0


def _cpuset(root: Path, online: frozenset[int]) -> frozenset[int]:
    """The cores that our control group grants; all where none limits us."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "cpuset"):
            group = root / "sys/fs/cgroup" / controllers / path.lstrip("/")
            for name in ("cpuset.cpus.effective", "cpuset.effective_cpus"):
                granted = _numbers(group / name)
                if granted:
                    return granted
    return online


def _model(root: Path) -> str:
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    return "unknown"


def _numbers(path: Path) -> frozenset[int]:
    return parse(_text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
