"""`corelane verify options`: what passes, what fails, and what it makes of bad files."""

import csv
import math

import pytest

from pipeline.option_verification import (
    KNOWN,
    OptionFileError,
    compare,
    divisor,
    summary,
    tolerance,
    verify,
)
from tests.data import data_file
from tests.naive import options as naive
from tests.pipeline.running import corelane, lines

PUBLISHED = "id,source,model,type,S,K,q,r,T,vol,measure,value,tol,note\n"
HULL = 'H1,"Hull, p. 338",bsm,call,42,40,0,0.1,0.5,0.2,price,4.76,0.005,\n'
GRID = "id,type,S,K,q,r,T,vol,price,delta\n"
OPTION = (100.0, 90.0, 0.05, 0.02, 0.5, 0.3)  # S, K, r, q, T, vol


def written(folder, text, name="values.csv"):
    path = folder / name
    path.write_text(text)
    return path


def published(folder, measure, value, tol="1e-9 rel", note="", model="bsm", q="0.02"):
    row = f"X,,{model},call,100,90,{q},0.05,0.5,0.3,{measure},{value!r},{tol},{note}\n"
    (check,) = compare(written(folder, PUBLISHED + row))
    return check


@pytest.mark.parametrize(("name", "values"), [("published", 150), ("engines", 1_200)])
def test_the_samples_hold(name, values, capsys):
    path = data_file(f"risk/options_{name}.csv")
    assert verify(path)
    told = lines(capsys.readouterr().out)
    assert told[0].startswith(f"options {path.name}: ")
    assert told[0].endswith(" 0 failed")
    assert int(told[0].split()[4].replace(",", "")) > values


def test_the_command_says_what_fails(tmp_path):
    path = written(tmp_path, PUBLISHED + HULL + HULL.replace("4.76", "4.77").replace("H1", "H2"))
    ran = corelane("verify", "options", path, code=1)
    assert lines(ran.out)[0] == "options values.csv: 2 rows, 2 values, 1 failed"
    assert lines(ran.out)[2].split()[:3] == ["price", "2", "1"]
    (failure,) = lines(ran.err)
    assert failure.startswith("H2 price: theirs 4.77, ours 4.7594")
    assert corelane("verify", "options", written(tmp_path, PUBLISHED + HULL)).err == ""
    ran = corelane("verify", "options", written(tmp_path, PUBLISHED + HULL[:-10]), code=2)
    assert "values.csv, row 2: 12 fields for 14 columns" in " ".join(ran.err.split())


@pytest.mark.parametrize("name", KNOWN)
def test_every_measure_has_its_value_and_its_unit(name, tmp_path):
    exact = {key: float(value) for key, value in naive.measures(1, *OPTION).items()}
    step = 1e-4
    up, down = (
        float(naive.measures(1, 100.0, 90.0 + move, *OPTION[2:])["price"]) for move in (step, -step)
    )
    exact |= {
        "elasticity": exact["delta"] * 100 / exact["price"],
        "strike_sensitivity": (up - down) / (2 * step),
        "theta_per_day": exact["theta"] / 365,
        "vega_per_percent": exact["vega"] / 100,
        "rho_per_percent": exact["rho"] / 100,
    }
    assert published(tmp_path, name, exact[name]).passed
    assert not published(tmp_path, name, exact[name] * (1 + 3e-9)).passed


def test_units_that_the_note_names(tmp_path):
    exact = {key: float(value) for key, value in naive.measures(1, *OPTION).items()}
    note = '"theta per day, vega/rho per 1%"'
    assert published(tmp_path, "theta", exact["theta"] / 365, note=note).passed
    assert published(tmp_path, "vega", exact["vega"] / 100, note=note).passed
    assert published(tmp_path, "rho", exact["rho"] / 100, note=note).passed
    assert published(tmp_path, "delta", exact["delta"], note=note).passed


@pytest.mark.parametrize(
    ("note", "units"),
    [
        ("", (1, 1, 1)),
        ("theta per year, vega/rho per 1.0", (1, 1, 1)),
        ("theta/vega/rho per 1.0 (annual, per unit); theta_per_day = /365", (1, 1, 1)),
        ("Theta per day; vega and rho per 0.01", (365, 100, 100)),
        ("theta /365, vega /100, rho /100", (365, 100, 100)),
        ("theta per calendar day", (365, 1, 1)),
        ("rho per 100 bp", (1, 1, 1)),
    ],
)
def test_notes_on_units(note, units):
    assert tuple(divisor(name, note) for name in ("theta", "vega", "rho")) == units
    assert divisor("dividend_rho", note) == divisor("price", note) == 1


def test_futures_options(tmp_path):
    """An empty q is the rate; undiscounted ones know no rate at all."""
    spot, strike, rate, _, expiry, volatility = OPTION
    exact = naive.measures(1, spot, strike, rate, rate, expiry, volatility)
    plain = naive.measures(1, spot, strike, 0.0, 0.0, expiry, volatility)
    price = float(exact["price"])
    for name in ("price", "delta", "gamma", "vega", "theta"):
        for q in ("", "0.05"):
            assert published(tmp_path, name, float(exact[name]), model="black76", q=q).passed
        check = published(tmp_path, name, float(plain[name]), model="black76_undiscounted", q="")
        assert check.passed
    assert published(tmp_path, "rho", -expiry * price, model="black76", q="").passed
    per_percent = -expiry * price / 100
    assert published(tmp_path, "rho_per_percent", per_percent, model="black76", q="").passed


@pytest.mark.parametrize(
    ("text", "value", "allowed"),
    [
        ("1e-4", 50.0, 1e-4),
        ("0.0005", -50.0, 0.0005),
        ("1e-4 abs", 50.0, 1e-4),
        ("1e-13 rel", -50.0, 5e-12),
        ("1e-13 relative", 0.0, 1e-300),
        ("1E-8 rel of max(1,|v|)", 0.5, 1e-8),
        ("1e-8 rel of max(1, |v|)", -50.0, 5e-7),
        ("0.1%", 50.0, 0.05),
        ("0.1 % rel", 50.0, 0.05),
    ],
)
def test_tolerances_in_words(text, value, allowed):
    assert tolerance("here", text, value) == pytest.approx(allowed, rel=1e-15)


def test_a_grid_compares_each_column_that_is_a_measure(tmp_path):
    exact = naive.measures(-1, *OPTION)
    row = f"G1,put,100,90,0.02,0.05,0.5,0.3,{exact['price']:.20e},{exact['delta']:.20e}"
    header = GRID.strip() + ",quantlib_delta\n"
    good = list(compare(written(tmp_path, f"{header}{row},0\n{row},0\n")))
    assert [check.measure for check in good] == ["price", "delta"] * 2
    assert all(check.passed for check in good)
    assert next(iter(summary(good))).split()[:3] == ["measure", "values", "failed"]
    far = f"G2,call,100,900,0.02,0.05,0.01,0.05,7.5e-11242,{1.1e-21}"
    (price, delta) = compare(written(tmp_path, f"{GRID}{far}\n"))
    assert price.passed, "a price that no float64 holds"
    assert not delta.passed, "beyond 1e-11 of the floor of 1e-12 of the spot"
    off = float(exact["price"]) * (1 + 2e-11)
    row = f"G3,put,100,90,0.02,0.05,0.5,0.3,{off!r},{exact['delta']:.20e}"
    assert [c.passed for c in compare(written(tmp_path, f"{GRID}{row}\n"))] == [False, True]


BAD_FILES = {
    "": "row 1: no column id, type, S, K, r, q, T, vol: ",
    GRID: "no rows below the header",
    PUBLISHED.replace("tol,", ""): "row 1: no column tol: ",
    PUBLISHED.replace("model,", "type,"): "row 1: column type twice: keep one",
    GRID.replace("vol,", ""): "row 1: no column vol: ",
    "id,type,S,K,q,r,T,vol,npv\n": "row 1: no column price: ",
    PUBLISHED + HULL[:-2] + "\n": "row 2: 13 fields for 14 columns",
    PUBLISHED + HULL + HULL.replace("0.2,", "0.2x,"): "row 3, column vol: '0.2x' is no number",
    PUBLISHED + HULL.replace(",42,", ",,"): "row 2, column S: nothing is no number",
    PUBLISHED + HULL.replace("4.76", "nan"): "row 2, column value: 'nan' is no number",
    PUBLISHED + HULL.replace(",40,", ",4_0,"): "row 2, column K: '4_0' is no number",
    PUBLISHED + HULL.replace("0.005", "about 1"): "row 2, column tol: 'about 1' is no tolerance",
    PUBLISHED + HULL.replace("0.005", "1.2.3"): "row 2, column tol: '1.2.3' is no tolerance",
    PUBLISHED + HULL.replace("price", "speed"): "row 2, column measure: 'speed' is none that bsm",
    PUBLISHED + HULL.replace("bsm", "heston"): "row 2, column model: 'heston' is unknown",
    PUBLISHED
    + HULL.replace("call", "strangle"): "row 2, column type: 'strangle': give call or put",
    PUBLISHED + HULL.replace(",42,", ",-42,"): "row 2, column S: no option has such a number",
    PUBLISHED + HULL.replace("0.5,", "-0.5,"): "row 2, column T: no option has such a number",
    PUBLISHED + HULL.replace("0.1,", "1e9,"): "row 2, column r: no option has such a number",
    PUBLISHED + HULL.replace("bsm", "black76").replace("price", "dividend_rho"): "that black76 has",
    PUBLISHED + '"H1': "is no CSV text",
}


@pytest.mark.parametrize("text", BAD_FILES, ids=range(len(BAD_FILES)))
def test_bad_files_are_refused_with_their_place(text, tmp_path):
    with pytest.raises(OptionFileError) as told:
        list(compare(written(tmp_path, text)))
    message = str(told.value)
    assert BAD_FILES[text] in message
    assert "values.csv" in message
    assert "\n" not in message


def test_files_that_are_none(tmp_path):
    (tmp_path / "latin.csv").write_bytes(GRID.encode() + b"\xff\xfe\n")
    for name in ("none.csv", "latin.csv", "."):
        with pytest.raises(OptionFileError, match=r"cannot be read|is no CSV text"):
            list(compare(tmp_path / name))


def test_a_nan_of_ours_never_passes(tmp_path):
    """The elasticity of an option that is worth nothing."""
    row = "X,,bsm,call,0,90,0.02,0.05,0.5,0.3,elasticity,0,1e9,\n"
    (check,) = compare(written(tmp_path, PUBLISHED + row))
    assert math.isnan(check.ours)
    assert not check.passed


def test_all_rows_of_the_published_sample_are_looked_at():
    path = data_file("risk/options_published.csv")
    with path.open(newline="") as text:
        rows = list(csv.DictReader(text))
    checks = list(compare(path))
    assert [check.name for check in checks] == [row["id"] for row in rows]
    for check, row in zip(checks, rows, strict=True):
        exact = float(row["value_50digit_closed_form"])
        assert check.ours == pytest.approx(exact, rel=1e-12, abs=1e-300), row
