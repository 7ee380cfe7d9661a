"""European options by the textbook, in decimal numbers of 60 digits: slow, and plainly right."""

from decimal import Decimal, localcontext

DIGITS = 60
TAIL = 6  # from here on the continued fraction; the series before
FRACTION_DEPTH = 250
ROOT_2PI = Decimal("2.50662827463100050241576528481104525300698674060993831662992357634229365")


def density(value):
    """The normal density."""
    return (-value * value / 2).exp() / ROOT_2PI


def lower_tail(y):
    """N(-y) of y >= 0: Taylor's series about 0 (all terms of one sign), or Laplace's fraction."""
    if y < TAIL:
        term = total = y
        factor = 1
        while term > total * Decimal(10) ** -(DIGITS + 5):
            factor += 2
            term = term * y * y / factor
            total += term
        return Decimal("0.5") - density(y) * total
    fraction = Decimal(0)
    for step in range(FRACTION_DEPTH, 0, -1):
        fraction = step / (y + fraction)
    return density(y) / (y + fraction)


def cdf(value):
    """The normal distribution function of a Decimal or a float."""
    with localcontext() as context:
        context.prec = DIGITS + 20
        context.Emin, context.Emax = -999_999, 999_999
        value = Decimal(value)
        return lower_tail(-value) if value <= 0 else 1 - lower_tail(value)


def measures(kind, spot, strike, rate, dividend, expiry, volatility):
    """Price and Greeks by name, as Decimals; nothing is 0 but the rates."""
    with localcontext() as context:
        context.prec = DIGITS + 20
        context.Emin, context.Emax = -999_999, 999_999
        numbers = (spot, strike, rate, dividend, expiry, volatility)
        return textbook(int(kind), *(Decimal(number) for number in numbers))


def textbook(kind, spot, strike, rate, dividend, expiry, volatility):
    """Haug 2007, The Complete Guide to Option Pricing Formulas, chapters 1 and 2."""
    root = expiry.sqrt()
    deviation = volatility * root
    forward = (spot / strike).ln() + (rate - dividend) * expiry
    first = forward / deviation + deviation / 2
    second = first - deviation
    growth, discount = (-dividend * expiry).exp(), (-rate * expiry).exp()
    asset, cash = spot * growth, strike * discount
    chance, paid = cdf(kind * first), cdf(kind * second)
    slope = growth * density(first)
    vega = spot * slope * root
    lean = slope * (2 * (rate - dividend) * expiry - second * deviation) / (2 * expiry * deviation)
    return {
        "price": kind * (asset * chance - cash * paid),
        "delta": kind * growth * chance,
        "gamma": slope / (spot * deviation),
        "vega": vega,
        "theta": -spot * slope * volatility / (2 * root)
        + kind * (dividend * asset * chance - rate * cash * paid),
        "rho": kind * expiry * cash * paid,
        "dividend_rho": -kind * expiry * asset * chance,
        "vanna": -slope * second / volatility,
        "volga": vega * first * second / volatility,
        "charm": kind * dividend * growth * chance - lean,
    }
