"""Lines of captures: what is a message, and where chunks end."""

import gzip

import pytest

from workers.feeds import lines
from workers.feeds.lines import Capture, time_ns


def read(path) -> tuple[list, Capture]:
    capture, messages = Capture(str(path)), []
    while not capture.finished:
        messages += capture.batch()
    capture.close()
    return messages, capture


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"1723161253937085768", 1_723_161_253_937_085_768),
        (b"1618678133.2949052:", 1_618_678_133_294_905_200),
        (b"1618678133:", 1_618_678_133 * 10**9),
        (b"1430438404518", 1_430_438_404_518 * 10**6),
        (b"1430438404518123", 1_430_438_404_518_123 * 10**3),
        (b"1430438404.1234567891234", 1_430_438_404_123_456_789),
        (b"4102444799", 4_102_444_799 * 10**9),
        (b"4102444800", None),  # the year 2100
        (b"9999999999.9", None),
        (b"9999999999999999999", None),
        (b"143043840", None),
        (b"-1430438404", None),
        (b"1430438404.12a", None),
        (b"1430438404:5", None),
        (b"", None),
        (b"configuration:", None),
    ],
)
def test_times_are_read_to_the_nanosecond(text, wanted):
    assert time_ns(text) == wanted


MIXED = b"""\
wss://ws.kraken.com <-> 1618678132.5
wss://ws.kraken.com <- 1618678132.6: {"event":"subscribe"}
configuration: {"ticker": []}
1618678132.7: {"event":"systemStatus"}

https://api.kraken.com/0/public -> 1618678132.8: {"error":[]}
1723161253937085768 [1, 2]
1430438404518 order_created {"price": "1"}
{"alone":1}
nonsense
1723161253937085768
last 1"""


def test_every_kind_of_line(tmp_path):
    (tmp_path / "capture").write_bytes(MIXED)
    messages, capture = read(tmp_path / "capture")
    assert messages == [
        (1_618_678_132_500_000_000, None, None),
        (1_618_678_132_700_000_000, b'{"event":"systemStatus"}', None),
        (1_618_678_132_800_000_000, b'{"error":[]}', "https://api.kraken.com/0/public"),
        (1_723_161_253_937_085_768, b"[1, 2]", None),
        (1_430_438_404_518_000_000, b'order_created {"price": "1"}', None),
        (1_430_438_404_518_000_000, b'{"alone":1}', None),
    ]
    assert (capture.bad, capture.bytes) == (3, len(MIXED))
    assert capture.skipped == len(b"nonsense") + 19 + len(b"last 1")


def test_where_chunks_end_changes_nothing(tmp_path, monkeypatch):
    data = b"".join(b"17231612539370857%02d {%d}\n" % (n % 100, n) for n in range(500))
    (tmp_path / "capture.gz").write_bytes(gzip.compress(data))
    whole, _ = read(tmp_path / "capture.gz")
    assert len(whole) == 500
    for chunk in (1, 7, 100):
        monkeypatch.setattr(lines, "CHUNK", chunk)
        pieces, _ = read(tmp_path / "capture.gz")
        assert pieces == whole


def test_a_line_without_end_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "CHUNK", 100)
    monkeypatch.setattr(lines, "LINE_MAX", 1000)
    good = b"1723161253937085768 {}\n"
    (tmp_path / "capture").write_bytes(good + b"x" * 5000 + b"\n" + good)
    messages, capture = read(tmp_path / "capture")
    assert len(messages) == 2
    assert capture.bad >= 1
    assert capture.skipped == 5000


def test_the_last_line_of_a_broken_file_is_no_line(tmp_path):
    data = b"1723161253937085768 {}\n" * 1000
    packed = gzip.compress(data)
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) - 20])
    messages, capture = read(tmp_path / "cut.gz")
    assert capture.trouble
    assert all(text == b"{}" for _, text, _ in messages)
    assert capture.skipped + len(messages) * 23 == capture.bytes
