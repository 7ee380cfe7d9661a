"""What the engine is about to do: the phases of an event's work, in ENGINE.phase."""

IDLE = 0  # the event is done with
EXPIRE = 1  # GTD orders whose time is over go
BEGIN = 2  # what the event itself asks for
COUNT = 3  # whether all of a FOK order can trade is being counted
MEET = 4  # the order in hand meets those at rest
MEET_PEGS = 5  # and pegged ones, at a price where nothing is shown any more
TRIGGER = 6  # stop orders that are reached come into the hand
SWEEP = 7  # orders at rest are looked through, some of them cancelled
WEIGH = 8  # a call auction: what is bid in all
PRICE = 9  # what would trade at each price
PAIR = 10  # bids and asks trade at the price that was found
RETIRE = 11  # market orders that waited for it go
INDICATE = 12  # the event's last: what an auction would trade is told, if it is time
