"""A hundredth of the campaign: a million frames and messages of all kinds, each way of damage."""

import os
import signal

import pytest

from tests.fuzz import main
from tests.fuzz.main import SHARES, VENUES, Result, play

FRAMES = 1_000_000
MESSAGES = 3_000  # of each venue
pytestmark = pytest.mark.compiled  # who makes the frames is compiled


@pytest.mark.parametrize("target", SHARES)
def test_no_parser_of_bytes_takes_harm(target):
    wanted = FRAMES * SHARES[target] // 1000
    result = play(target, wanted, 0, compared=50)
    assert not result.findings
    assert result.frames >= 0.9 * wanted


@pytest.mark.parametrize("target", VENUES)
def test_no_parser_of_messages_takes_harm(target):
    result = play(target, MESSAGES, 0)
    assert not result.findings
    assert result.frames >= MESSAGES


def world_of(action):
    class World:
        made = 10

        def play(self, seed):
            return action(seed)

        def again(self):
            return ""

        def differs(self, seed):
            return ""

    return World()


def test_what_is_wrong_is_found_and_named(monkeypatch, capfd):
    monkeypatch.setattr(main, "worlds_of", lambda _: [world_of(lambda seed: "odd" * (seed == 3))])
    assert play("itch", 100, 0).findings == [(0, 3, "odd")]
    assert main.campaign(1_000, 6, checked=False) == len(SHARES)
    told = capfd.readouterr()
    assert "python -m tests.fuzz.main replay itch 0 3" in told.err
    assert "6 findings" in told.out


@pytest.mark.parametrize(("action", "verdict"), [("die", "a crash"), ("loop", "a hang")])
def test_a_dead_and_a_silent_process_are_findings(monkeypatch, action, verdict):
    def at_four(seed):
        if seed == 4:
            os.kill(os.getpid(), signal.SIGKILL) if action == "die" else loop()
        return ""

    def loop():
        while True:
            pass

    monkeypatch.setattr(main, "worlds_of", lambda _: [world_of(at_four)])
    result = main.watched("itch", 100, 0, silence=0.5)
    assert isinstance(result, Result)
    ((world, seed, told),) = result.findings
    assert (world, seed) == (0, 4)
    assert told.startswith(verdict)
