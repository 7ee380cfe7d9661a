"""FAST 1.1, as much of it as MOEX's templates use: enough to find where messages end.

A message is a presence map (7 bits a byte, the last byte has the top bit), the number of its
template, and its fields, each with an operator that says what is sent if anything.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

SPACE = "{http://www.fixprotocol.org/ns/fast/td/1.1}"
OPERATORS = ("constant", "copy", "default", "delta", "increment", "tail")
UNSET = object()


class Reader:
    """Bytes with a place in them."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def stop_bits(self) -> bytes:
        """Bytes up to one with the top bit, which is taken off."""
        begin = self.place
        while not self.data[self.place] & 128:
            self.place += 1
        self.place += 1
        return self.data[begin : self.place - 1] + bytes([self.data[self.place - 1] & 127])

    def unsigned(self) -> int:
        value = 0
        for byte in self.stop_bits():
            value = value << 7 | byte
        return value

    def signed(self) -> int:
        part = self.stop_bits()
        value = -1 if part[0] & 64 else 0
        for byte in part:
            value = value << 7 | byte
        return value

    def bits(self) -> list[bool]:
        """A presence map."""
        return [bool(byte >> bit & 1) for byte in self.stop_bits() for bit in range(6, -1, -1)]


class Bits:
    """A presence map that is used up; beyond its end all is absent."""

    def __init__(self, bits: list[bool]) -> None:
        self.left = bits[::-1]

    def take(self) -> bool:
        return self.left.pop() if self.left else False


def raw(reader: Reader, kind: str, optional: bool):
    """A value as sent; None where an optional one is absent."""
    if kind in ("string", "byteVector"):
        if kind == "string":
            part = reader.stop_bits()
            return None if optional and part == b"\0" else part
        size = reader.unsigned() - optional
        begin = reader.place
        reader.place += max(size, 0)
        return None if size < 0 else reader.data[begin : reader.place]
    value = reader.signed() if kind.startswith("int") else reader.unsigned()
    if optional:
        return None if value == 0 else value - (value > 0)
    return value


class Field:
    """One field of a template."""

    def __init__(self, node: ET.Element, kind: str | None = None) -> None:
        self.kind = kind or node.tag.removeprefix(SPACE)
        self.name = node.get("name")
        self.optional = node.get("presence") == "optional"
        operators = [child for child in node if child.tag.removeprefix(SPACE) in OPERATORS]
        self.operator = operators[0].tag.removeprefix(SPACE) if operators else ""
        value = operators[0].get("value") if operators else None
        number = value is not None and self.kind not in ("string", "byteVector")
        self.initial = int(value) if number else value
        inner = [child for child in node if child.tag.removeprefix(SPACE) not in OPERATORS]
        self.fields = [Field(child) for child in inner] if self.kind == "sequence" else []
        if self.kind == "sequence":
            self.length = Field(inner[0], "uInt32")
            self.length.optional = self.optional
            self.fields = self.fields[1:]

    @property
    def in_map(self) -> bool:
        """Whether the presence map has a bit for it."""
        if self.kind == "sequence":
            return self.length.in_map
        if self.operator == "constant":
            return self.optional
        return self.operator in ("copy", "default", "increment", "tail")

    def read(self, reader: Reader, bits: Bits, known: dict):
        """Its value, by what is sent and what was before."""
        if self.kind == "sequence":
            return self.elements(reader, bits, known)
        present = bits.take() if self.in_map else True
        if self.operator == "constant":
            return self.initial if present else None
        if self.kind == "decimal":
            assert not self.operator, self.name
            exponent = raw(reader, "int32", self.optional)
            return None if exponent is None else (exponent, reader.signed())
        if not self.operator:
            return raw(reader, self.kind, self.optional)
        value = self.operated(reader, present, known.get(self.name, UNSET))
        known[self.name] = value
        return value

    def operated(self, reader: Reader, present: bool, before):
        """The value by its operator."""
        if self.operator == "delta":
            change = raw(reader, "int64", self.optional)
            base = self.initial or 0 if before in (UNSET, None) else before
            return None if change is None else base + change
        if present:
            return raw(reader, self.kind, self.optional)
        if self.operator == "default" or before is UNSET:
            return self.initial
        return before + 1 if self.operator == "increment" else before

    def elements(self, reader: Reader, bits: Bits, known: dict) -> list[dict]:
        """A sequence: its length, and each element with a presence map of its own if it has one."""
        found = []
        for _ in range(self.length.read(reader, bits, known) or 0):
            own = Bits(reader.bits() if any(field.in_map for field in self.fields) else [])
            found.append({field.name: field.read(reader, own, known) for field in self.fields})
        return found


def templates(path: Path) -> dict[int, list[Field]]:
    """The fields of each template by its number."""
    root = ET.parse(path).getroot()
    return {int(node.get("id")): [Field(child) for child in node] for node in root}


RESET = 120


def messages(data: bytes, known: dict[int, list[Field]]) -> Iterator[tuple[int, bytes, dict]]:
    """Number, bytes (with the reset before it) and fields of each message in a capture."""
    reader, values, begin = Reader(data), {}, 0
    while reader.place < len(data):
        bits = Bits(reader.bits())
        template = reader.unsigned() if bits.take() else RESET
        if template == RESET:
            values = {}
            continue
        fields = {field.name: field.read(reader, bits, values) for field in known[template]}
        yield fields["MsgSeqNum"], data[begin : reader.place], fields
        begin = reader.place
