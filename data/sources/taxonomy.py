"""Taxonomies from what shops have: columns by level, paths, sets of tags, or node and parent."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter

import numpy as np
import pandas as pd

from data.validate import refuse_cycle

SEPARATOR = " > "
COLUMNS = ["level", "node_id", "name", "text", "parent_level", "parent_id"]


def from_levels(product_ids: pd.Series, ids: pd.DataFrame, names: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Taxonomy and memberships of products whose row names a node at each level.

    A node's parent is the nearest level above it that the row fills; a node met under several parents has
    a row for each, the commonest first. A product sits in the deepest node of its row.

    Args:
        product_ids: shape (n,).
        ids: node ids, one column per level, top first; null where a row has no node there.
        names: names for people, same shape and columns as ``ids``.

    Returns:
        The canonical ``taxonomy`` (with texts) and ``memberships``.
    """
    up = pd.DataFrame({"level": None, "id": None}, index=ids.index, dtype="str")
    parts = []
    for level in ids.columns:
        here = ids[level].notna()
        rows = pd.DataFrame({"node_id": ids[level], "name": names[level]})
        rows["parent_level"], rows["parent_id"] = up["level"], up["id"]
        parts.append(_commonest_first(rows[here]).assign(level=level))
        up.loc[here, "level"], up.loc[here, "id"] = level, ids.loc[here, level]
    members = pd.DataFrame({"product_id": product_ids, "level": up["level"], "node_id": up["id"]})
    return with_texts(pd.concat(parts, ignore_index=True)), members.dropna().reset_index(drop=True)


def _commonest_first(rows: pd.DataFrame) -> pd.DataFrame:
    """Distinct (node, parent) rows, sorted by node, a node's commonest parent first."""
    counts = rows.groupby(["node_id", "parent_level", "parent_id"], dropna=False, sort=True)
    nodes = counts.agg(name=("name", "first"), n=("name", "size")).reset_index()
    return nodes.sort_values(["node_id", "n"], ascending=[True, False], kind="stable").drop(columns="n")


def with_texts(taxonomy: pd.DataFrame) -> pd.DataFrame:
    """Add each node's text: its name and those above it along first parents, as in "ice, frozen, grocery".

    Args:
        taxonomy: the canonical columns but ``text``, parents before their children.
    """
    first = taxonomy.drop_duplicates(["level", "node_id"])
    texts: dict[tuple[str, str], str] = {}
    columns = ("level", "node_id", "name", "parent_level", "parent_id")
    for level, node, name, *parent in zip(*(first[column] for column in columns), strict=True):
        above = texts.get((parent[0], parent[1]))
        texts[level, node] = f"{name}, {above}" if above else str(name)
    keys = zip(taxonomy["level"], taxonomy["node_id"], strict=True)
    return _typed(taxonomy.assign(text=[texts[key] for key in keys]))


def _typed(taxonomy: pd.DataFrame) -> pd.DataFrame:
    return taxonomy[COLUMNS].astype("str")


def joined_ids(names: pd.DataFrame) -> pd.DataFrame:
    """Node ids as paths: the row's names down to each level, nulls left out, joined with " > "."""
    ids = {}
    path = pd.Series("", index=names.index, dtype="str")
    for level in names.columns:
        here = names[level].notna()
        longer = path.where(path == "", path + SEPARATOR) + names[level].fillna("")
        path = path.where(~here, longer)
        ids[level] = path.where(here)
    return pd.DataFrame(ids)


def split_paths(paths: pd.Series, separator: str) -> pd.DataFrame:
    """The parts of each path in columns 0, 1, …; null where a path is shorter or a part is empty."""
    parts = paths.str.split(separator, expand=True, regex=False).astype("str")
    parts = parts.apply(lambda column: column.str.strip())
    return parts.where(parts != "")


def pick_tags(product_ids: pd.Series, tags: pd.Series, separator: str, min_products: int) -> pd.DataFrame:
    """One name out of each product's set of names: the rarest that enough products carry.

    Of equally rare names the alphabetically first is taken.

    Returns:
        Every (product, name) of a product once: ``product_id``, ``tag``, ``picked`` (bool).
    """
    pairs = pd.DataFrame({"product_id": product_ids, "tag": tags.str.split(separator, regex=False)})
    pairs = pairs.explode("tag").dropna()
    pairs["tag"] = pairs["tag"].astype("str").str.strip()
    pairs = pairs[pairs["tag"] != ""].drop_duplicates(["product_id", "tag"])
    pairs["n"] = pairs["tag"].map(pairs["tag"].value_counts())
    candidates = pairs.reset_index(drop=True).sort_values(["n", "tag"], kind="stable")
    best = candidates[candidates["n"] >= min_products].drop_duplicates("product_id")
    candidates["picked"] = candidates.index.isin(best.index)
    return candidates.sort_index()[["product_id", "tag", "picked"]]


def flat(tags: Sequence[str], level: str) -> pd.DataFrame:
    """A taxonomy of one level, its nodes' ids and texts being their names."""
    nodes = pd.DataFrame({"node_id": tags, "name": tags, "text": tags, "parent_level": None, "parent_id": None})
    return _typed(nodes.assign(level=level))


def depths(nodes: pd.Series, parents: pd.Series) -> dict[str, int]:
    """Depth of each node, 0 at the top: the longest way up.

    Args:
        nodes: node ids, shape (n,), several rows per node where it has several parents.
        parents: the parent in each row, null at the top.

    Raises:
        InputError: when the parents form a cycle.
    """
    pairs = [(node, parent) for node, parent in zip(nodes, parents, strict=True) if isinstance(parent, str)]
    refuse_cycle((("", node), ("", parent)) for node, parent in pairs)
    sorter: TopologicalSorter[str] = TopologicalSorter({node: [] for node in nodes})
    up: dict[str, list[str]] = {}
    for node, parent in pairs:
        sorter.add(node, parent)
        up.setdefault(node, []).append(parent)
    depth: dict[str, int] = {}
    for node in sorter.static_order():
        depth[node] = max((depth[parent] + 1 for parent in up.get(node, [])), default=0)
    return depth


def level_by_depth(nodes: pd.Series, parents: pd.Series, levels: Sequence[str]) -> pd.Series:
    """Name of each node's level by its depth; nodes below the last name carry null, shape (n,)."""
    depth = nodes.map(depths(nodes, parents)).to_numpy(dtype=np.int64)
    deepest = int(depth.max(initial=-1)) + 1
    names = list(levels) or [f"level_{i + 1}" for i in range(deepest)]
    named = [names[d] if d < len(names) else None for d in depth]
    return pd.Series(named, index=nodes.index, dtype="str")
