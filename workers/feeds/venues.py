"""The exchanges whose JSON can be read."""

from workers.feeds.binance import Binance, BinanceOptions
from workers.feeds.bitstamp import Bitstamp, BitstampOptions
from workers.feeds.coinbase import Coinbase, CoinbaseOptions
from workers.feeds.kraken import Kraken, KrakenOptions
from workers.feeds.okx import Okx, OkxOptions
from workers.feeds.venue import Venue
from workers.feeds.venue_options import VenueOptions

VENUES: dict[type[VenueOptions], type[Venue]] = {
    BinanceOptions: Binance,
    BitstampOptions: Bitstamp,
    CoinbaseOptions: Coinbase,
    KrakenOptions: Kraken,
    OkxOptions: Okx,
}
MESSAGES_PER_FILL = 4096  # read before `fill` gives the turn back
