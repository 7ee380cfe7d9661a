"""Chains of options: the same numbers as one by one, on every tick, in packed instructions."""

import csv
import math
import platform
import re
from pathlib import Path

import numba
import numpy as np
import pytest

from ringbuf.jit import FLAGS, compiled
from tests.data import data_file
from workers.kernels import option_chains as chains
from workers.kernels.black_scholes import CALL, PUT, Measures, Refused, measure
from workers.records import empty

COUNT = 4_096 if compiled() else 128
MEASURES = (*chains.FIRST_ORDER, *chains.SECOND_ORDER)


def fill(**columns):
    """OPTIONS blocks with these columns, as many lanes as they are long; the rest is not used."""
    count = max(len(values) for values in columns.values())
    blocks = empty(chains.OPTIONS, -(-count // chains.LANES))
    for name, values in columns.items():
        lanes = np.zeros(blocks.size * chains.LANES)
        lanes[:count] = values
        blocks[name] = lanes.reshape(blocks.size, chains.LANES)
    return blocks


def column(blocks, name, count):
    return blocks[name].reshape(-1)[:count]


def drawn(count, seed=1, spot=None):
    """Random options of every kind, with all corners among them."""
    draw = np.random.default_rng(seed)
    spots = np.full(count, spot) if spot else np.exp(draw.uniform(-5, 8, count))
    expiry, volatility = np.exp(draw.uniform(-9, 3, count)), np.exp(draw.uniform(-5, 1, count))
    expiry[draw.random(count) < 0.05] = 0.0
    volatility[draw.random(count) < 0.05] = 0.0
    away = draw.normal(0, 3, count) * volatility * np.sqrt(expiry)
    strike = spots * np.exp(np.clip(away, -20, 20))
    strike[draw.random(count) < 0.02] = 0.0
    columns = {
        "kind": draw.choice([CALL, PUT], count),
        "spot": spots,
        "strike": strike,
        "rate": draw.uniform(-0.1, 0.2, count),
        "dividend": draw.uniform(-0.1, 0.2, count),
        "expiry": expiry,
        "volatility": volatility,
    }
    for name in chains.INPUTS[2:]:
        columns[name][draw.random(count) < 0.01] = math.nan
    return columns


def priced(blocks, second_order=False):
    run = chains.measure_all if second_order else chains.price_all
    run(blocks.ctypes.data, blocks.size)
    return blocks


def prepared(blocks):
    chain = empty(chains.CHAIN, blocks.size)
    chains.prepare_all(blocks.ctypes.data, chain.ctypes.data, blocks.size)
    return chain


def test_a_chain_has_the_bits_of_single_options():
    columns = drawn(COUNT)
    blocks = priced(fill(**columns), second_order=True)
    for lane, inputs in enumerate(
        zip(*(columns[name].tolist() for name in chains.INPUTS), strict=True)
    ):
        alone = measure(*inputs)
        block, place = divmod(lane, chains.LANES)
        together = Measures(*(blocks[name][block, place].item() for name in Measures._fields))
        assert np.array_equal(alone, together, equal_nan=True), inputs


def test_prices_alone_are_those_of_all_measures():
    columns = drawn(COUNT, seed=2)
    some, all_ = priced(fill(**columns)), priced(fill(**columns), second_order=True)
    for name in ("flag", *chains.FIRST_ORDER):
        assert np.array_equal(some[name], all_[name], equal_nan=True)
    assert not some["vanna"].any()


@pytest.mark.parametrize("name", chains.FIRST_ORDER)
def test_a_tick_gives_what_all_inputs_give(name):
    """At spots that lie where the chain was made for, and far away."""
    columns = drawn(COUNT, seed=3, spot=100.0)
    chain = prepared(fill(**columns))
    for spot in (100.0, 100.01, 37.0, 900.0, 0.0, 1e-25):
        whole = priced(fill(**columns | {"spot": np.full(COUNT, spot)}))
        assert chains.reprice_all(chain.ctypes.data, chain.size, spot) == 0
        ticked, wanted = column(chain, name, COUNT), column(whole, name, COUNT)
        assert np.array_equal(np.isnan(ticked), np.isnan(wanted))
        with np.errstate(invalid="ignore", divide="ignore"):
            decay = column(whole, "vega", COUNT) * columns["volatility"] / columns["expiry"]
            floor = 1e-14 * np.nan_to_num(decay) if name == "theta" else 0.0  # its terms may cancel
            close = np.abs(ticked - wanted) <= 1e-12 * np.abs(wanted) + floor
        assert (close | (ticked == wanted) | np.isnan(wanted)).all()


def test_an_impossible_tick_is_told_and_leaves_no_number():
    chain = prepared(fill(**drawn(100, spot=100.0)))
    for spot in (-1.0, math.nan, math.inf, -math.inf, 1e31, 1e-31):
        assert chains.reprice_all(chain.ctypes.data, chain.size, 100.0) == 0
        assert np.isfinite(chain["price"]).any()
        assert chains.reprice_all(chain.ctypes.data, chain.size, spot) == Refused.SPOT
        assert all(np.isnan(chain[name]).all() for name in chains.FIRST_ORDER)


def test_refused_options_poison_no_neighbour():
    columns = drawn(chains.LANES, seed=4)
    clean = {name: np.nan_to_num(values, nan=0.1) for name, values in columns.items()}
    whole = priced(fill(**clean))
    for name in chains.INPUTS:
        hit = {key: values.copy() for key, values in clean.items()}
        hit[name][7] = math.nan
        blocks = priced(fill(**hit))
        rest = np.arange(chains.LANES) != 7
        for measured in chains.FIRST_ORDER:
            assert math.isnan(blocks[measured][0, 7])
            assert np.array_equal(blocks[measured][0, rest], whole[measured][0, rest])
        flag = blocks["flag"][0, 7]
        assert flag == 1 << chains.INPUTS.index(name)
        assert prepared(blocks)["flag"][0, 7] == (0 if name == "spot" else flag)


def test_lanes_beyond_the_last_option_are_refused():
    blocks = priced(fill(**drawn(3)))
    assert (blocks["flag"][0, 3:] & Refused.KIND).all()
    assert np.isnan(blocks["price"][0, 3:]).all()
    chain = prepared(blocks)
    chains.reprice_all(chain.ctypes.data, 1, 100.0)
    assert np.isnan(chain["price"][0, 3:]).all()


def test_both_ways_have_twelve_digits_of_the_reference_grid():
    rows = list(csv.DictReader(data_file("risk/options_engines.csv").read_text().splitlines()))
    if not compiled():
        rows = rows[:64]
    kinds = [CALL if row["type"] == "call" else PUT for row in rows]
    names = {
        "spot": "S",
        "strike": "K",
        "rate": "r",
        "dividend": "q",
        "expiry": "T",
        "volatility": "vol",
    }
    inputs = {
        name: np.array([float(row[column]) for row in rows]) for name, column in names.items()
    }
    blocks = priced(fill(kind=np.array(kinds), **inputs))
    chain = prepared(blocks)
    for name in chains.FIRST_ORDER:
        wanted = np.array([float(row[name]) for row in rows])
        floor = np.maximum(np.abs(wanted), 1e-12 * inputs["spot"])
        assert np.max(np.abs(column(blocks, name, len(rows)) - wanted) / floor) < 1e-12
        for spot in np.unique(inputs["spot"]).tolist():
            chains.reprice_all(chain.ctypes.data, chain.size, spot)
            off = np.abs(column(chain, name, len(rows)) - wanted) / floor
            assert np.max(off[inputs["spot"] == spot]) < 1e-12


@pytest.mark.skipif(not compiled(), reason="shows what the compiler emits")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 assembly")
@pytest.mark.parametrize("name", ["price_block", "measure_block", "reprice_block"])
def test_loops_over_lanes_are_packed(name):
    """A block's kernel is its loop over the lanes and nothing else, a fixed number of whole
    vectors: so what is in the function at all is in the hot loop, and no scalar arithmetic may
    be, not even for a remainder. Moves of constants are no arithmetic."""
    if " fma " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no fused multiply-add")
    flags = {**FLAGS, "cache": False}  # code that comes from the disk cannot be shown
    fresh = numba.njit(**flags)(getattr(chains, name).py_func)
    numbers = ["float64"] * 4 if name == "reprice_block" else []
    fresh.compile(f"void({', '.join(['int64', *numbers])})")
    lines = fresh.inspect_asm(fresh.signatures[0])
    arithmetic = r"\tv?(?:fn?m(?:add|sub)\d*|add|sub|mul|div|sqrt|min|max)"
    packed, scalar = (re.findall(arithmetic + f"{kind}\t", lines) for kind in ("pd", "sd"))
    assert len(packed) > 100
    assert not scalar, scalar
    assert not re.findall(r"\tcallq?\t.*(?:fma|exp|log|sqrt)", lines), "a function call in the loop"
