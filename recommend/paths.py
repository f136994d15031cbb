"""The paths in the run's graph that lead from what was bought to a category, fetched by Cypher, and their picture."""

from __future__ import annotations

import json
from collections.abc import Sequence

import networkx as nx
import pandas as pd

from kg.answer import Answer
from kg.config import StoreConfig
from kg.explore import Explorer, graph_of
from kg.library import load
from kg.output import without
from kg.store import GraphStore

QUERY = "why-category"
TIME_LIMIT = 30.0
COLUMNS = ("names", "weight", "chance", "lifts")


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
                answer = explorer.answer(query, [*given, f"history={json.dumps(list(history))}"])
    return answer


def table(answer: Answer) -> pd.DataFrame:
    """The paths' statistics: ``names`` along the path, ``weight``, ``chance``, ``lifts`` of its relationships."""
    return without(answer, ["path"]).frame().reindex(columns=list(COLUMNS))


def network(answer: Answer, user: str, purchases: pd.DataFrame, category: str) -> nx.MultiDiGraph:
    """Reasons as a small graph: the customer, the purchases that count most, the paths from these to the category.

    Relationships of the store keep type and properties. ``BOUGHT`` joins the customer with the purchases; ``COUNTS``
    joins a purchase with the category where no path of the store does; both carry ``weight``, by how much log p falls
    without the purchase.

    Args:
        answer: from `fetch`, or without rows.
        user: id of the customer.
        purchases: ``name`` and ``change`` of each.
        category: name of the suggested category.
    """
    graph = graph_of(answer)
    by_name = {data["name"]: node for node, data in graph.nodes(data=True)}
    target = by_name.get(category) or _node(graph, category, "Category")
    customer = _node(graph, f"customer {user}", "Customer")
    for name, change in zip(purchases["name"], purchases["change"], strict=True):
        node = by_name.get(name) or _node(graph, name, "Category")
        told = {"weight": float(change)}
        graph.add_edge(customer, node, f"bought {name}", type="BOUGHT", properties=told)
        if not nx.has_path(graph, node, target):
            graph.add_edge(node, target, f"counts {name}", type="COUNTS", properties=told)
    return graph


def _node(graph: nx.MultiDiGraph, name: str, label: str) -> str:
    graph.add_node(f"{label} {name}", labels=label, name=name, properties={"name": name})
    return f"{label} {name}"
