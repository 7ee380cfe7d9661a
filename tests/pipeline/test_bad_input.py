"""What is wrong with an input is told once and counted; the rest of it is processed."""

import gzip
import struct

import pytest

from tests.pipeline.running import DAY, TOGETHER, portfolios
from workers.feeds.synthetic import SyntheticOptions, write_file

MESSAGES = 3_000


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """The bytes of a made-up ITCH day."""
    path = tmp_path_factory.mktemp("day") / "day.itch"
    write_file(SyntheticOptions(messages=MESSAGES, symbols=8, seed=3), path)
    return path.read_bytes()


def frames(day: bytes) -> list[bytes]:
    """The messages with their length prefixes."""
    found, place = [], 0
    while place < len(day):
        length = 2 + struct.unpack_from(">H", day, place)[0]
        found.append(day[place : place + length])
        place += length
    return found


def fed(place, name: str, content: bytes, **tables):
    """Run a pipeline over a file of these bytes; (what ran, its feed's counters)."""
    path = place.folder / name
    path.write_bytes(content)
    ran = place.run(
        place.write(feeds=[{"kind": "itch", "path": str(path)}], processes=TOGETHER, **tables)
    )
    assert ran.report.balanced
    return ran, ran.stage("ingest").counters["feed0"]


def test_a_file_that_is_cut_off(place, day):
    whole = len(frames(day[:-5] + bytes(5)))
    ran, feed = fed(place, "cut.itch", day[:-5])
    assert feed["messages"] == whole - 1 == MESSAGES - 1
    assert feed["truncated"] == 1
    assert ran.stage("book").counters["book"]["received"] > 2_000


def test_gzip_data_that_are_cut_off(place, day):
    packed = gzip.compress(day)
    ran, feed = fed(place, "cut.itch.gz", packed[: len(packed) // 2])
    assert 0 < feed["messages"] < MESSAGES
    assert feed["truncated"] == 1
    assert "the gzip data are cut off after" in ran.stage("ingest").message
    assert "the gzip data are cut off after" in ran.out


def test_gzip_data_that_are_damaged(place, day):
    packed = bytearray(gzip.compress(day))
    packed[len(packed) // 2] ^= 0xFF
    ran, feed = fed(place, "bad.itch.gz", bytes(packed))
    assert 0 < feed["messages"] <= MESSAGES
    assert feed["truncated"] == 1
    assert "the gzip data are damaged near byte" in ran.stage("ingest").message


def test_bytes_that_are_no_messages_in_the_midst(place, day):
    parts = frames(day)
    dirty = b"".join([*parts[:1000], b"\xff" * 300, *parts[1000:]])
    _, feed = fed(place, "dirty.itch", dirty)
    assert feed["messages"] >= MESSAGES - 1
    assert feed["bad_frames"] + feed["skipped_bytes"] > 0
    assert feed["bytes"] == len(dirty)


def test_messages_of_no_known_type_and_senseless_values(place, day):
    parts = frames(day)
    (added,) = [part for part in parts if part[2:3] == b"A"][:1]
    senseless = bytearray(added)
    senseless[2 + 20 : 2 + 24] = bytes(4)  # an order of no shares
    odd = b"\0\x05?1234"
    content = b"".join([*parts[:1000], odd, bytes(senseless), *parts[1000:]])
    ran, feed = fed(place, "odd.itch", content)
    assert feed["messages"] >= MESSAGES
    refused = ran.stage("ingest").counters["ingest"]["bad_quantity"] + feed["bad_values"]
    assert refused == 1
    assert feed["unknown"] + feed["bad_frames"] >= 1


def test_orders_of_instruments_that_nobody_announced(place, day):
    parts = [part for part in frames(day) if part[2:3] != b"R"]
    ran, feed = fed(place, "unannounced.itch", b"".join(parts))
    assert feed["messages"] == len(parts)
    assert feed["announced"] == 8  # an order names its instrument: that will do
    unnamed = [part for part in parts if part[2:3] in b"DEXUC"]
    ran, feed = fed(place, "unnamed.itch", b"".join(unnamed))
    counters = ran.stage("ingest").counters["ingest"]
    assert counters["unknown_instrument"] > 500
    assert counters["received"] == counters["published"] + counters["unknown_instrument"]


def test_a_file_of_another_kind(place):
    ran, feed = fed(place, "notes.txt", b"this is no market data at all\n" * 100)
    assert feed["messages"] == 0
    assert "no message was recognised; is it ITCH 5.0" in ran.stage("ingest").message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.itch", "cannot be opened (No such file or directory)"),
        (".", "is a folder; give the path of a file"),
        ("empty.itch", "is empty; was it copied whole?"),
        ("day.itch.gz", "is named .gz but holds no gzip data"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error(place, name, said):
    (place.folder / "empty.itch").touch()
    (place.folder / "day.itch.gz").write_bytes(b"plain")
    feed = {"kind": "itch", "path": str(place.folder / name)}
    ran = place.run(place.write(feeds=[feed]), "--quiet", code=1)
    (line,) = ran.err.strip().splitlines()
    assert line.startswith("corelane: ingest: ")
    assert said in line
    assert ran.out == ""


def test_only_the_named_symbols_and_one_that_nobody_announces(place):
    named = list(portfolios()["portfolios"][0]["positions"])[:2]
    ran = place.run(place.write(ingest={"symbols": [*named, "NOSUCH"]}, processes=TOGETHER))
    counters = ran.stage("ingest").counters["ingest"]
    assert counters["unwanted"] > 1_000
    assert counters["received"] == counters["published"] + counters["unwanted"]
    assert ran.report.balanced
    assert ran.stage("ingest").message == "ingest.symbols: no source announced NOSUCH"


def test_more_instruments_than_there_is_room_for(place):
    ran = place.run(place.write(ingest={"instruments": 3}, processes=TOGETHER))
    counters = ran.stage("ingest").counters["ingest"]
    assert counters["instruments_full"] == DAY["symbols"] - 3
    assert counters["unknown_instrument"] > 1_000
    assert ran.report.balanced


def test_more_orders_and_levels_than_there_is_room_for(place):
    ran = place.run(place.write(book={"orders": 100, "levels": 50}, processes=TOGETHER))
    counters = ran.stage("book").counters["book"]
    assert counters["orders_full"] + counters["levels_full"] > 100
    assert counters["peak_orders"] <= 100
    assert ran.report.balanced


def test_a_history_folder_that_cannot_be_written(place):
    (place.folder / "history").write_text("a file is in the way")
    ran = place.run(place.write(publisher=place.history()), "--quiet", code=1)
    (line,) = ran.err.strip().splitlines()
    assert line.startswith("corelane: publisher: SinkError: ")
    assert "history" in line
    assert ran.stage("publisher").starts == 1  # what kept it from starting will not go away


def test_a_history_of_another_run_is_not_mixed_up(place):
    config = place.write(publisher=place.history())
    place.run(config)
    ran = place.run(config, "--quiet", code=1)
    assert "holds the history of run" in ran.err
    assert "put {run} into the path, or choose another folder" in ran.err


def test_scenarios_that_lack_a_symbol(place):
    risk = portfolios()
    (place.folder / "returns.csv").write_text("ABC\n" + "0.01\n" * 200)
    risk["scenarios"] = {"kind": "csv", "path": str(place.folder / "returns.csv")}
    ran = place.run(place.write(risk=risk), "--quiet", code=1)
    (line,) = ran.err.strip().splitlines()
    assert line.startswith("corelane: risk: ScenarioError: ")
    assert "no returns for" in line
    assert "add a column, or do not hold it" in line


def test_a_core_that_does_not_exist(place):
    ran = place.run(place.write(stages={"book": {"core": 4_000}}), code=2)
    (line,) = ran.err.strip().splitlines()
    assert line.startswith(f"corelane: {place.name}: stages.book.core: there is no core 4000")
