import gzip
import hashlib
import re
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf.jit import FLAGS, compiled
from tests.naive.risk import expected_shortfall, in_money, ranked, value_at_risk
from workers import scenarios as given_scenarios
from workers.kernels import scenarios
from workers.records import empty
from workers.scenarios import ScenarioError, Scenarios, load, synthetic, to_fixed

EXAMPLES = 100 if compiled() else 30
LINE = np.dtype("V64")
LEVELS = st.sampled_from([(990, 975), (975, 975), (950, 990), (999, 999), (500, 900)])


class Distribution:
    """A distribution of profits in memory of its own."""

    def __init__(self, count, levels=(990, 975)):
        self.memory = empty(LINE, scenarios.bytes_needed(count, *levels) // 64)
        self.address = self.memory.ctypes.data
        self.count, self.levels = count, levels
        scenarios.create(self.address, count, *levels)

    def move(self, returns, delta):
        returns = np.ascontiguousarray(returns, np.int32)
        scenarios.move(self.address, returns.ctypes.data, delta)

    @property
    def header(self):
        size = scenarios.DISTRIBUTION.itemsize
        return self.memory.view(np.uint8)[:size].view(scenarios.DISTRIBUTION)[0]

    def answers(self):
        header = self.header
        return int(header.value_at_risk), int(header.shortfall), int(header.worst)

    def profits(self):
        return scenarios.profits(self.address).tolist()


def expected(profits, levels):
    return (
        in_money(value_at_risk(profits, levels[0])),
        in_money(expected_shortfall(profits, levels[1])),
        ranked(profits)[0],
    )


@st.composite
def moves(draw):
    """Rows of returns, from all different to all equal, and exposures that come and go."""
    count = draw(st.integers(1, 60) | st.sampled_from([100, 199, 200, 333]))
    bound = draw(st.sampled_from([0, 1, 3, 50, 2**20, 2**26]))
    source = np.random.default_rng(draw(st.integers(0, 2**32)))
    returns = source.integers(-bound, bound, (3, count), dtype=np.int32, endpoint=True)
    delta = st.integers(-(2**30), 2**30) | st.integers(-3, 3)
    events = draw(st.lists(st.tuples(st.integers(0, 2), delta), max_size=12))
    small = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(-99, 99)), max_size=12))
    return count, returns, events + small


@settings(max_examples=EXAMPLES, deadline=None)
@given(moves(), LEVELS)
def test_every_move_leaves_what_a_recomputation_gives(drawn, levels):
    count, returns, events = drawn
    distribution, profits = Distribution(count, levels), [0] * count
    for row, delta in events:
        distribution.move(returns[row], delta)
        profits = [p + delta * int(r) for p, r in zip(profits, returns[row], strict=True)]
        assert distribution.profits() == profits
        assert distribution.answers() == expected(profits, levels)


@settings(max_examples=EXAMPLES, deadline=None)
@given(moves(), st.sampled_from([500, 950, 975, 990, 999]))
def test_shortfall_is_at_least_value_at_risk_of_the_same_level(drawn, level):
    count, returns, events = drawn
    distribution = Distribution(count, (level, level))
    for row, delta in events:
        distribution.move(returns[row], delta)
        value, shortfall, _ = distribution.answers()
        assert shortfall >= value


@settings(max_examples=EXAMPLES, deadline=None)
@given(moves(), st.integers(-(2**20), 2**20), st.integers(-(2**20), 2**20))
def test_shortfall_of_two_positions_is_at_most_the_sum_of_theirs(drawn, first, second):
    count, returns, _ = drawn
    together, alone = Distribution(count), []
    for row, delta in ((0, first), (1, second)):
        single = Distribution(count)
        single.move(returns[row], delta)
        together.move(returns[row], delta)
        alone.append(single.answers()[1])
    assert together.answers()[1] <= sum(alone) + 1  # each of the three is rounded by half a unit


def test_value_at_risk_is_not_subadditive_and_both_are_as_computed_by_hand():
    """Two loans that fail on different days, 0.9 % each: a loss of 10 that VaR 99 % ignores."""
    returns = np.zeros((2, 1000), np.int32)
    returns[0, :9] = returns[1, 9:18] = -(2**24)
    single, both = Distribution(1000, (990, 990)), Distribution(1000, (990, 990))
    single.move(returns[0], 1000)
    assert single.answers() == (0, 90_000, 0)
    both.move(returns[0], 1000)
    both.move(returns[1], 1000)
    assert both.answers() == (100_000, 100_000, 0)


def test_taking_a_position_away_leaves_nothing_behind():
    source = np.random.default_rng(1)
    rows = source.integers(-(2**24), 2**24, (40, 250), dtype=np.int32)
    distribution = Distribution(250)
    deltas = source.integers(-(2**30), 2**30, 40).tolist()
    for index in range(40):
        distribution.move(rows[index], deltas[index])
    assert any(distribution.profits())
    for index in source.permutation(40):
        distribution.move(rows[index], -deltas[index])
    assert not any(distribution.profits())
    assert distribution.answers() == (0, 0, 0)


def test_profits_next_to_the_limit_do_not_overflow():
    for count in (1, 60, 1000):
        for sign in (1, -1):
            returns = np.full(count, 2**31 - 1, np.int32)
            returns[::2] = -(2**31) + 1
            distribution = Distribution(count)
            distribution.move(returns, sign * 2**30)
            profits = [sign * 2**30 * int(change) for change in returns]
            assert distribution.profits() == profits
            assert distribution.answers() == expected(profits, (990, 975))


def test_a_new_distribution_is_zero_everywhere():
    for count in (1, 2, 50, 1000):
        distribution = Distribution(count)
        assert distribution.answers() == (0, 0, 0)
        assert distribution.profits() == [0] * count


def test_of_equal_profits_the_first_scenario_is_the_worst():
    distribution = Distribution(300)
    distribution.move(np.full(300, -5, np.int32), 7)
    assert distribution.answers()[2] == 0
    assert len(set(distribution.profits())) == 1


def test_small_moves_keep_the_tail_and_large_ones_gather_it_anew():
    source = np.random.default_rng(4)
    distribution = Distribution(1000)
    distribution.move((source.standard_t(4, 1000) * 2**18).astype(np.int32), 10**6)
    before = int(distribution.header.rebuilds)
    for _ in range(50):
        distribution.move((source.standard_t(4, 1000) * 2**18).astype(np.int32), 10)
    assert int(distribution.header.rebuilds) == before
    distribution.move((source.standard_t(4, 1000) * 2**18).astype(np.int32), 10**7)
    assert int(distribution.header.rebuilds) == before + 1


@given(st.integers(-(2**61), 2**61), st.integers(1, 2**40))
def test_division_rounds_to_nearest_halves_to_even(dividend, divisor):
    assert scenarios.nearest(dividend, divisor) == round(Fraction(dividend, divisor))


@pytest.mark.parametrize(("dividend", "nearest"), [(5, 2), (7, 4), (-5, -2), (-7, -4), (6, 3)])
def test_halves_go_to_even(dividend, nearest):
    assert scenarios.nearest(dividend, 2) == nearest


@pytest.mark.compiled
@pytest.mark.skipif(not compiled(), reason="plain Python has no machine code")
@pytest.mark.parametrize(
    ("name", "parameters"), [("shift", 5), ("count_below", 3), ("lowest", 2), ("highest", 2)]
)
def test_the_passes_over_the_vector_are_vectorised(name, parameters):
    """A loop that falls back to one scenario at a time still gives right answers, only later."""
    function = getattr(scenarios, name)
    fresh = numba.njit(**{**FLAGS, "cache": False})(function.py_func)
    fresh.compile((numba.int64,) * parameters)
    code = fresh.inspect_llvm(fresh.signatures[0])
    assert re.search(r"(load|phi|add).* <\d+ x i64>", code), name


def write(folder, text, name="returns.csv"):
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def lines(count=100, row="0.01,-0.02"):
    return f"{row}\n" * count


@pytest.mark.parametrize("name", ["returns.csv", "returns.csv.gz"])
def test_a_file_is_read_with_or_without_dates(tmp_path, name):
    dated = "".join(f"day {number},{number / 1000},-0.5\n" for number in range(120))
    read = load(write(tmp_path, "Date,A,B\n" + dated, name))
    assert read.symbols == ("A", "B")
    assert read.returns.shape == (120, 2)
    assert read.returns[:, 0].tolist() == [number / 1000 for number in range(120)]
    plain = load(write(tmp_path, "\ufeffA, B\r\n" + lines().replace("\n", "\r\n"), name))
    assert plain.symbols == ("A", "B")
    assert plain.returns[7].tolist() == [0.01, -0.02]


BAD_FILES = {
    "": "row 1: no symbols",
    "date\n": "row 1: no symbols",
    "A,,C\n": "symbol 2 is blank",
    "A,B,A\n": "symbol A twice",
    "A,B\n" + lines(99): "99 scenarios: give at least 100.*worst 1 %",
    "A,B\n" + lines(3) + "0.1\n": "row 5: 1 fields for 2 columns",
    "A,B\n" + lines(3) + "0.1,\n": "row 5, column B: nothing is no number",
    "A,B\n" + lines(3) + "0.1,n/a\n": "row 5, column B: 'n/a' is no number",
    "A,B\n" + lines(3) + "nan,0\n": "row 5, column A: 'nan' is no number",
    "A,B\n" + lines(3) + "0,-inf\n": "row 5, column B: '-inf' is no number",
    "A,B\n" + lines(3) + "0,1_0\n": "row 5, column B: '1_0' is no number",
    "A,B\n" + lines(3) + "0,585.33\n": "row 5, column B.*fractions.*not prices",
    "A,B\n" + lines(3) + "0,-1.5\n": "row 5, column B.*fractions",
    "A,B\n" + '"0,1\n': "is no CSV text",
    "date,A\n2012-06-20,0\n2012-06-21,0\n2012-06-20,0\n": "row 4, column date: 2012-06-20 again",
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.items(), ids=BAD_FILES.values())
def test_a_bad_file_is_refused_with_its_place(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ScenarioError, match=f"{re.escape(str(path))}.*{message}"):
        load(path)


@pytest.mark.parametrize(
    "data",
    [b"no gzip", gzip.compress(b"A\n" + b"0\n" * 999)[:-9], b"\x1f\x8b\x08"],
    ids=["other", "cut", "begun"],
)
def test_a_damaged_archive_is_refused(tmp_path, data):
    path = tmp_path / "returns.csv.gz"
    path.write_bytes(data)
    with pytest.raises(ScenarioError, match="cannot be read"):
        load(path)


def test_a_missing_file_and_other_bytes_are_refused(tmp_path):
    with pytest.raises(ScenarioError, match=r"gone\.csv: cannot be read"):
        load(tmp_path / "gone.csv")
    (tmp_path / "binary.csv").write_bytes(b"A,B\n\xff\xfe,1\n")
    with pytest.raises(ScenarioError, match="UTF-8"):
        load(tmp_path / "binary.csv")


def test_more_scenarios_than_the_kernels_take_are_refused(tmp_path):
    with pytest.raises(ScenarioError, match="at most 65536"):
        load(write(tmp_path, "A\n" + "0\n" * 65_537))


def test_a_file_must_have_every_symbol_that_is_wanted(tmp_path):
    path = write(tmp_path, "A,B\n" + lines())
    assert load(path, ["B"]).symbols == ("A", "B")
    with pytest.raises(ScenarioError, match=r"returns\.csv, row 1: no returns for C.*\(.*A, B\)"):
        load(path, ["A", "C"])


def test_a_symbol_without_returns_is_refused():
    known = Scenarios(("A", "B"), np.array([[0.5, -0.25]]))
    assert known.row("B").tolist() == [-(2**22)]
    with pytest.raises(ScenarioError, match=r"no returns for MSFT: add a column.*A, B"):
        known.row("MSFT")


def test_fixed_point_rounds_halves_to_even():
    unit = 2.0**-24
    returns = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1 / unit]) * unit
    assert to_fixed(returns).tolist() == [0, 2, 2, 0, -2, 2**24]
    assert to_fixed(np.array([-1.0, 127.0])).tolist() == [-(2**24), 127 * 2**24]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -1.01, 128.0])
def test_fixed_point_refuses_what_does_not_fit(wrong):
    with pytest.raises(ScenarioError, match=r"at \(1, 0\): give numbers from -1 to 127"):
        to_fixed(np.array([[0.0, 0.0], [wrong, 0.0]]))


def test_synthetic_returns_are_the_same_bits_on_every_machine():
    made = synthetic(["AAPL", "MSFT", "SPY"], 500, seed=2012)
    digest = hashlib.blake2b(to_fixed(made.returns).tobytes(), digest_size=8).hexdigest()
    assert digest == "52f76251b07a34fd"
    assert np.array_equal(to_fixed(made.returns) / 2**24, made.returns)


def test_a_synthetic_symbol_depends_on_seed_and_name_alone():
    alone, among = synthetic(["B"], 200, 1), synthetic(["A", "B"], 200, 1)
    assert np.array_equal(alone.returns[:, 0], among.returns[:, 1])
    assert not np.array_equal(alone.returns, synthetic(["B"], 200, 2).returns)
    assert not np.array_equal(among.returns[:, 0], among.returns[:, 1])


def test_no_symbols_have_no_synthetic_returns():
    assert synthetic([], 200, 1).returns.shape == (200, 0)


def test_synthetic_returns_look_like_a_market():
    returns = synthetic([f"S{number}" for number in range(20)], 5000, seed=1).returns
    deviation = returns.std(axis=0)
    assert (deviation > 0.012).all()
    assert (deviation < 0.03).all()
    kurtosis = ((returns - returns.mean(axis=0)) ** 4).mean(axis=0) / deviation**4
    assert (kurtosis > 4).all()
    assert (abs(returns.mean(axis=0)) < 0.002).all()
    assert np.corrcoef(returns.T)[np.triu_indices(20, 1)].min() > 0.05
    assert returns.min() > given_scenarios.LOWEST_RETURN


@pytest.mark.parametrize(
    ("symbols", "days", "message"),
    [(["", "A"], 200, "blank"), (["A", "A"], 200, "twice"), (["A"], 99, "at least 100")],
)
def test_senseless_synthetic_scenarios_are_refused(symbols, days, message):
    with pytest.raises(ScenarioError, match=message):
        synthetic(symbols, days, 1)
