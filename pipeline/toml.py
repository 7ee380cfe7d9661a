"""A configuration written as TOML, for people to read and change: only what is not the default."""

import re
from datetime import datetime
from pathlib import Path

import msgspec

from pipeline.config import Config

TIMES = (datetime,)  # what TOML has, and JSON has not
BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_config(config: Config, path: Path, comment: str = "") -> None:
    """Write a configuration file that `load` reads back to an equal one."""
    lines = [f"# {line}" for line in comment.splitlines()]
    plain = Config(name=config.name, feeds=config.feeds)
    data, default = (msgspec.to_builtins(each, builtin_types=TIMES) for each in (config, plain))
    table = {key: _changed(data[key], default[key]) for key in data}
    table |= {"name": data["name"], "feeds": data["feeds"]}
    _write(lines, "", {key: value for key, value in table.items() if value not in ({}, [], None)})
    path.write_text("\n".join(lines) + "\n")


def _changed(value, default):
    """What of a table differs from the default."""
    if not isinstance(value, dict) or not isinstance(default, dict):
        return value
    return {
        key: _changed(value[key], default.get(key))
        for key in value
        if key == "kind" or key not in default or value[key] != default[key]
    }


def _write(lines: list[str], path: str, table: dict) -> None:
    """Append a table: its plain values first, then its tables and arrays of tables."""
    for key, value in table.items():
        if value is not None and not _is_nested(value):
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in table.items():
        where = f"{path}.{_key(key)}" if path else _key(key)
        if isinstance(value, dict):
            if not value or not all(map(_is_nested, value.values())):
                lines += ["", f"[{where}]"]
            _write(lines, where, value)
        elif _is_nested(value):
            for item in value:
                lines += ["", f"[[{where}]]"]
                _write(lines, where, item)


def _is_nested(value) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    )


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _value(key)


def _value(value) -> str:
    """JSON's strings, numbers, booleans and arrays are TOML's, but for one character."""
    if isinstance(value, datetime):
        return value.isoformat()
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
