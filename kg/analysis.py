"""What people ask of a network of categories: communities, centres and bridges, ways, likeness.

All of it takes the networks that ``kg.explore`` makes, usually ``Explorer.co_purchases()``. Names in the answers are
the nodes' ``name``.
"""

from __future__ import annotations

import math
from itertools import islice

import networkx as nx
import numpy as np
import pandas as pd

from errors import InputError
from kg.explore import named


def strengths(graph: nx.MultiDiGraph, weight: str = "lift") -> nx.Graph:
    """One undirected edge for each pair of nodes that has an association beyond chance.

    Args:
        graph: a network whose edges have the property.
        weight: a property that is 1 for independence, as lift is; an edge's ``weight`` is its logarithm, the largest of
            the pair's, and edges at or below 1 are left out.
    """
    found = nx.Graph()
    # In order of the names: what depends on the order, such as communities, is then the same from every store.
    found.add_nodes_from(sorted(graph.nodes(data=True), key=lambda one: (str(one[1].get("name")), one[0])))
    order = {node: i for i, node in enumerate(found)}
    edges = sorted(graph.edges(data="properties"), key=lambda edge: (order[edge[0]], order[edge[1]]))
    for source, target, properties in edges:
        value = (properties or {}).get(weight)
        if value is None or value <= 1 or source == target:
            continue
        before = found.get_edge_data(source, target, {"weight": 0.0})["weight"]
        found.add_edge(source, target, weight=max(before, math.log(value)))
    return found


def communities(graph: nx.MultiDiGraph, weight: str = "lift", resolution: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Groups of nodes bought together, by Louvain's method (Blondel et al. 2008) on the log lifts.

    Args:
        graph: a network of co-purchases.
        weight: see ``strengths``.
        resolution: above 1 gives smaller groups.
        seed: equal seeds give equal groups.

    Returns:
        ``community`` (0 is the largest), ``name``, ``strength`` (sum of the node's weights inside its group), sorted by
        community and from strong to weak.
    """
    pairs = strengths(graph, weight)
    groups = nx.community.louvain_communities(pairs, weight="weight", resolution=resolution, seed=seed)
    groups = sorted(groups, key=lambda group: (-len(group), min(_name(graph, node) for node in group)))
    rows = [
        (number, _name(graph, node), sum(pairs[node][other]["weight"] for other in pairs[node] if other in group))
        for number, group in enumerate(groups)
        for node in group
    ]
    found = pd.DataFrame(rows, columns=["community", "name", "strength"])
    return found.sort_values(["community", "strength", "name"], ascending=[True, False, True], ignore_index=True)


def centrality(graph: nx.MultiDiGraph, weight: str = "lift") -> pd.DataFrame:
    """How central each node is among the co-purchases.

    Returns:
        ``name``, ``degree`` (partners), ``pagerank`` (Page et al. 1999, on log lifts) and ``betweenness`` (share of the
        shortest ways that pass it, Freeman 1977; an edge's length is 1 / log lift), from central to marginal.
    """
    pairs = strengths(graph, weight)
    for _, _, data in pairs.edges(data=True):
        data["length"] = 1 / data["weight"]
    between = nx.betweenness_centrality(pairs, weight="length")
    rank = nx.pagerank(pairs, weight="weight") if len(pairs) else {}
    rows = [(_name(graph, node), pairs.degree(node), rank[node], between[node]) for node in pairs]
    found = pd.DataFrame(rows, columns=["name", "degree", "pagerank", "betweenness"])
    return found.sort_values(["betweenness", "name"], ascending=[False, True], ignore_index=True)


def bridges(graph: nx.MultiDiGraph, groups: dict[str, str], weight: str = "lift") -> pd.DataFrame:
    """Nodes that join groups, such as categories between departments.

    Args:
        graph: a network of co-purchases.
        groups: group of each node, by name; nodes without one are left out.
        weight: see ``strengths``.

    Returns:
        ``name``, ``group``, ``outside`` (share of the node's strength that leads out of its group), ``reached`` (other
        groups), ``participation`` (1 - sum of squared shares by group: 0 when all leads to one, Guimerà & Amaral
        2005), from bridge to none.
    """
    pairs = strengths(graph, weight)
    rows = []
    for node in pairs:
        own, by_group = groups.get(_name(graph, node)), _by_group(graph, pairs, node, groups)
        total = sum(by_group.values())
        if own is not None and total > 0:
            shares = {group: value / total for group, value in by_group.items()}
            participation = 1 - sum(share**2 for share in shares.values())
            rows.append((_name(graph, node), own, 1 - shares.get(own, 0.0), len(shares.keys() - {own}), participation))
    found = pd.DataFrame(rows, columns=["name", "group", "outside", "reached", "participation"])
    return found.sort_values(["participation", "name"], ascending=[False, True], ignore_index=True)


def likeliest_paths(
    graph: nx.MultiDiGraph, source: str, target: str, count: int = 3, weight: str = "confidence"
) -> pd.DataFrame:
    """The ways from one node to another with the largest product of probabilities (Yen 1971 on -log).

    Args:
        graph: a network whose edges have a probability.
        source: name or key of the first node.
        target: name or key of the last.
        count: ways at most.
        weight: property that is the probability of going along an edge, in (0, 1].

    Returns:
        ``chance``, ``steps``, ``names`` (a list), from likely to unlikely; empty when there is no way.

    Raises:
        InputError: there is no such node.
    """
    start, end = named(graph, source), named(graph, target)
    ways = nx.DiGraph()
    ways.add_nodes_from(graph)
    for one, other, properties in graph.edges(data="properties"):
        chance = (properties or {}).get(weight)
        if chance is not None and 0 < chance <= 1:
            cost = -math.log(chance)
            ways.add_edge(one, other, cost=min(cost, ways.get_edge_data(one, other, {"cost": cost})["cost"]))
    try:
        found = list(islice(nx.shortest_simple_paths(ways, start, end, weight="cost"), count))
    except nx.NetworkXNoPath:
        found = []
    rows = [
        (math.exp(-nx.path_weight(ways, path, "cost")), len(path) - 1, [_name(graph, node) for node in path])
        for path in found
    ]
    return pd.DataFrame(rows, columns=["chance", "steps", "names"])


def similar(graph: nx.MultiDiGraph, name: str, count: int = 10, weight: str = "lift") -> pd.DataFrame:
    """Nodes with the same partners: cosine of the rows of log lifts.

    Args:
        graph: a network of co-purchases.
        name: name or key of a node.
        count: rows at most.
        weight: see ``strengths``.

    Returns:
        ``name``, ``cosine``, ``partners`` (whether they are each other's partners), from alike to unlike.

    Raises:
        InputError: there is no such node.
    """
    node, pairs = named(graph, name), strengths(graph, weight)
    nodes = list(pairs)
    matrix = nx.to_scipy_sparse_array(pairs, nodelist=nodes, weight="weight", format="csr")
    lengths = np.sqrt(np.asarray((matrix * matrix).sum(axis=1)).ravel())
    at = nodes.index(node)
    dots = np.asarray((matrix @ matrix[[at]].T).todense()).ravel()
    cosine = dots / np.maximum(lengths * lengths[at], 1e-12)
    rows = [(_name(graph, other), cosine[i], pairs.has_edge(node, other)) for i, other in enumerate(nodes) if i != at]
    found = pd.DataFrame(rows, columns=["name", "cosine", "partners"])
    return found.sort_values(["cosine", "name"], ascending=[False, True], ignore_index=True).head(count)


def nearest(vectors: pd.DataFrame, key: str, count: int = 10) -> pd.DataFrame:
    """Nearest nodes by learnt vector.

    Args:
        vectors: ``id`` and ``embedding`` (lists of one length), such as the answer to
            ``MATCH (n:$$Category) RETURN n.node_id AS id, n.embedding AS embedding``; rows without one are left out.
        key: the id to begin at.
        count: rows at most.

    Returns:
        ``id``, ``cosine``, from near to far.

    Raises:
        InputError: there is no vector for the key.
    """
    known = vectors.dropna(subset=["embedding"]).reset_index(drop=True)
    at = np.flatnonzero(known["id"].to_numpy() == key)
    if not len(at):
        remedy = "Write a run's vectors back first: `crossaisle kg write-back`."
        raise InputError(f"there is no vector for {key!r}", where="key", remedy=remedy)
    matrix = np.stack([np.asarray(value, dtype=np.float64) for value in known["embedding"]])
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    found = known[["id"]].assign(cosine=matrix @ matrix[at[0]]).drop(index=int(at[0]))
    return found.sort_values(["cosine", "id"], ascending=[False, True], ignore_index=True).head(count)


def _by_group(graph: nx.MultiDiGraph, pairs: nx.Graph, node: str, groups: dict[str, str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for other, data in pairs[node].items():
        group = groups.get(_name(graph, other))
        if group is not None:
            found[group] = found.get(group, 0.0) + data["weight"]
    return found


def _name(graph: nx.MultiDiGraph, node: str) -> str:
    return str(graph.nodes[node].get("name", node))
