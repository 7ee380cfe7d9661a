"""The ends of rings, as the supervisor sees to them when a stage is gone for good."""

from pipeline.plan import TAP, Plan
from pipeline.report import Report
from ringbuf import memory, ring
from ringbuf.share import KIND as RING


def retire(pipeline: str, part: str, name: str) -> None:
    """Have nobody wait any more for a reader of a ring."""
    segment = memory.attach(pipeline, part, RING, writable=True)
    for number, line in enumerate(ring.lines(segment.payload)[1]):
        if bytes(line["name"]).decode() == name:
            ring.retire(segment.address, number)
    segment.close()


def close(pipeline: str, part: str) -> None:
    """Close a ring behind the last whole record of a writer that has died."""
    segment = memory.attach(pipeline, part, RING, writable=True)
    base, header = segment.address, segment.header
    writer = ring.writer_of(base, int(header["capacity"]), int(header["record_size"]))
    ring.recover(writer)
    ring.close(writer)
    segment.close()


def written(plan: Plan) -> dict[str, int]:
    """By ring: the last record that is published now."""
    found = {}
    for part in plan.segments_of(RING):
        segment = memory.attach(plan.pipeline, part.name, RING)
        found[part.name] = int(ring.lines(segment.payload)[0]["written"])
        segment.close()
    return found


def have_read(plan: Plan, names: list[str], marks: dict[str, int]) -> bool:
    """Whether some stages have read, of each ring that they read, what `marks` says."""
    for part in plan.segments_of(RING):
        segment = memory.attach(plan.pipeline, part.name, RING)
        lines = ring.lines(segment.payload)[1]
        read = {bytes(line["name"]).decode(): int(line["position"]) for line in lines}
        segment.close()
        if any(read.get(name, marks[part.name]) < marks[part.name] for name in names):
            return False
    return True


def left_over(report: Report) -> dict[str, int]:
    """What lies on the rings at the end: records that a dead stage never took."""
    return {
        f"{ring.name} -> {reader.name}": reader.lag
        for ring in report.rings
        for reader in ring.readers
        if reader.lag and reader.name != TAP
    }
