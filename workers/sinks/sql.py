"""How DuckDB shows stored records: the columns of a table as SQL."""

from workers.records import MONEY_SCALE
from workers.sinks.tables import (
    AUCTIONS,
    EVENTS,
    GROUPS,
    LIQUIDITIES,
    MEASURES,
    NOBODY,
    REASONS,
    SIDES,
    STANDINGS,
    STATES,
    TELLINGS,
    VENUES,
    WHYS,
    Column,
    Shown,
    Table,
)


def select(table: Table) -> str:
    """SQL for a table's columns, from `records` as they lay on the ring and their `units`."""
    columns = ", ".join(f'{_shown(column)} AS "{column.name}"' for column in table.columns)
    # A join alone may turn the rows round (seen with few rows), so their order is asked for.
    return (
        f"SELECT {columns} FROM records LEFT JOIN {table.units} USING (instrument) "
        "ORDER BY sequence"
    )


def _shown(column: Column) -> str:
    """The SQL that shows a field."""
    field = f'"{column.field}"'
    if column.shown in NAMED:
        return _named(field, NAMED[column.shown])
    return SQL.get(column.shown, "{}").format(field)


NAMED = {
    Shown.SIDE: SIDES,
    Shown.STATE: STATES,
    Shown.EVENT: EVENTS,
    Shown.GROUP: GROUPS,
    Shown.LIQUIDITY: LIQUIDITIES,
    Shown.WHY: WHYS,
    Shown.TRADED: AUCTIONS,
    Shown.MEASURE: MEASURES,
    Shown.STANDING: STANDINGS,
    Shown.TELLING: TELLINGS,
}
_EACH_REASON = ", ".join(
    f"CASE WHEN {{0}} & {bit} <> 0 THEN '{name}' END" for bit, name in REASONS.items()
)
SQL = {
    Shown.TIME: "make_timestamp_ns({})",
    Shown.SYMBOL: "symbol",
    Shown.PRICE: "{} / scale",
    Shown.QUOTE: "nullif({}, 0) / scale",
    Shown.MID: "nullif({}, 0) / (2 * scale)",
    Shown.MONEY: f"{{}} / {MONEY_SCALE}.0::DOUBLE",
    Shown.QUANTITY: "{} / lots",
    Shown.VENUES: f"{{}} & {VENUES}",
    Shown.FIRST: f"nullif({{}} >> 4, {NOBODY})",
    Shown.REASONS: f"concat_ws(' ', {_EACH_REASON})",
    Shown.SECOND: f"nullif({{}} & 15, {NOBODY})",
}


def _named(field: str, names: tuple[str, ...]) -> str:
    """Names for numbers from 0; a number without a name is shown as itself."""
    cases = " ".join(f"WHEN {number} THEN '{name}'" for number, name in enumerate(names))
    return f"CASE {field} {cases} ELSE {field}::VARCHAR END"
