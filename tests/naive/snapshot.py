"""A snapshot read plainly: every number unsigned, every byte looked at in turn."""

import base64
import hashlib
import json
import struct
from pathlib import Path

WORD = 2**64
ROOT = 0x436F72656C616E65
FACTOR = 0xD6E8FEB86659FD93
PAGE, SLICE = 4096, 512


def fold(lane: int, word: int) -> int:
    mixed = lane ^ word
    mixed ^= mixed // 2**32
    return mixed * FACTOR % WORD


def digest(content: bytes, before: int) -> int:
    """The checksum of some bytes, a multiple of 32, behind those whose checksum is `before`."""
    words = struct.unpack(f"<{len(content) // 8}Q", content)
    lanes = [1, 2, 3, 4]
    for number, word in enumerate(words):
        lanes[number % 4] = fold(lanes[number % 4], word)
    for word in (*lanes, len(words)):
        before = fold(before, word)
    return before


def checksum(pages: list[bytes]) -> int:
    """The checksum of a block's kept pages."""
    total = ROOT
    for start in range(0, len(pages), SLICE):
        total = digest(b"".join(pages[start : start + SLICE]), total)
    return total


def read(path: Path) -> tuple[dict, dict[str, bytes]]:
    """The description of a whole snapshot, and its blocks."""
    content = path.read_bytes()
    magic, version, text_at, head_sum = struct.unpack("<8sqq8s", content[:32])
    assert (magic, version) == (b"CORLSNAP", 1)
    first, text = content[:24] + bytes(8) + content[32:PAGE], content[text_at:]
    assert head_sum == hashlib.blake2b(first + text, digest_size=8).digest()
    described = json.loads(text)
    at, blocks = PAGE, {}
    for block in described["blocks"]:
        bits = "".join(f"{byte:08b}" for byte in base64.b64decode(block["used"]))
        pages = []
        restored = b""
        for number in range((block["size"] + PAGE - 1) // PAGE):
            page = bytes(PAGE)
            if bits[number] == "1":
                page = content[at : at + PAGE]
                assert page.strip(b"\0")
                pages.append(page)
                at += PAGE
            restored += page
        assert block["checksum"] % WORD == checksum(pages)
        assert not restored[block["size"] :].strip(b"\0")
        blocks[block["name"]] = restored[: block["size"]]
    assert at == text_at
    return described, blocks
