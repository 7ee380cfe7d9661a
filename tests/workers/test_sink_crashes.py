"""Kill a publisher anywhere, and its sinks still hold each record once, in order."""

import multiprocessing
import os
import random
import signal
from pathlib import Path

import pytest

from tests.naive.publisher import SINKS, deliver, parquet, stored
from tests.naive.stored_rows import KINDS, RUN, book_records, naive_rows, risk_records

KILL_KINDS = ["top", "trade", "risk"]  # some of the kinds, as then the last record may have no row


def chosen(name: str, folder: Path):
    sink = SINKS[name](folder)
    sink.options.kinds = KILL_KINDS
    return sink


def _publish_and_die(name: str, folder: Path, records: tuple[int, int], step: int) -> None:
    """A publisher that kills itself at a step, counting every call that touches the disk."""
    if step:
        for call in ("write", "fsync", "fdatasync", "replace", "ftruncate", "unlink", "mkdir"):
            setattr(os, call, _deadly(getattr(os, call), itself=call, step=[step]))
    rings = {"book": book_records(records[0], 1), "risk": risk_records(records[1], 2)}
    deliver(chosen(name, folder), rings, folder / "released")


_steps = [0]


def _deadly(call, itself: str, step: list[int]):
    def wrapped(*args, **kwargs):
        _steps[0] += 1
        if _steps[0] == step[0]:
            if itself == "write":  # the torn write: half of it arrives
                call(args[0], memoryview(args[1])[: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)

    return wrapped


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.workers.test_sink_crashes"])


def _start(*args) -> multiprocessing.Process:
    process = _context.Process(target=_publish_and_die, args=args)
    process.start()
    return process


@pytest.mark.parametrize("name", SINKS)
def test_killed_between_any_two_steps(name, tmp_path):
    records = (400, 60)
    rings = {"book": book_records(400, 1), "risk": risk_records(60, 2)}
    expected = naive_rows(rings, KILL_KINDS)
    killed = 0
    for step in range(1, 400):
        folder = tmp_path / str(step)
        folder.mkdir()
        process = _start(name, folder, records, step)
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        killed += 1
        deliver(chosen(name, folder), rings, folder / "released", seed=step)
        assert stored(name, folder, KILL_KINDS) == expected, step
    assert killed >= 15
    assert process.exitcode == 0


@pytest.mark.parametrize("name", SINKS)
def test_killed_at_any_moment(name, tmp_path):
    records = (12_000, 2_000)
    expected = naive_rows(
        {"book": book_records(12_000, 1), "risk": risk_records(2_000, 2)}, KILL_KINDS
    )
    choose = random.Random(3)
    killed = finished = 0
    folder = tmp_path / "0"
    folder.mkdir()
    while killed < 30 or not finished:
        process = _start(name, folder, records, 0)
        process.join(choose.uniform(0.02, 0.2) if killed < 30 else None)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        killed += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            assert stored(name, folder, KILL_KINDS) == expected
            finished += 1
            folder = tmp_path / str(finished)
            folder.mkdir()
        else:
            assert process.exitcode == -signal.SIGKILL


def test_a_spool_damaged_by_a_power_failure_is_cut_at_the_damage(tmp_path):
    records = book_records(100, 4)
    sink = parquet(tmp_path)
    sink.open(RUN)
    sink.put("book", records)
    os.close(sink._lock)  # gone without a word
    spool = tmp_path / "history" / "book.spool"
    content = bytearray(spool.read_bytes())
    content[60 * 64 : 70 * 64] = bytes(640)
    spool.write_bytes(content + b"torn")
    again = parquet(tmp_path)
    again.open(RUN)
    assert again.resume("book") == 60
    again.put("book", records)
    again.close()
    assert stored("parquet", tmp_path) == naive_rows({"book": records}, KINDS)
