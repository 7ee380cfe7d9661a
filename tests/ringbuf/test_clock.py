import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuf import clock
from ringbuf.clock import CLOCK, calibrate, elapsed_ns, now, wall_ns
from ringbuf.host import steady_counter
from ringbuf.jit import compiled


def calibrated():
    record = np.zeros(1, CLOCK)
    calibrate(record[0])
    return record[0]


@pytest.fixture(scope="module")
def record():
    return calibrated()


def test_the_record_says_which_clock_it_is(record):
    assert record["steady"] == int(compiled() and steady_counter())
    assert record["ns_per_cycle"] > 0
    if not record["steady"]:
        assert record["ns_per_cycle"] == 1.0


def test_a_stretch_of_time_is_that_of_the_system_clock(record):
    first, first_ns = clock._reading()
    time.sleep(0.2)
    last, last_ns = clock._reading()
    measured = elapsed_ns(first, last, float(record["ns_per_cycle"]))
    assert measured == pytest.approx(last_ns - first_ns, rel=0.001)


def test_the_counter_never_goes_back():
    readings = [now() for _ in range(1000)]
    assert readings == sorted(readings)


def test_time_that_runs_backwards_counts_as_none():
    assert elapsed_ns(1000, 990, 0.4) == 0
    assert elapsed_ns(1000, 1000, 0.4) == 0
    assert elapsed_ns(1000, 1010, 0.4) == 4


def test_a_counter_value_has_a_wall_time(record):
    before = time.time_ns()
    counter = now()
    after = time.time_ns()
    assert before - 1_000_000 <= wall_ns(record, counter) <= after + 1_000_000


@given(st.integers(-(10**12), 10**12))
def test_wall_time_is_counted_from_the_moment_of_calibration(cycles):
    record = np.zeros(1, CLOCK)
    record["base_cycles"], record["base_ns"], record["ns_per_cycle"] = 10**15, 10**18, 0.5
    assert wall_ns(record[0], 10**15 + cycles) == 10**18 + int(cycles * 0.5)


def test_two_calibrations_agree(record):
    again = calibrated()
    assert again["ns_per_cycle"] == pytest.approx(float(record["ns_per_cycle"]), rel=0.001)
    moment = now()
    assert abs(wall_ns(again, moment) - wall_ns(record, moment)) < 1_000_000


SYSTEM = """
import json, time
import numpy as np
from ringbuf.clock import CLOCK, calibrate, now
record = np.zeros(1, CLOCK)
calibrate(record[0])
before, counter, after = time.monotonic_ns(), now(), time.monotonic_ns()
print(json.dumps([before, int(counter), after, int(record["steady"][0]),
                  float(record["ns_per_cycle"][0])]))
"""


def test_the_system_clock_can_be_chosen(tmp_path):
    environment = {**os.environ, "CORELANE_CLOCK": "system", "CORELANE_CACHE": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", SYSTEM], env=environment, capture_output=True, text=True, check=True
    )
    before, counter, after, steady, ns_per_cycle = json.loads(ran.stdout)
    assert before <= counter <= after
    assert (steady, ns_per_cycle) == (0, 1.0)
    assert any(tmp_path.rglob("*.nbc")) == compiled()
