"""What a feed counts: written by decode kernels, read by ingest and the monitors."""

from ringbuf.record import record

# One feed's numbers; they live in shared memory and only the feed writes them.
FEED_COUNTERS = record(
    [
        ("messages", "i8"),  # frames or lines of a known type, whole and well framed
        ("announced", "i8"),  # DIRECTORY events made by the feed itself, from a message's symbol
        ("events", "i8"),  # EVENT records put out, the announced ones among them
        ("ignored", "i8"),  # messages that carry nothing for the log
        ("unknown", "i8"),  # well framed, of a type that nobody knows; skipped
        ("bad_frames", "i8"),  # places where the framing broke
        ("bad_values", "i8"),  # messages with an impossible field; refused
        ("skipped_bytes", "i8"),  # bytes that belong to no message: unknown, badly framed, cut off
        ("truncated", "i8"),  # 1: the input ended inside a frame, or broke off
        ("bytes", "i8"),  # bytes consumed, the skipped ones among them
        ("duplicates", "i8"),  # messages that had come before, on another line or this one
        ("gaps", "i8"),  # stretches of messages that did not come in time
        ("lost", "i8"),  # messages that never came; books concerned were marked stale
        ("recovered", "i8"),  # messages that came on being asked for again
        ("out_of_order", "i8"),  # messages that came after a later one, and were put in their place
        ("resyncs", "i8"),  # snapshots taken after the first
        ("connects", "i8"),  # times that a live source was joined
        ("further", "i8"),  # events beyond the first of a message, and those that no message gave
        ("types", "i8", (256,)),  # messages per type byte
    ]
)
