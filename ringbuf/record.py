"""Fixed layouts: numpy structured dtypes whose elements read as `record.field`, compiled or not."""

import hashlib
import json

import numpy as np

LINE = 64  # bytes of a cache line: what one core takes from another in one piece


def record(fields) -> np.dtype:
    """A little-endian, C-aligned layout; fields as numpy takes them: (name, format[, shape])."""
    plain = np.dtype(fields, align=True) if isinstance(fields, list) else np.dtype(fields)
    return np.dtype((np.record, plain))


def slot_record(fields: list) -> np.dtype:
    """A layout that can travel in a ring: whole cache lines, its sequence in the last 8 bytes.

    The fields are those before the sequence; padding is inserted to fill the last line.
    """
    body = np.dtype(fields, align=True)
    size = -(-(body.itemsize + 8) // LINE) * LINE
    names = [*body.names, "sequence"]
    formats = [*(body.fields[name][0] for name in body.names), np.dtype("<i8")]
    offsets = [*(body.fields[name][1] for name in body.names), size - 8]
    return record({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


def offset(dtype: np.dtype, field: str) -> int:
    """Where a field starts, in bytes."""
    return dtype.fields[field][1]


def describe(dtype: np.dtype) -> dict:
    """A layout as plain data, enough to read it with no help from the code that wrote it."""
    return {
        "size": dtype.itemsize,
        "fields": [
            [name, dtype.fields[name][0].base.str, list(dtype.fields[name][0].shape), at]
            for name, at in ((name, dtype.fields[name][1]) for name in dtype.names)
        ],
    }


def from_description(description: dict) -> np.dtype:
    """The layout that `describe` wrote down."""
    fields = description["fields"]
    return record(
        {
            "names": [name for name, *_ in fields],
            "formats": [(base, tuple(shape)) for _, base, shape, _ in fields],
            "offsets": [at for *_, at in fields],
            "itemsize": description["size"],
        }
    )


def layout_text(layouts: dict[str, tuple[int, np.dtype]]) -> str:
    """Canonical text of named layouts, each with the `kind` that marks it in a slot (-1: any)."""
    named = {name: {"kind": kind, **describe(dtype)} for name, (kind, dtype) in layouts.items()}
    return json.dumps(named, separators=(",", ":"))


def layout_hash(text: str) -> int:
    """A 63-bit fingerprint of a layout text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
