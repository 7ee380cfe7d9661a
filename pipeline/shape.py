"""Whether plain data has the shape a struct asks for: every deviation, by path, with a mend."""

import difflib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import inspect

WORDS: dict[type, tuple[tuple[type, ...], str]] = {
    inspect.IntType: ((int,), "a whole number"),
    inspect.FloatType: ((int, float), "a number"),
    inspect.StrType: ((str,), "text in quotes"),
    inspect.BoolType: ((bool,), "true or false"),
    inspect.DateTimeType: ((datetime,), "a date and time, as 2026-12-18T21:00:00Z without quotes"),
    inspect.ListType: ((list,), "a list"),
    inspect.DictType: ((dict,), "a table"),
    inspect.StructType: ((dict,), "a table"),
}


def deviations(data: Any, kind: inspect.Type, path: str = "") -> list[str]:
    """What of some data is not as a type (of msgspec.inspect) wants it: one line each."""
    if isinstance(kind, inspect.UnionType):
        return _of_union(data, kind, path)
    if isinstance(kind, inspect.LiteralType):
        if data in kind.values:
            return []
        return [f"{path}: {data!r} is none of its values; {near(str(data), kind.values)}"]
    if type(kind) not in WORDS:
        return []
    found = _of_plain(data, kind, path)
    if found:
        return found
    if isinstance(kind, inspect.StructType):
        return _of_struct(data, kind, path)
    if isinstance(kind, inspect.ListType):
        return _of_items(enumerate(data), data, kind.item_type, path)
    if isinstance(kind, inspect.DictType):
        return _of_items(data.items(), data, kind.value_type, path)
    return []


def near(name: str, known: Iterable) -> str:
    """What there is, and which of it a mistyped name may have meant."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names)}"


def _inside(path: str, key: str | int, data: Any) -> str:
    inner = f"{path}[{key}]" if isinstance(data, list) else f"{path}.{key}"
    return inner.removeprefix(".")


def _of_items(items: Iterable, data: Any, kind: inspect.Type, path: str) -> list[str]:
    return [
        problem
        for key, item in items
        for problem in deviations(item, kind, _inside(path, key, data))
    ]


def _of_plain(data: Any, kind: inspect.Type, path: str) -> list[str]:
    """Whether data are of the sort of a type, whatever is in them."""
    sorts, words = WORDS[type(kind)]
    if not isinstance(data, sorts) or (isinstance(data, bool) and bool not in sorts):
        where = f"{path}: " if path else ""
        return [f"{where}expected {words}, found {data!r}"]
    if isinstance(data, int) and not -(1 << 63) <= data < 1 << 63:
        return [f"{path}: {data} is beyond 64 bits; give a smaller number"]
    return []


def _of_union(data: Any, kind: inspect.UnionType, path: str) -> list[str]:
    """One of several structs, told apart by a key; or something that may be left out."""
    structs = [each for each in kind.types if isinstance(each, inspect.StructType)]
    if not structs:
        return deviations(data, kind.types[0], path)
    problems = _of_plain(data, structs[0], path)
    if problems:
        return problems
    field = structs[0].tag_field
    if field is None:  # a struct that may be left out
        return _of_struct(data, structs[0], path)
    where = _inside(path, field, data)
    tags = {each.tag: each for each in structs}
    if field not in data:
        return [f"{where}: is missing; {near('', tags)}"]
    tag = data[field]
    if not isinstance(tag, str) or tag not in tags:
        return [f"{where}: no such {field} {tag!r}; {near(str(tag), tags)}"]
    return _of_struct(data, tags[tag], path)


def _of_struct(data: dict, kind: inspect.StructType, path: str) -> list[str]:
    fields = {field.encode_name: field for field in kind.fields}
    problems = []
    for key, item in data.items():
        where = _inside(path, key, data)
        if key in fields:
            problems += deviations(item, fields[key].type, where)
        elif key != kind.tag_field:
            problems.append(f"{where}: unknown key; {near(key, fields)}")
    for key, field in fields.items():
        if field.required and key not in data:
            problems.append(f"{_inside(path, key, data)}: is missing; give {_wanted(field.type)}")
    return problems


def _wanted(kind: inspect.Type) -> str:
    return WORDS[type(kind)][1] if type(kind) in WORDS else "a value"
