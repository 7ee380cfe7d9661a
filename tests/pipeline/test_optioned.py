"""Options in the portfolios of whole pipelines: killed, stored, laid out and compiled anyhow."""

from datetime import UTC, datetime

import numpy as np
import pytest

from pipeline.config import load
from pipeline.plan import LAYOUTS
from ringbuf.jit import compiled
from ringbuf.journal import JournalReader
from tests.naive import live_options as naive
from tests.naive.pipeline import names_of
from tests.pipeline.running import COMMAND, TOGETHER, Place, lines, spawn, tables
from tests.workers.test_risk import MONEY_SCALE
from workers import live_options
from workers.feeds.synthetic import SyntheticOptions, symbols
from workers.records import GREEKS, RISK, TOP, Book, Kept
from workers.risk_options import load_scenarios

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(not compiled(), reason="a replay with no compiler is one of the tests"),
]
MESSAGES = 2_500
DAY = {"kind": "synthetic", "messages": MESSAGES, "symbols": 4, "seed": 5, "date": "2012-06-21"}
FIRST, SECOND, *_ = symbols(SyntheticOptions(messages=MESSAGES, symbols=4, seed=5))
NOON = datetime(2012, 6, 21, 12, tzinfo=UTC)  # about the middle of the made-up day
TERMS = {"rate": 0.02, "volatility": 0.3, "price": 4.0}
LATER = {"expires": datetime(2012, 9, 21, 20, tzinfo=UTC), **TERMS}
RISK_OPTIONS = {
    "portfolios": [
        {"name": "firm", "limits": {"delta": 400.0, "gamma": 1.0, "value": 50_000.0}},
        {"name": "sold", "parent": "firm",
         "positions": {FIRST: {"quantity": 40, "price": 100.0}},
         "options": [
             {"underlying": FIRST, "type": "call", "strike": 105.0, "quantity": -80, **LATER},
             {"underlying": FIRST, "type": "put", "strike": 101.0, "quantity": 10,
              **TERMS, "expires": NOON},
         ]},
        {"name": "bought", "parent": "firm", "options": [
             {"underlying": SECOND, "type": "put", "strike": 95.0, "quantity": 3,
              "multiplier": 10.0, **LATER},
         ]},
    ],
    "scenarios": {"kind": "synthetic", "days": 120},
    "check_s": 0.01,
}  # fmt: skip
KINDS = ["risk", "limit", "greeks"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run whose risk stage is killed twice: the place, its journal, what it said."""
    place = Place(tmp_path_factory.mktemp("optioned"))
    folder = place.folder / "journal"
    config = place.write(
        feeds=[DAY],
        risk=RISK_OPTIONS,
        publisher=place.history(kinds=KINDS),
        ingest={"rate": 1_000.0},
        journal={"path": str(folder), "snapshot_s": 0.4},
        supervision={"restarts": 10},
    )
    running = place.start(config)
    for count in (300, 1_200):
        running.until_received("risk", count)
        running.restart("risk")
    made = running.end()
    assert made.code == 0, made.err
    yield place, folder, config, made
    place.close()


def rings_of(folder):
    return {
        ring: JournalReader(folder / ring, LAYOUTS[ring]).read(1, 1 << 20)
        for ring in ("events", "book", "risk")
    }


def test_killed_and_the_figures_are_the_textbooks(ran):
    _, folder, config, made = ran
    rings, options = rings_of(folder), load(config).risk
    names = {number: name for number, (name, _) in names_of(rings["events"]).items()}
    returns = load_scenarios(options)
    held = [
        (number, each, naive.Option(*live_options.held_of(each)))
        for number, portfolio in enumerate(options.portfolios)
        for each in portfolio.options
    ]
    marks = {int(top["sequence"]): top for top in rings["book"].view(TOP)}
    settled: dict[int, float] = {}
    values = {number: {} for number in range(3)}
    checked = 0
    for record in rings["risk"].view(RISK):
        if record["kind"] != Kept.RISK or record["portfolio"] == 0:
            continue
        top = marks[int(record["cause"])]
        assert top["kind"] == Book.TOP
        number, symbol = int(record["portfolio"]), names[int(record["instrument"])]
        spot = int(top["bid"] + top["ask"]) / (2 * 10_000)
        for place, (owner, each, plain) in enumerate(held):
            if owner == number and each.underlying == symbol and place not in settled:
                worth = naive.value(plain, spot, int(top["time_ns"]))
                values[number][place] = worth
                if plain.expires_ns <= top["time_ns"]:
                    settled[place] = worth
        linear = options.portfolios[number].positions.get(symbol)
        if linear:
            values[number][symbol] = linear.quantity * spot * MONEY_SCALE
        assert int(record["value"]) == pytest.approx(sum(values[number].values()), abs=3)
        checked += 1
    assert checked > 200
    assert [*settled] == [1]
    assert set(returns) == {FIRST, SECOND}
    counters = made.stage("risk").counters["risk"]
    assert made.stage("risk").starts == 3
    assert counters["unpriced"] == counters["faulty"] == 0
    assert counters["checked"] > 0
    assert made.report.balanced


def test_greeks_are_told_behind_each_figure_and_stored(ran):
    place, folder, _, _ = ran
    risk = rings_of(folder)["risk"]
    figures = np.flatnonzero(risk["kind"] == Kept.RISK)
    behind = risk[figures + 1].view(GREEKS)
    assert set(behind["kind"]) == {Kept.GREEKS}
    assert (behind["portfolio"] == risk["portfolio"][figures]).all()
    assert (behind["cause"] == risk["cause"][figures]).all()
    assert (behind["vega"][behind["portfolio"] == 2] > 0).all()
    assert (behind["vega"][behind["portfolio"] == 1] < 0).all()
    stored = tables(place.folder / "history")
    assert set(stored) == {"risk", "limits", "greeks"}
    assert len(stored["greeks"]) == len(behind)
    last, told = stored["greeks"][-1], behind[-1]
    wanted = [
        float(told[name]) / MONEY_SCALE for name in ("delta", "gamma", "vega", "theta", "rho")
    ]
    assert list(last[-5:]) == wanted
    measures = {row[6] for row in stored["limits"]}
    assert measures == {"delta", "gamma", "value"}


def test_a_replay_without_the_compiler_gives_the_same_bytes(ran):
    _, folder, _, _ = ran
    process = spawn([*COMMAND, "replay", str(folder)], NUMBA_DISABLE_JIT="1")
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, (out, err)
    line = next(line for line in lines(out) if line.startswith("risk:"))
    assert "the same as in the run" in line


def test_one_process_gives_the_same_bytes(ran, place):
    _, folder, _, _ = ran
    again = place.folder / "journal"
    place.run(
        place.write(
            feeds=[{"kind": "journal", "path": str(folder)}],
            risk=RISK_OPTIONS,
            processes=[[*TOGETHER[0], "journal", "snapshot"]],
            journal={"path": str(again)},
            publisher=place.history(kinds=KINDS),
        )
    )
    assert rings_of(again)["risk"].tobytes() == rings_of(folder)["risk"].tobytes()
