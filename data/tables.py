"""The canonical tables: what every source delivers, whatever its files look like.

All ids are strings, as in the source. Columns beyond those named here are kept where the table says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True)
class Tables:
    """Validated tables of one shop.

    Attributes:
        products: one row per product: ``product_id`` (unique), ``text`` (what a language model reads of the
            product itself, may be empty), and one nullable string column for each name in ``attributes``.
        taxonomy: one row per (node, parent): ``level``, ``node_id`` (unique within its level), ``name``,
            ``text`` (what a language model reads), ``parent_level``, ``parent_id`` (both null at the top).
            Several rows for one node make a directed acyclic graph.
        memberships: ``product_id``, ``level``, ``node_id``: the deepest taxonomy nodes a product sits in.
        interactions: ``user_id``, ``product_id``, ``time`` (int64, a period number in the source's unit),
            ``quantity``, ``value`` (float64), ``basket_id``, ``store_id`` (nullable), sorted by time.
        users: ``user_id`` (unique, every user of the interactions) and nullable string columns.
        relations: further facts for the graph: ``source_label``, ``source_id``, ``relation``,
            ``target_label``, ``target_id``, ``weight`` (float64), ``time`` (nullable Int64: the period from
            which the fact is known; null means always).
        levels: names of the taxonomy's levels, top first.
        interest_level: the level whose nodes are "categories" in "cross-category".
        attributes: product columns that become nodes of the graph, with their node label,
            such as ``{"manufacturer": "Manufacturer"}``.
        rejects: rows left out: ``table``, ``row``, ``column``, ``value``, ``reason``.
        name: the source's name.
        time_unit: what one period of ``time`` is, for people ("week", "day", …).
    """

    products: pd.DataFrame
    taxonomy: pd.DataFrame
    memberships: pd.DataFrame
    interactions: pd.DataFrame
    users: pd.DataFrame
    relations: pd.DataFrame
    levels: tuple[str, ...]
    interest_level: str
    attributes: dict[str, str]
    rejects: pd.DataFrame
    name: str
    time_unit: str = "week"
    notes: list[str] = field(default_factory=list)

    @cached_property
    def relation_groups(self) -> dict[tuple[str, str, str], npt.NDArray[np.int64]]:
        """Positions in the relations table, ascending, by source label, relation and target label."""
        found = self.relations.groupby(["source_label", "relation", "target_label"], sort=False).indices
        return cast(dict[tuple[str, str, str], npt.NDArray[np.int64]], found)
