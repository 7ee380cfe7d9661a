"""`corelane backtest`: journals whose days a test made up, and what is told of them."""

import json

import numpy as np
import pytest

from tests.pipeline import logs
from tests.pipeline.logs import corelane
from workers.backtests import kupiec
from workers.periods import DAY_S, SECOND_NS
from workers.records import MONEY_SCALE, Kept

DAYS = 120
BEGAN = 19_700 * DAY_S  # a midnight
LOST = [5, 6, 40]  # days that lost more than was told


def days_of_risk(count=DAYS, told=10, portfolio=0):
    """Two records a day: at noon the day's worst, at its end what it made; LOST lose 11."""
    made = logs.risks(2 * count)
    profits = np.where(np.isin(np.arange(count), LOST), -11, 1).cumsum() * MONEY_SCALE
    made = made.view(logs.RINGS["risk"]["risk"][1])
    made["time_ns"] = (BEGAN + np.arange(2 * count) * DAY_S // 2) * SECOND_NS
    made["pnl"][1::2], made["pnl"][::2] = profits, profits - 3 * MONEY_SCALE
    made["var_99"], made["portfolio"] = told * MONEY_SCALE, portfolio
    return made


@pytest.fixture
def folder(tmp_path):
    logs.write(tmp_path / "journal", "risk", days_of_risk())
    return tmp_path / "journal"


def test_days_are_held_against_what_was_told_before(folder):
    ran = corelane("backtest", folder, "--json")
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["portfolio"] == "growth"
    assert "k-th worst" in told["convention"]
    periods = told["periods"]
    assert len(periods) == DAYS - 1
    assert periods[0]["begins"].startswith("2023-12-10T00:00")
    assert [place + 1 for place, each in enumerate(periods) if each["exception"]] == LOST
    assert all(each["told"] == 10 for each in periods)
    assert periods[LOST[0] - 1]["profit"] == -11
    assert periods[LOST[0] - 1]["lowest"] == -14
    assert [each["over"] for each in periods] == [True] * (DAYS - 2) + [False]
    assert (told["tested"], told["exceptions"]) == (DAYS - 2, len(LOST))
    assert told["expected"] == pytest.approx(0.01 * (DAYS - 2))
    assert told["kupiec"]["statistic"] == kupiec(DAYS - 2, len(LOST), 0.01).statistic
    assert told["independence"]["p_value"] < 0.05  # two of three follow each other
    assert told["light"] == "yellow"


def test_a_table_and_a_verdict(folder):
    ran = corelane("backtest", folder, "growth", "--last", 2)
    assert ran.exit_code == 0, ran.output
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert ["2024-04-05", "00:00", "10.00", "1.00", "-2.00"] in lines
    assert ["2024-04-06", "00:00", "10.00", "1.00", "-2.00", "so", "far"] in lines
    assert "3 exceptions in 118 periods, 1.18 expected: yellow (Basel" in ran.stdout
    assert "2024-04-04" not in ran.stdout


def test_parts_of_a_day(folder):
    told = json.loads(corelane("backtest", folder, "--json", "--period", DAY_S // 2).stdout)
    assert told["tested"] == 2 * DAYS - 2
    assert told["periods"][0]["told"] == pytest.approx(10 / np.sqrt(2), abs=1e-4)
    rolled = json.loads(corelane("backtest", folder, "--json", "--roll", "12:00").stdout)
    assert rolled["periods"][0]["begins"].startswith("2023-12-09T12:00")


def test_a_journal_that_grows_is_read_on(folder):
    from pipeline.backtesting import Reading
    from workers.periods import Cut

    reading = Reading(folder, None, Cut())
    reading.read_on()
    (before,) = reading.told()
    more = days_of_risk(2)
    more["time_ns"] += DAYS * DAY_S * SECOND_NS
    more["pnl"] -= 500 * MONEY_SCALE
    logs.write(folder, "risk", more)
    reading.read_on()
    (after,) = reading.told()
    assert after.tested == before.tested + 2
    assert after.exceptions == before.exceptions + 1
    assert after.periods[: len(before.periods) - 1] == before.periods[:-1]


def test_nothing_to_test_yet(tmp_path):
    logs.write(tmp_path, "risk", days_of_risk(1))
    ran = corelane("backtest", tmp_path)
    assert ran.exit_code == 0
    assert "nothing to test yet" in ran.stdout


def test_records_of_other_kinds_are_left_alone(tmp_path):
    made = days_of_risk(3)
    made["kind"][2:4] = Kept.LIMIT
    logs.write(tmp_path, "risk", made)
    told = json.loads(corelane("backtest", tmp_path, "--json").stdout)
    assert len(told["periods"]) == 1
    assert not told["periods"][0]["over"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("nowhere",), "is no journal of a pipeline"),
        (("FOLDER", "grwth"), "has no portfolio 'grwth'"),
        (("FOLDER", "--period", "7"), "a day has no whole number of 7 seconds"),
        (("FOLDER", "--day", "0"), "day: 0 seconds"),
    ],
)
def test_what_cannot_be_told(folder, words, what):
    ran = corelane("backtest", *(folder if word == "FOLDER" else word for word in words))
    assert ran.exit_code == 2, ran.output
    assert what in ran.stderr
