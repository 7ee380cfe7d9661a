"""The benchmark of options: all see the same ones, and prices that differ are no result."""

import numpy as np
import pytest

from bench import c_program, options
from bench.harness import BenchError, Options
from bench.options import Chain, drawn
from ringbuf.jit import compiled

COUNT = 256 if compiled() else 128


@pytest.fixture(scope="module")
def chain():
    return Chain(COUNT)


def test_all_ways_give_the_same_prices(chain):
    for spot in (options.SPOT, 101.0):
        chain.tick(spot)
        found = chain.chain["price"].reshape(-1)[:COUNT]
        assert np.allclose(found, chain.numpy(spot)[0], rtol=0, atol=1e-11 * spot)
    chain.raw(options.SPOT)
    for name, values in zip(options.chains.FIRST_ORDER, chain.numpy(options.SPOT), strict=True):
        found = chain.options[name].reshape(-1)[:COUNT]
        assert np.allclose(found, values, rtol=1e-9, atol=1e-11), name


def test_quantlib_is_asked_for_the_same_options(chain):
    pytest.importorskip("QuantLib")
    chain.quantlib_made(8)
    assert np.allclose(chain.quantlib(99.0), chain.numpy(99.0)[0][:8], rtol=0, atol=1e-10)


def test_wrong_prices_are_refused(chain):
    with pytest.raises(BenchError, match="prices differ by"):
        chain.check(chain.prices + 1e-6)
    with pytest.raises(BenchError, match="prices differ by nan"):
        chain.check(chain.prices * np.nan)


@pytest.mark.skipif(not c_program.available(), reason="gcc is absent")
def test_the_c_program_checks_its_prices(chain, tmp_path):
    columns = [*drawn(COUNT).values(), chain.prices]
    good, bad = tmp_path / "good", tmp_path / "bad"
    for path, factor in ((good, 1.0), (bad, 1.0001)):
        columns[-1] = chain.prices * factor
        path.write_bytes(np.int64(COUNT).tobytes() + b"".join(c.tobytes() for c in columns))
    found = c_program.options(good, 3, 0)
    assert found["raw"] > 0
    assert found["tick"] > 0
    with pytest.raises(BenchError, match="wrong"):
        c_program.options(bad, 3, 0)


def test_the_whole_benchmark():
    result = options.run(Options(short=True))
    assert {options.RAW, options.TICKS, f"{options.RAW}: {options.NUMPY}"} <= set(result.variants)
    assert all(result.median(name, "ns") > 0 for name in result.variants)
    assert all(result.ratio(*pair) > 0 for pair in result.pairs.items())
