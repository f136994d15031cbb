"""The paths in the run's graph that lead from what was bought to a category, fetched by Cypher, and their picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import networkx as nx
import pandas as pd

from kg.answer import Answer, GraphPath
from kg.config import StoreConfig
from kg.explore import Explorer, graph_of
from kg.library import load
from kg.output import without
from kg.store import GraphStore

QUERY = "why-category"
TIME_LIMIT = 30.0
COLUMNS = ("names", "weight", "chance", "lifts")
ID = "node_id"


def fetch(config: StoreConfig, category: str, histories: Sequence[Sequence[str]], cutoff: int, limit: int) -> Answer:
    """Ask the store for the strongest paths (the named query ``why-category``).

    Args:
        config: of the store.
        category: id of the suggested category.
        histories: ids of categories bought before; the first of these lists from which a path leads counts.
        cutoff: purchases counted before it.
        limit: paths at most.

    Raises:
        InputError: the store cannot be reached, or holds no graph.
    """
    given = [f"category={category}", f"limit={limit}", f"window_end={cutoff}"]
    query, answer = load(QUERY), Answer((*COLUMNS, "path"), [])
    with GraphStore.open(config) as store:
        explorer = Explorer(store, TIME_LIMIT)
        for history in histories:
            if not answer.rows:
                found = explorer.answer(query, [*given, f"history={json.dumps(list(history))}"])
                answer = of_ids(found, category, history)
    return answer


def of_ids(answer: Answer, category: str, history: Sequence[str]) -> Answer:
    """The paths from a category of these ids to the one of that id: the query takes names for ids too."""
    ends = zip(answer.rows, map(_ids, _paths(answer)), strict=True)
    return replace(answer, rows=[row for row, ids in ends if ids[0] in history and ids[-1] == category])


def table(answer: Answer) -> pd.DataFrame:
    """The paths' statistics.

    Returns:
        ``names`` along the path, ``weight``, ``chance``, ``lifts`` of its relationships, ``ids`` along the path.
    """
    frame = without(answer, ["path"]).frame().reindex(columns=list(COLUMNS))
    return frame.assign(ids=pd.Series([_ids(path) for path in _paths(answer)], dtype=object))


def _paths(answer: Answer) -> list[GraphPath]:
    return [row[answer.columns.index("path")] for row in answer.rows]


def _ids(path: GraphPath) -> list[str]:
    return [str(node.properties[ID]) for node in path.nodes]


def network(answer: Answer, user: str, purchases: pd.DataFrame, category: str, name: str) -> nx.MultiDiGraph:
    """Reasons as a small graph: the customer, the purchases that count most, the paths from these to the category.

    Relationships of the store keep type and properties. ``BOUGHT`` joins the customer with the purchases; ``COUNTS``
    joins a purchase with the category where no path of the store does; both carry ``weight``, by how much log p falls
    without the purchase.

    Args:
        answer: from `fetch`, or without rows.
        user: id of the customer.
        purchases: ``category_id``, ``name`` and ``change`` of each.
        category: id of the suggested category.
        name: of it.
    """
    graph = graph_of(answer)
    by_id = {str(data["properties"][ID]): node for node, data in graph.nodes(data=True)}
    target = by_id.get(category) or _node(graph, category, name, "Category")
    customer = _node(graph, user, f"customer {user}", "Customer")
    for bought, called, change in purchases[["category_id", "name", "change"]].itertuples(index=False):
        node = by_id.get(bought) or _node(graph, bought, called, "Category")
        told = {"weight": float(change)}
        graph.add_edge(customer, node, f"bought {bought}", type="BOUGHT", properties=told)
        if not nx.has_path(graph, node, target):
            graph.add_edge(node, target, f"counts {bought}", type="COUNTS", properties=told)
    return graph


def _node(graph: nx.MultiDiGraph, key: str, name: str, label: str) -> str:
    graph.add_node(f"{label} {key}", labels=label, name=name, properties={"name": name})
    return f"{label} {key}"
