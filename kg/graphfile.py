"""Networks as GraphML and GEXF, which Gephi, yEd, Cytoscape and networkx read.

Both formats hold only texts, numbers and truth values. Lists and maps become JSON text, temporal values ISO text, and
absent values (null, NaN, infinity) are left out. Characters that XML cannot hold become U+FFFD, carriage returns become
line feeds. Where a column holds numbers and texts, all become texts, and whole numbers beside real ones become real. A
property whose name the format uses for itself gets an underscore at its end.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import networkx as nx

from errors import InputError
from kg.output import plain, save

FORMATS = (".graphml", ".gexf")
OWN = frozenset({"id", "label", "labels", "name", "type", "source", "target", "viz", "start", "end", "pid", "spells",
                 "slices", "for", "key", "weight"})  # fmt: skip
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(graph: nx.MultiDiGraph, path: Path, weight: str = "") -> None:
    """Write a network whole or not at all; the format is the suffix's.

    Args:
        graph: as ``kg.explore`` makes it.
        path: ends in ``.graphml`` or ``.gexf``.
        weight: property that becomes the edges' ``weight``, for layouts; default the first that an edge has of
            ``probability``, ``lift``, ``confidence``, ``weight``.

    Raises:
        InputError: another suffix, or the file cannot be written.
    """
    if path.suffix not in FORMATS:
        remedy = f"Use one of {', '.join(FORMATS)}."
        raise InputError(f"there is no graph format {path.suffix!r}", where=str(path), remedy=remedy)
    flat = flatten(graph, weight)
    writer = nx.write_graphml_xml if path.suffix == ".graphml" else nx.write_gexf
    save(path, lambda temporary: writer(flat, temporary, encoding="utf-8"))


def flatten(graph: nx.MultiDiGraph, weight: str = "") -> nx.MultiDiGraph:
    """The network with texts, numbers and truth values only, numbered from 0."""
    number = {node: str(i) for i, node in enumerate(graph)}
    nodes = [_node(data) for _, data in graph.nodes(data=True)]
    ends = [(number[source], number[target]) for source, target in graph.edges()]
    edges = [_edge(data, weight) for _, _, data in graph.edges(data=True)]
    flat = nx.MultiDiGraph()
    flat.add_nodes_from(zip(number.values(), _of_one_kind(nodes), strict=True))
    for i, ((source, target), data) in enumerate(zip(ends, _of_one_kind(edges), strict=True)):
        flat.add_edge(source, target, key=i, **data)
    return flat


def weight_of(properties: Mapping[str, Any], weight: str = "") -> float | None:
    """The number that says how strong an edge is; None when it has none."""
    for name in (weight,) if weight else ("probability", "lift", "confidence", "weight"):
        value = properties.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def _node(data: Mapping[str, Any]) -> dict[str, Any]:
    name = _simple(data.get("name") or "")
    return {"label": name, "labels": _simple(data.get("labels") or ""), **_properties(data)}


def _edge(data: Mapping[str, Any], weight: str) -> dict[str, Any]:
    strength = weight_of(data.get("properties") or {}, weight)
    found = {} if strength is None else {"weight": strength}
    return {"label": _simple(data.get("type") or ""), **found, **_properties(data)}


def _properties(data: Mapping[str, Any]) -> dict[str, Any]:
    values = (data.get("properties") or {}).items()
    return {_free_name(name): _simple(value) for name, value in values if plain(value) is not None}


def _free_name(name: str) -> str:
    return f"{_simple(name)}_" if name.rstrip("_") in OWN else str(_simple(name))


def _simple(value: Any) -> str | int | float | bool:  # noqa: ANN401
    found = plain(value)
    if isinstance(found, (bool, int, float)):
        return found
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return NOT_XML.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _of_one_kind(rows: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Give each attribute one type over all rows, as the formats ask for."""
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            kinds.setdefault(name, set()).add(type(value))
    to = {name: float if found == {int, float} else str for name, found in kinds.items() if len(found) > 1}
    for row in rows:
        yield {name: _as(to[name], value) if name in to else value for name, value in row.items()}


def _as(kind: type, value: Any) -> Any:  # noqa: ANN401
    if kind is str and not isinstance(value, str):
        return json.dumps(value)
    return kind(value)
