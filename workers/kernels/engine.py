"""What matching keeps beside the books: tickets of orders, accounts, rules, the work in hand.

    | ENGINE header | REPORT x 8 | CHANGE x 8 | rule number of each instrument | RULE x rules |
    | ACCOUNT x accounts | STANDING x accounts x rules | CONDITION x sources |
    | TICKET of each order | reserve of each level | what var_block.py has, where it is wanted |

Integers and offsets only: the block may be copied elsewhere between two steps, together with its
books, and go on from there.

The block of books has more instruments than the venue: behind the real ones, three for each that
is matched hold what waits but is not shown. Their sides are ordinary ones of levels.py:

    STOPS    stop orders by stop price; buys on the ask side, sells on the bid side: the best is
             the one that is reached first
    QUEUES   price 1: pegged orders; price 2: market orders that wait for a call auction
    EXPIRY   an entry for each GTD order that rests: ask side, its time is the price

Rules count from 1. An order's record in the books' pool bears its real instrument wherever it
rests; only entries of EXPIRY are records of their own. TICKET n belongs to the pool's record n,
reserve n to level n.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE, offset, record
from workers.kernels import var_block
from workers.kernels.engine_settings import Settings
from workers.kernels.resting import BOOK, Limits
from workers.records import REPORT

OUTPUTS_STEP = 10  # records that one step can give
CHANGES_STEP = 8  # levels that one step can change
UNIT_OUTPUTS, UNIT_CHANGES = 6, 2  # and a unit of work
UNITS_STEP = 8
PIECE = 64  # orders or levels that one unit looks at without doing anything to them
SHADOWS = 3  # instruments behind the real ones for each that is matched
STOPS, QUEUES, EXPIRY = 0, 1, 2
PEGGED, WAITING = 1, 2  # prices in QUEUES
SOURCES = 256

PRICE_MAX = 1 << 40
QUANTITY_MAX = 1 << 40
LIVE_MAX = 1 << 61  # quantity of all orders together: no sum over a book overflows
WORTH_MAX = 1 << 60  # price x quantity of one order
EXPOSURE_MAX = 1 << 61  # open orders of an account, and its positions
PARTS_MAX = 1000  # of an iceberg: what it shows at a time is no smaller a share of it
BPS = 10_000
BPS_MAX = 1_000_000

ENGINE = record(
    [
        # Where what lies, and how it was set.
        ("instruments", "i8"),  # real ones
        ("rules", "i8"),  # how many instruments can be matched
        ("rules_used", "i8"),
        ("accounts", "i8"),  # 0: any account, nothing of them is kept or limited
        ("numbers_at", "i8"),
        ("rules_at", "i8"),
        ("accounts_at", "i8"),
        ("standings_at", "i8"),
        ("conditions_at", "i8"),
        ("tickets_at", "i8"),
        ("reserves_at", "i8"),
        ("quantity_max", "i8"),
        ("value_max", "i8"),  # what one position can be worth
        ("band_bps", "i8"),  # of instruments announced from here on
        ("band_pauses", "i8"),
        ("auction_every_ns", "i8"),
        # What has been counted.
        ("matches", "i8"),  # trades so far; a trade's number
        ("ignored", "i8"),  # events that had nothing to do here
        ("unruled", "i8"),  # announcements that found no rule left
        ("switched", "i8"),  # 1: orders of all accounts are refused
        # The event in hand. Up to its flags it lies here as in EVENT: copied by few stores, which
        # matter, since they wait behind those into a ring that another core reads.
        ("event", "i8"),  # its sequence
        ("time_ns", "i8"),
        ("asked_order", "i8"),
        ("asked_other", "i8"),
        ("asked_price", "i8"),
        ("asked_quantity", "i8"),
        ("asked_instrument", "i4"),
        ("kind", "u1"),
        ("asked_side", "u1"),
        ("source", "u1"),
        ("asked_bits", "u1"),
        ("instrument", "i8"),
        ("rule", "i8"),  # number of the instrument's rule, 0: it is not matched
        ("anchor", "i8"),  # reference price as the event began: what the band counts from
        ("asked_tag", "i8"),  # of the order that the event names, in the pool's index
        ("stirred", "i8"),  # 1: stops may have been reached
        ("phase", "i8"),
        ("step_outputs", "i8"),
        ("step_changes", "i8"),
        ("var_at", "i8"),  # var_block.py's
        ("portfolios", "i8"),  # accounts that are held to a value at risk
        ("spare", "i8", 3),
        # The order in hand: it trades, then rests or goes. As an event tells it, ...
        ("order", "i8"),
        ("account", "i8"),
        ("price", "i8"),
        ("left", "i8"),
        # ... and as a TICKET holds it.
        ("display", "i8"),
        ("expiry", "i8"),
        ("stop", "i8"),
        ("worth", "i8"),  # a unit of it counts so much as long as it is open
        ("peg", "i8"),
        ("dated", "i8"),  # 1: EXPIRY has an entry of it
        ("accepted", "i8"),  # 0: it is new, and may still be refused
        ("banded", "i8"),  # 1: the band sets `bound`, not its limit
        ("bound", "i8"),  # the worst price that it may trade at now
        ("side", "i8"),
        ("bits", "i8"),  # Tif | OrderFlag | Stp << STP_BITS
        ("slot", "i8"),  # the slot of the index that was last found, less the books' address; 0:
        #                  none since slots were moved
        ("tag", "i8"),  # and its tag
        # Where a walk over orders or levels stands.
        ("walk_rule", "i8"),
        ("walk_owner", "i8"),
        ("walk_depth", "i8"),
        ("walk_number", "i8"),
        ("walk_price", "i8"),
        ("walk_price_before", "i8"),
        ("walk_sum", "i8"),
        ("walk_reserve", "i8"),
        # A call auction.
        ("demand", "i8"),
        ("supply", "i8"),
        ("bid_depth", "i8"),
        ("ask_depth", "i8"),
        ("auction_price", "i8"),
        ("auction_quantity", "i8"),
        ("auction_imbalance", "i8"),
        ("auction_reference", "i8"),
        ("auction_low", "i8"),  # the lowest and the highest price that are as good as any,
        ("auction_high", "i8"),
        ("auction_first", "i8"),  # and the imbalance there
        ("auction_last", "i8"),
        ("auction_traded", "i8"),  # 1: it is to be traded, 0: only told
        ("called", "i8"),  # 1: orders were collected for it
        ("auction_spare", "i8", 1),
    ]
)
CHANGE = record(
    [
        ("price", "i8"),
        ("quantity", "i8"),  # all that is shown there now
        ("orders", "i8"),
        ("owner", "i4"),  # 2 * instrument + side
        ("best", "i4"),  # 1: it is or was the best level
    ]
)
RULE = record(
    [
        ("instrument", "i4"),
        ("state", "i4"),  # State
        ("tick", "i8"),  # 0: any price
        ("lot", "i8"),
        ("reference", "i8"),  # as the venue told it
        ("last", "i8"),  # price of the last trade, 0: none yet
        ("band_bps", "i8"),  # 0: none
        ("band_pauses", "i8"),  # 1: a trade outside is not refused: a call auction follows
        ("dated", "i4"),  # entries in EXPIRY
        ("pegs", "i4"),
        ("indicated_ns", "i8"),  # when a call auction's price was last told
        ("spare", "i8", 7),
    ]
)
ACCOUNT = record(
    [
        ("quantity_max", "i8"),  # of an order; here and below 0: no limit
        ("notional_max", "i8"),  # of an order
        ("collar_bps", "i8"),
        ("position_max", "i8"),
        ("credit_max", "i8"),
        ("messages_max", "i8"),  # in `window_ns`
        ("window_ns", "i8"),
        ("switched", "i8"),  # 1: its orders are refused
        ("open", "i8"),  # what its open orders are worth
        ("held", "i8"),  # what its positions are worth, each at the price of its last trade
        ("window_from_ns", "i8"),
        ("messages", "i8"),  # in the window
        ("reduce_when_off", "i8"),  # 1: while `switched`, orders that only reduce are taken
        ("executions", "i8"),  # 1: they are told
        ("var_max", "i8"),  # money units
        ("portfolio", "i8"),  # whose value at risk that is
    ]
)
STANDING = record(
    [
        ("position", "i8"),
        ("open", "i8", (2,)),  # quantity of open orders, bids and asks
        ("held", "i8"),  # what the position is worth
    ]
)
CONDITION = record(
    [
        ("order", "i8"),
        ("stop", "i8"),
        ("display", "i8"),
        ("expiry", "i8"),
        ("instrument", "i4"),
        ("bits", "i4"),
        ("given", "i8"),  # 1: it waits for its order
    ]
)
TICKET = record(
    [
        ("price", "i8"),  # its limit, 0: none
        ("hidden", "i8"),  # what is not shown yet
        ("display", "i8"),  # how much is shown at a time, 0: all
        ("expiry", "i8"),
        ("stop", "i8"),
        ("worth", "i8"),
        ("spare", "i8"),
        ("account", "i4"),
        ("bits", "u1"),
        ("side", "u1"),
        ("peg", "u1"),
        ("dated", "u1"),
    ]
)
WORD = record([("tags", "u8")])  # the narrow fields at the end of a REPORT or a TICKET
NUMBER = record([("value", "i4")])
RESERVE = record([("value", "i8")])

OUTPUTS_AT = ENGINE.itemsize
CHANGES_AT = OUTPUTS_AT + OUTPUTS_STEP * REPORT.itemsize
NUMBERS_AT = CHANGES_AT + CHANGES_STEP * CHANGE.itemsize
RULE_BYTES, ACCOUNT_BYTES, STANDING_BYTES = RULE.itemsize, ACCOUNT.itemsize, STANDING.itemsize
CONDITION_BYTES, TICKET_BYTES, CHANGE_BYTES = CONDITION.itemsize, TICKET.itemsize, CHANGE.itemsize
OUTPUT_BYTES = REPORT.itemsize
assert OUTPUTS_AT % LINE == NUMBERS_AT % LINE == TICKET_BYTES % LINE == 0
assert RULE_BYTES == ACCOUNT_BYTES == 2 * LINE
REPORT_WORD, TICKET_WORD = offset(REPORT, "instrument"), offset(TICKET, "account")
assert offset(REPORT, "state") == REPORT_WORD + 7
assert offset(TICKET, "dated") == TICKET_WORD + 7
assert UNIT_OUTPUTS <= OUTPUTS_STEP
assert UNIT_CHANGES <= CHANGES_STEP


def books_limits(settings: Settings) -> Limits:
    """The limits to lay the books out with."""
    books = settings.books
    return books._replace(instruments=books.instruments + SHADOWS * settings.matched)


def _places(settings: Settings) -> dict[str, int]:
    """Where each part starts; `end` is the block's size."""
    accounts, rules = len(settings.accounts), settings.matched
    sizes = {
        "numbers_at": settings.books.instruments * NUMBER.itemsize,
        "rules_at": (rules + 1) * RULE_BYTES,
        "accounts_at": accounts * ACCOUNT_BYTES,
        "standings_at": accounts * (rules + 1) * STANDING_BYTES,
        "conditions_at": SOURCES * CONDITION_BYTES,
        "tickets_at": (settings.books.orders + 1) * TICKET_BYTES,
        "reserves_at": (settings.books.levels + 1) * RESERVE.itemsize,
        "var_at": var_block.bytes_needed(len(settings.measured()), rules, settings.returns),
    }
    place, places = NUMBERS_AT, {}
    for name, size in sizes.items():
        places[name] = place
        place += -(-size // LINE) * LINE
    return {**places, "end": place}


def bytes_needed(settings: Settings) -> int:
    """Bytes of the block; ValueError where the settings make no sense."""
    if not 0 < settings.matched <= settings.books.instruments:
        raise ValueError(f"matched {settings.matched}: 1 to {settings.books.instruments}")
    if not 0 <= settings.band_bps < BPS:
        raise ValueError(f"band of {settings.band_bps} bps: 0 to {BPS - 1}")
    for number, limits in enumerate(settings.accounts):
        if min(limits) < 0 or limits.collar_bps > BPS_MAX or limits.window_ns < 1:
            raise ValueError(f"account {number}: {limits}")
    return _places(settings)["end"]


def create(address: int, books: int, settings: Settings) -> None:
    """Lay an engine over zeroed memory; its books were laid out with `books_limits`."""
    bytes_needed(settings)
    header, places = at(address, ENGINE), _places(settings)
    for name, place in places.items():
        if name != "end":
            header[name] = place
    header.instruments, header.rules = settings.books.instruments, settings.matched
    header.accounts, header.auction_every_ns = len(settings.accounts), settings.auction_every_ns
    header.band_bps, header.band_pauses = settings.band_bps, int(settings.band_pauses)
    header.quantity_max = min(QUANTITY_MAX, LIVE_MAX // settings.books.orders)
    header.value_max = EXPOSURE_MAX // settings.matched
    for number, limits in enumerate(settings.accounts):
        account = at(account_at(address, number), ACCOUNT)
        for name, value in limits._asdict().items():
            account[name] = value
    for portfolio, number in enumerate(measured := settings.measured()):
        at(account_at(address, number), ACCOUNT).portfolio = portfolio
    header.portfolios = len(measured)
    var_block.create(address + places["var_at"], len(measured), settings.matched, settings.returns)
    assert at(books, BOOK).instruments == books_limits(settings).instruments
    at(books, BOOK).plain = settings.books.instruments


@kernel
def rule_number(engine, instrument):
    """The number of an instrument's rule, 0 where it is not matched."""
    header = at(engine, ENGINE)
    if not 0 <= instrument < header.instruments:
        return 0
    return int(at(engine + int(header.numbers_at) + 4 * int(instrument), NUMBER).value)


@kernel
def rule_at(engine, number):
    """The address of a RULE."""
    return engine + int(at(engine, ENGINE).rules_at) + RULE_BYTES * int(number)


@kernel
def account_at(engine, account):
    """The address of an ACCOUNT."""
    return engine + int(at(engine, ENGINE).accounts_at) + ACCOUNT_BYTES * int(account)


@kernel
def standing_at(engine, account, rule):
    """The address of an account's STANDING in an instrument."""
    header = at(engine, ENGINE)
    place = int(account) * (int(header.rules) + 1) + int(rule)
    return engine + int(header.standings_at) + STANDING_BYTES * place


@kernel
def ticket_at(engine, number):
    """The address of the TICKET of an order's record."""
    return engine + int(at(engine, ENGINE).tickets_at) + TICKET_BYTES * int(number)


@kernel
def reserve_at(engine, level):
    """The address of what is hidden at a level."""
    return engine + int(at(engine, ENGINE).reserves_at) + 8 * int(level)


@kernel
def shadow(engine, rule, which):
    """The number of one of the instruments that hold what waits: STOPS, QUEUES or EXPIRY."""
    return int(at(engine, ENGINE).instruments) + SHADOWS * (int(rule) - 1) + which


@kernel
def output_at(engine, number):
    """The address of a record that the last step gave."""
    return engine + OUTPUTS_AT + OUTPUT_BYTES * int(number)


@kernel
def change_at(engine, number):
    """The address of a level's CHANGE in the last step."""
    return engine + CHANGES_AT + CHANGE_BYTES * int(number)


@kernel
def word(first, second, third, fourth, fifth):
    """32 bits and four times 8 in one word, as they lie in memory: one store instead of five."""
    return int(first) | int(second) << 32 | int(third) << 40 | int(fourth) << 48 | int(fifth) << 56


@kernel
def reference(engine, rule):
    """The price to compare with: of the last trade, or what the venue told; 0: none."""
    terms = at(rule_at(engine, rule), RULE)
    if terms.last > 0:
        return int(terms.last)
    return int(terms.reference)
