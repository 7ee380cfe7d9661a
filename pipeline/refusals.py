"""Which errors are a user's to mend: they are told in their own words, without a traceback."""

from click import ClickException

from pipeline.books import BookRefused
from pipeline.config import ConfigError
from pipeline.latency import LatencyRefused
from pipeline.option_verification import OptionFileError
from pipeline.order_life import NoSuchOrder
from pipeline.orders import OrderRefused
from pipeline.risk_board import RiskRefused
from pipeline.selection import TailRefused
from pipeline.supervisor import PipelineFailed
from ringbuf.jit import UnsafeCache
from ringbuf.journal import JournalError
from ringbuf.memory import SegmentError
from ringbuf.snapshot import SnapshotError
from tuning.affinity import AffinityRefused
from workers.feeds.feed import FeedError
from workers.kernels.position_block import PositionRefused
from workers.quantiles import MeasureError
from workers.recovery import RecoveryError
from workers.reference import ReferenceDataError
from workers.scenarios import ScenarioError
from workers.sinks.sink import SinkError

CODES: dict[type[Exception], int] = {
    PipelineFailed: 1,
    ConfigError: 2,
    SegmentError: 2,
    UnsafeCache: 2,
    AffinityRefused: 2,
    FeedError: 2,
    PositionRefused: 2,
    ScenarioError: 2,
    MeasureError: 2,
    SinkError: 2,
    LatencyRefused: 2,
    TailRefused: 2,
    BookRefused: 2,
    OrderRefused: 2,
    RiskRefused: 2,
    NoSuchOrder: 2,
    OptionFileError: 2,
    JournalError: 2,
    SnapshotError: 2,
    RecoveryError: 2,
    ReferenceDataError: 2,
}


def code_of(error: Exception) -> int | None:
    """The exit code for a refusal; None for anything else (click tells its own errors)."""
    if isinstance(error, ClickException):
        return None
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), None)
