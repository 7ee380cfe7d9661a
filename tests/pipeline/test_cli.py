"""The command line: every command does what it says, and refusals are one line and exit code 2."""

import json

import pytest
from click import ClickException
from click.testing import CliRunner

from pipeline import refusals
from pipeline.cli import main
from pipeline.config import ConfigError
from ringbuf.memory import SegmentError
from tests.pipeline.running import TOGETHER, corelane, lines, portfolios
from workers.feeds.feed import FeedError

COMMANDS = [
    [],
    ["run"],
    ["stage"],
    ["plan"],
    ["config"],
    ["config", "check"],
    ["status"],
    ["stop"],
    ["drain"],
    ["restart"],
    ["replay"],
    ["risk"],
    ["zygote"],
    ["top"],
    ["metrics"],
    ["latency"],
    ["tail"],
    ["demo"],
    ["journal"],
    ["journal", "ls"],
    ["journal", "days"],
    ["journal", "verify"],
    ["journal", "tail"],
    ["journal", "export"],
    ["order"],
    ["book"],
    ["segments"],
    ["segments", "ls"],
    ["segments", "rm"],
    ["verify"],
    ["verify", "lobster"],
    ["verify", "feed"],
    ["verify", "itch"],
    ["verify", "matching"],
    ["verify", "var"],
    ["verify", "options"],
    ["stress"],
    ["hedge"],
    ["explain"],
    ["backtest"],
    ["synthesize"],
    ["bench"],
    ["bench", "run"],
    ["bench", "compare"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_helps(words):
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.output
    assert len(lines(result.output)) > 3


def test_there_is_no_command_that_is_not_tested_here():
    def walk(group, path=()):
        yield list(path)
        for name, command in getattr(group, "commands", {}).items():
            yield from walk(command, (*path, name))

    assert sorted(walk(main)) == sorted(COMMANDS)


def test_the_version_is_told():
    ran = corelane("--version")
    assert ran.out.startswith("corelane, version ") or ", version " in ran.out


def test_a_configuration_is_checked_against_this_host(place):
    path = place.write(risk=portfolios())
    assert corelane("config", "check", path).out == f"{path}: ok, 3 stages\n"
    path = place.write(stages={"book": {"core": 4_000}})
    assert "stages.book.core" in corelane("config", "check", path, code=2).err


def test_a_plan_is_shown_with_its_reasons(place):
    out = corelane("plan", place.write(risk=portfolios(), publisher=place.history())).out
    for text in ("ingest", "book", "risk", "publisher", "events", "cores"):
        assert text in out


def test_status_of_a_running_pipeline(place):
    risk = {**portfolios(), "check_s": 0.01}
    running = place.start(place.write(ingest={"rate": 100.0}, risk=risk))
    running.until_received("risk", 5)
    status = json.loads(corelane("status", place.name, "--json").out)
    assert status["pipeline"] == place.name
    assert {stage["life"] for stage in status["stages"]} == {"running"}
    assert all(stage["rss_bytes"] > 10_000_000 for stage in status["stages"])
    shown = corelane("status", place.name, "--counters").out
    for text in ("RSS MB", "high water", "ingest → book", "book.received", "risk.published"):
        assert text in shown, text
    check_risk(place.name)
    counted = json.loads(corelane("status", place.name, "--json").out)["stages"][2]["counters"]
    assert (counted["risk"]["checked"] > 0, counted["risk"]["faulty"]) == (True, 0)
    assert corelane("stop", place.name).code == 0
    assert running.end().code == 0


def check_risk(pipeline: str) -> None:
    """A portfolio moves; its parts add up to its VaR, each rounded by itself."""
    asked = ("risk", "long", "--pipeline", pipeline, "--json")
    for _ in range(100):
        found = [json.loads(line) for line in lines(corelane(*asked).out)]
        long, short = found
        held = [one for one in long["positions"] if one["price"]]
        off = abs(sum(one["var_part"] for one in held) - long["var_99"])
        if held and off <= 1e-4 * len(held):  # the two boards are of the same mark
            break
    else:
        raise AssertionError(found)
    assert (short["parent"], short["depth"], short["positions"]) == ("long", 1, [])
    assert {one["quantity"] for one in long["positions"]} == {50, 100}
    text = corelane("risk", "long", "--pipeline", pipeline).out
    assert "positions of long" in text
    assert "no portfolio 'lnog'" in corelane("risk", "lnog", "--pipeline", pipeline, code=2).err


def test_a_pipeline_that_does_not_run(place):
    for words in (["status"], ["stop"], ["top"], ["latency"], ["tail", "book"]):
        ran = corelane(*words, "no-such-pipeline", code=2)
        assert len(lines(ran.err)) == 1
        assert "no pipeline named 'no-such-pipeline'" in ran.err


def test_a_made_up_day_is_written_as_a_file(place):
    path = place.folder / "day.itch"
    out = corelane("synthesize", path, "--messages", "5000", "--symbols", "5").out
    assert f"{path}: 5,000 messages, {path.stat().st_size:,} bytes, in " in out
    ran = corelane("verify", "itch", path)
    assert f"itch {path.name}: 5000 messages: " in ran.out
    none = place.folder / "none" / "day.itch"
    assert "cannot be written" in corelane("synthesize", none, code=2).err


def test_a_quiet_run_says_nothing(place):
    ran = place.run(place.write(processes=TOGETHER), "--quiet")
    assert (ran.out, ran.err) == ("", "")


def test_a_run_sums_up(place):
    ran = place.run(place.write(processes=TOGETHER))
    assert "20,000 messages in " in ran.out
    assert "ready in " in ran.err
    for stage in ran.report.stages:
        assert stage.name in ran.out


@pytest.mark.parametrize("words", [["jitter"], ["--quick", "jitter"], ["run", "jitter"]])
def test_benches_are_run_by_name_with_or_without_the_word(words):
    ran = CliRunner().invoke(main, ["bench", *words, "--seconds", "0.1"])
    assert ran.exit_code == 0, ran.output
    assert "medians of 2 rounds" in ran.output
    assert "gaps by length" in ran.output


def test_an_unknown_bench_is_refused():
    ran = CliRunner().invoke(main, ["bench", "nonsense"])
    assert ran.exit_code == 1
    assert "no benchmark nonsense; there are " in ran.output


def test_refusals_are_known_by_their_codes():
    assert refusals.code_of(ConfigError("x", ["y"])) == 2
    assert refusals.code_of(SegmentError("x")) == 2
    assert refusals.code_of(FeedError("x")) == 2
    assert refusals.code_of(ClickException("x")) is None
    assert refusals.code_of(ZeroDivisionError()) is None
    assert set(refusals.CODES.values()) == {1, 2}
