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
    places = fields_of(body)
    names = [*places, "sequence"]
    formats = [*(format_ for format_, _ in places.values()), np.dtype("<i8")]
    offsets = [*(at for _, at in places.values()), size - 8]
    return record({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


def fields_of(dtype: np.dtype) -> dict[str, tuple[np.dtype, int]]:
    """Format and offset of every field, in order."""
    assert dtype.names is not None, f"{dtype} has no fields"
    assert dtype.fields is not None
    return {name: dtype.fields[name][:2] for name in dtype.names}


def offset(dtype: np.dtype, field: str) -> int:
    """Where a field starts, in bytes."""
    return fields_of(dtype)[field][1]


def describe(dtype: np.dtype) -> dict:
    """A layout as plain data, enough to read it with no help from the code that wrote it."""
    return {
        "size": dtype.itemsize,
        "fields": [
            [name, format_.base.str, list(format_.shape), at]
            for name, (format_, at) in fields_of(dtype).items()
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
