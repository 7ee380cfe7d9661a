"""Each line has one form, and what is left out of it has a meaning."""

from decimal import Decimal

import msgspec
import pytest

from workers.feeds.order_words import (
    DECODER,
    CancelAllLine,
    ListLine,
    OrderLine,
    PositionLine,
    SwitchLine,
    TradeLine,
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"do": "list", "symbol": "A"}', ListLine(symbol="A", price_decimals=2, lot_decimals=0)),
        (
            '{"do": "order", "symbol": "A", "id": 1, "account": 0, "side": "buy", "quantity": 1.5}',
            OrderLine(symbol="A", id=1, account=0, side="buy", quantity=Decimal("1.5"), tif="gtc"),
        ),
        ('{"do": "cancel_all"}', CancelAllLine(account=None, symbol=None, side=None)),
        ('{"do": "switch", "off": true}', SwitchLine(off=True, account=None)),
        (
            '{"do": "position", "portfolio": "p", "symbol": "A", "quantity": -3, "price": 9.99}',
            PositionLine(portfolio="p", symbol="A", quantity=-3, price=Decimal("9.99")),
        ),
        (
            '{"do": "trade", "portfolio": "p", "symbol": "A", "quantity": 3, "price": "9.99"}',
            TradeLine(portfolio="p", symbol="A", quantity=3, price=Decimal("9.99")),
        ),
    ],
)
def test_each_line_has_one_form(text, line):
    assert DECODER.decode(text) == line


@pytest.mark.parametrize(
    "text",
    [
        '{"do": "buy", "symbol": "A"}',
        '{"symbol": "A"}',
        '{"do": "list", "symbol": "A", "colour": 1}',
        '{"do": "position", "portfolio": "p", "symbol": "A", "quantity": 0.5, "price": 1}',
        f'{{"do": "trade", "portfolio": "p", "symbol": "A", "quantity": {2**57}, "price": 1}}',
    ],
)
def test_any_other_is_none(text):
    with pytest.raises(msgspec.ValidationError):
        DECODER.decode(text)
