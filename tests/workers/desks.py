"""Holdings for tests: small ones by hand, and random ones."""

import numpy as np
from hypothesis import strategies as st

from workers.holdings import Equity, Future, Holdings, Option, Underlying

UNDERLYINGS = {
    "ACME": Underlying(price=100.0, volatility=0.25, sector="tech", beta=1.2),
    "ZETA": Underlying(
        price=50.0, volatility=0.4, sector="energy", beta=0.8, factors={"oil": 0.5},
        volatility_beta=0.5,
    ),
}  # fmt: skip


def call(strike=100.0, quantity=1.0, **more):
    terms = {"underlying": "ACME", "expiry": 0.5, "volatility": 0.2, "rate": 0.03} | more
    return Option(type=terms.pop("type", "call"), strike=strike, quantity=quantity, **terms)


def put(strike=100.0, quantity=1.0, **more):
    return call(strike, quantity, type="put", **more)


def desk(*positions, **more):
    return Holdings(underlyings=more.pop("underlyings", UNDERLYINGS), positions=[*positions],
                    **more)  # fmt: skip


MIXED = desk(
    Equity(underlying="ACME", quantity=500.0),
    Future(underlying="ZETA", quantity=-4.0, multiplier=50.0, expiry=0.25, rate=0.04,
           dividend=0.01),
    call(105.0, -20.0, multiplier=100.0),
    put(90.0, 15.0, multiplier=100.0, dividend=0.02),
    put(48.0, -10.0, multiplier=100.0, underlying="ZETA", expiry=0.1, volatility=0.45),
)  # fmt: skip


def drawn(count, seed):
    """Holdings of `count` random positions, a few of each kind."""
    draw = np.random.default_rng(seed)
    positions = []
    for _ in range(count):
        name = ("ACME", "ZETA")[draw.integers(2)]
        price, quantity = UNDERLYINGS[name].price, float(draw.normal(0, 100))
        rates = {"rate": float(draw.uniform(-0.02, 0.1)), "dividend": float(draw.uniform(0, 0.05))}
        expiry = float(draw.choice([0.0, 0.02, 0.5, 3.0]))
        pick = draw.integers(6)
        if pick == 0:
            positions.append(Equity(underlying=name, quantity=quantity))
        elif pick == 1:
            positions.append(Future(underlying=name, quantity=quantity, expiry=expiry, **rates))
        else:
            positions.append(
                call(
                    float(price * np.exp(draw.normal(0, 0.3))),
                    quantity,
                    type=("call", "put")[draw.integers(2)],
                    underlying=name,
                    expiry=expiry,
                    volatility=float(draw.uniform(0.05, 0.9)),
                    multiplier=float(draw.choice([1.0, 100.0])),
                    **rates,
                )
            )
    return desk(*positions)


OPTIONS = st.builds(
    call,
    strike=st.floats(60.0, 160.0),
    quantity=st.floats(-100.0, 100.0).map(lambda units: units if abs(units) > 1e-6 else 1.0),
    type=st.sampled_from(["call", "put"]),
    expiry=st.floats(0.01, 3.0),
    volatility=st.floats(0.05, 1.0),
    rate=st.floats(-0.02, 0.1),
    dividend=st.floats(0.0, 0.05),
)
