"""Order flows of the public matching-engine benchmark: records of 40 bytes to EVENTs.

A file is a header of 16 bytes (magic, version, count of records), then records, little-endian:

    0    1    2         3   4            8            16         24        32
    | kind | side | at once | 0 | quantity u32 | number u64 | order u64 | price i64 | 0 |

kind: 0 new, 1 cancel, 2 modify; a modify is another order of the same id, at the tail. The number
of a record becomes its event's time, which reports show again. All is of one account and one
instrument.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.orders import REQUEUE, Tif
from workers.records import EVENT, Event

FLOW_HEADER = record([("magic", "i8"), ("version", "i4"), ("count", "i4")])
FLOW_ORDER = record(
    [
        ("kind", "u1"),
        ("side", "u1"),
        ("at_once", "u1"),
        ("spare", "u1"),
        ("quantity", "u4"),
        ("number", "i8"),
        ("order", "i8"),
        ("price", "i8"),
        ("padding", "i8"),
    ]
)
FLOW_MAGIC = int.from_bytes(b"100_WBEM", "little")
NEW, DROP, MODIFY = 0, 1, 2
HEADER_BYTES, ORDER_BYTES, EVENT_BYTES = FLOW_HEADER.itemsize, FLOW_ORDER.itemsize, EVENT.itemsize
ORDER, CANCEL_ORDER = int(Event.ORDER), int(Event.CANCEL_ORDER)
REPLACE_ORDER, IOC = int(Event.REPLACE_ORDER), int(Tif.IOC)
assert (HEADER_BYTES, ORDER_BYTES) == (16, 40)


@kernel
def decode(data, records, target):
    """Turn so many records into EVENTs; return how many that made, up to one of unknown kind."""
    for place in range(records):
        message = at(data + ORDER_BYTES * place, FLOW_ORDER)
        event = at(target + EVENT_BYTES * place, EVENT)
        event.time_ns, event.order, event.other = message.number, message.order, 0
        event.price, event.quantity = message.price, message.quantity
        event.instrument, event.side, event["flags"] = 0, message.side, 0
        if message.kind == NEW:
            event.kind = ORDER
            if message.at_once:
                event["flags"] = IOC
        elif message.kind == DROP:
            event.kind = CANCEL_ORDER
        elif message.kind == MODIFY:
            event.kind, event["flags"] = REPLACE_ORDER, REQUEUE
        else:
            return place
    return records
