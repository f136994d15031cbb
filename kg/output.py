"""Answers as tables in the terminal and as files: CSV, JSON or Parquet by the file's suffix.

JSON is a list of rows, with nodes, relationships and paths as objects. CSV gets nested values as JSON text; so does
Parquet where a column's values are not of one kind (lists of one kind stay lists). What JSON has no form for is written
as text (temporal values in ISO 8601), and numbers that are none (NaN, infinity) as null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import InputError
from files import atomic
from kg.answer import Answer, GraphEdge, GraphNode, GraphPath

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

SHOWN_ITEMS = 6
SHOWN_CHARACTERS = 60
FORMATS = (".csv", ".json", ".parquet")


def without(answer: Answer, columns: Iterable[str]) -> Answer:
    """The answer less some columns, such as those for pictures only."""
    left_out = set(columns)
    kept = [i for i, name in enumerate(answer.columns) if name not in left_out]
    rows = [tuple(row[i] for i in kept) for row in answer.rows]
    return replace(answer, columns=tuple(answer.columns[i] for i in kept), rows=rows)


def table(answer: Answer, whole: bool = False) -> Table:
    """The answer as a ``rich`` table: numbers to the right, long values shortened unless they shall be ``whole``."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD)
    for i, name in enumerate(answer.columns):
        numeric = all(_is_number(row[i]) or row[i] is None for row in answer.rows)
        shown.add_column(Text(name), justify="right" if numeric and answer.rows else "left", overflow="fold")
    for row in answer.rows:
        shown.add_row(*(Text(str(value) if whole else short(value)) for value in row))
    return shown


def notice(answer: Answer) -> str:
    """One line on how many rows there are, and whether some were cut."""
    rows = f"{len(answer.rows):,} row{'' if len(answer.rows) == 1 else 's'} in {answer.seconds:.2f} s"
    cut = "; there are more: raise --row_limit, or ask for less" if answer.truncated else ""
    return rows + cut


def write(answer: Answer, path: Path) -> None:
    """Write the answer whole or not at all; the format is the suffix's.

    Raises:
        InputError: the suffix is none of ``FORMATS``, or the file cannot be written.
    """
    writers: dict[str, Callable[[Answer, Path], None]] = {".csv": _csv, ".json": _json, ".parquet": _parquet}
    if path.suffix not in writers:
        remedy = f"Use one of {', '.join(FORMATS)} for tables; --graph draws .html, .png and .svg."
        raise InputError(f"there is no table format {path.suffix!r}", where=str(path), remedy=remedy)
    save(path, lambda temporary: writers[path.suffix](answer, temporary))


def save(path: Path, write_to: Callable[[Path], None]) -> None:
    """Write a file atomically by a function that is given a temporary path.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            write_to(temporary)
    except OSError as error:
        raise InputError(
            f"cannot write it: {error.strerror or error}", where=str(path), remedy="Name another."
        ) from None


def plain(value: Any) -> Any:  # noqa: ANN401
    """A value as JSON can hold it, with nodes, relationships and paths as objects."""
    if isinstance(value, GraphNode):
        return {"id": value.id, "labels": list(value.labels), "properties": plain(value.properties)}
    if isinstance(value, GraphEdge):
        ends = {"source": value.source, "target": value.target}
        return {"id": value.id, "type": value.type, **ends, "properties": plain(value.properties)}
    if isinstance(value, GraphPath):
        return {"nodes": plain(value.nodes), "edges": plain(value.edges)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return _scalar(value)


def name_of(node: GraphNode) -> str:
    """What a node is called: its name, or else its key, or else its labels."""
    properties = node.properties
    for key in ("name", "node_id", "product_id", "title"):
        if properties.get(key) is not None:
            return str(properties[key])
    return ":".join(node.labels)


def short(value: Any) -> str:  # noqa: ANN401
    """A value as a few words for a table's cell."""
    if isinstance(value, (GraphNode, GraphEdge, GraphPath)):
        return _drawn(value)
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:.0f}"
    if isinstance(value, (list, tuple)):
        more = ", …" if len(value) > SHOWN_ITEMS else ""
        return ", ".join(short(item) for item in value[:SHOWN_ITEMS]) + more
    text = "" if value is None else value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _drawn(value: GraphNode | GraphEdge | GraphPath) -> str:
    """As Cypher draws it."""
    if isinstance(value, GraphNode):
        return f"(:{':'.join(value.labels)} {name_of(value)})"
    return f"[:{value.type}]" if isinstance(value, GraphEdge) else _walk(value)


def _walk(path: GraphPath) -> str:
    """Such as ``(TEAS)-[:BOUGHT_WITH]->(MILK)``."""
    text = f"({name_of(path.nodes[0])})"
    for edge, before, after in zip(path.edges, path.nodes, path.nodes[1:], strict=False):
        left, right = ("-", "->") if edge.source == before.id else ("<-", "-")
        text += f"{left}[:{edge.type}]{right}({name_of(after)})"
    return text


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _scalar(value: Any) -> Any:  # noqa: ANN401
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    iso = getattr(value, "isoformat", None) or getattr(value, "iso_format", None)
    return str(iso()) if iso else str(value)


def _cell(value: Any) -> Any:  # noqa: ANN401
    """A value for a format without nesting."""
    found = plain(value)
    return json.dumps(found, ensure_ascii=False) if isinstance(found, (dict, list)) else found


def _csv(answer: Answer, path: Path) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(answer.columns)
        for row in answer.rows:
            writer.writerow(["" if value is None else _csv_cell(value) for value in row])


def _csv_cell(value: Any) -> Any:  # noqa: ANN401
    return str(value).lower() if isinstance(value, bool) else _cell(value)


def _json(answer: Answer, path: Path) -> None:
    rows = [dict(zip(answer.columns, map(plain, row), strict=True)) for row in answer.rows]
    path.write_text(json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8")


def _parquet(answer: Answer, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [_column([row[i] for row in answer.rows]) for i in range(len(answer.columns))]
    pq.write_table(pa.Table.from_arrays(columns, names=list(answer.columns)), path)


def _column(values: list[Any]) -> pa.Array:
    """One Arrow column: as it is where its values are of one kind, and as text where they are not."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and len(kinds) > 1:
        values = [None if value is None else float(value) for value in values]
    elif len(kinds) > 1 or any(_has_fields(value) for value in values):
        values = [None if value is None else _text(value) for value in values]
    try:
        return pa.array(values, from_pandas=False)
    except (pa.ArrowException, TypeError, OverflowError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _has_fields(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_fields, value))
    return isinstance(value, (Mapping, GraphNode, GraphEdge, GraphPath))


def _text(value: Any) -> str:  # noqa: ANN401
    found = _cell(value)
    return found if isinstance(found, str) else json.dumps(found)
