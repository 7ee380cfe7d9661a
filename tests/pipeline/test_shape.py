"""Data against structs: every deviation is told, and what has none converts."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from pipeline.shape import deviations, near


class Cat(msgspec.Struct, tag="cat", tag_field="kind", forbid_unknown_fields=True):
    lives: int


class Dog(msgspec.Struct, tag="dog", tag_field="kind", forbid_unknown_fields=True):
    names: list[str] = []


class Zoo(msgspec.Struct, forbid_unknown_fields=True):
    size: float
    animals: list[Cat | Dog] = []
    keepers: dict[str, Cat] = {}
    open: bool = True
    guide: str | None = None


KEYS = st.sampled_from(
    ["size", "animals", "keepers", "open", "guide", "kind", "lives", "names", ""]
)
PLAIN = st.one_of(
    st.integers(-5, 5), st.floats(0, 1), st.booleans(), st.sampled_from(["cat", "dog", "cow"])
)
DATA = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)


def told(data) -> list[str]:
    return deviations(data, inspect.type_info(Zoo))


@given(data=st.dictionaries(KEYS, DATA, max_size=5))
def test_deviations_are_told_exactly_where_conversion_is_refused(data):
    try:
        msgspec.convert(data, Zoo)
        assert told(data) == []
    except msgspec.ValidationError:
        assert told(data) != []


def test_every_deviation_has_its_path():
    data = {
        "animals": [{"kind": "cat"}, {"kind": "cow"}, {"kind": "dog", "names": ["Rex", 5]}, 7, {}],
        "keepers": {"Ann": {"lives": "9"}},
        "opn": True,
    }
    assert told(data) == [
        "animals[0].lives: is missing; give a whole number",
        "animals[1].kind: no such kind 'cow'; known: cat, dog",
        "animals[2].names[1]: expected text in quotes, found 5",
        "animals[3]: expected a table, found 7",
        "animals[4].kind: is missing; known: cat, dog",
        "keepers.Ann.lives: expected a whole number, found '9'",
        "opn: unknown key; did you mean 'open'? known: animals, guide, keepers, open, size",
        "size: is missing; give a number",
    ]


def test_numbers_beyond_64_bits():
    assert told({"size": 1, "animals": [{"kind": "cat", "lives": 2**63 - 1}]}) == []
    assert told({"size": 1, "animals": [{"kind": "cat", "lives": 2**63}]}) == [
        f"animals[0].lives: {2**63} is beyond 64 bits; give a smaller number"
    ]


def test_what_is_near():
    assert near("bok", ["risk", "book"]) == "did you mean 'book'? known: book, risk"
    assert near("", ["risk", "book"]) == "known: book, risk"
