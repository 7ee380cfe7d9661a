"""The journal's benchmark runs short, and notices what is not as it was written."""

from contextlib import closing

import pytest

from bench import journal
from bench.harness import BenchError, Options
from ringbuf.journal import JournalReader


def test_it_measures_writing_committing_and_reading():
    written, committed, read = journal.run(Options(short=True))
    assert (written.headline, committed.headline, read.headline) == ("ns", "p50", "s")
    assert list(written.rounds[0]) == list(committed.rounds[0]) == ["journal", "plain copy"]
    assert set(read.rounds[0]) == {f"{how}, {where}" for how in ("verified", "plain")
                                   for where in ("cold", "warm")}  # fmt: skip
    for result in (written, committed, read):
        for variant, against in result.pairs.items():
            assert result.ratio(variant, against) > 0


def test_a_log_that_is_not_what_was_written_is_noticed(tmp_path):
    chain = journal.make_log(str(tmp_path), 5000)
    with closing(JournalReader(tmp_path)) as reader:
        assert reader.chain_at(5000) == chain
    for cold in (False, True):
        found = journal.read_log(str(tmp_path), 5000, chain, cold, checked=True)
        assert found["s"] > 0
    with pytest.raises(BenchError, match="not read as it was written"):
        journal.read_log(str(tmp_path), 5000, chain + 1, False, checked=True)
