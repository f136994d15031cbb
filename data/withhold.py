"""Nodes withheld from every purchase: they stay in the catalogue, and nothing is known of who buys them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from data.catalogue import ancestors
from data.config import DataConfig
from data.lookup import among
from data.tables import Tables
from errors import InputError


def level_below(tables: Tables) -> str | None:
    """The level under the interest level; None where products sit right under it."""
    at = tables.levels.index(tables.interest_level) + 1
    return tables.levels[at] if at < len(tables.levels) else None


def withheld_nodes(tables: Tables, config: DataConfig) -> npt.NDArray[np.str_]:
    """A seeded sample of the nodes that hold products in the level under the interest level, or of the products.

    The sample depends on the catalogue and the seed alone, not on what was bought.

    Returns:
        Ids, sorted, shape (n,); at least one unless ``withhold`` is 0.

    Raises:
        InputError: ``withhold`` is not in [0, 1), or leaves nothing.
    """
    if not 0 <= config.withhold < 1:
        found = f"{config.withhold} is no share that leaves something"
        raise InputError(found, where="data.withhold", remedy="Give 0 <= withhold < 1.")
    level = level_below(tables)
    if level is None:
        ids = tables.products["product_id"]
    else:
        ids = ancestors(tables.taxonomy, tables.memberships, level)["node_id"]
    nodes = np.unique(ids.to_numpy(dtype=str))
    n = min(max(1, round(config.withhold * len(nodes))), len(nodes) - 1) if config.withhold else 0
    if config.withhold and n < 1:
        raise InputError("there is one node alone", where="data.withhold", remedy="Give 0, or a finer taxonomy.")
    return np.sort(np.random.default_rng(config.withhold_seed).permutation(nodes)[:n])


def withheld_products(tables: Tables, nodes: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Ids of the products in any of the withheld nodes; of a product of several nodes one is enough."""
    level = level_below(tables)
    if level is None:
        return nodes
    pairs = ancestors(tables.taxonomy, tables.memberships, level)
    return np.unique(pairs["product_id"][among(pairs["node_id"], nodes)].to_numpy(dtype=str))


def withhold(tables: Tables, config: DataConfig) -> Tables:
    """The tables without any interaction with a seeded share of nodes (`DataConfig.withhold`).

    Whatever is counted, trained or loaded into the graph is made from the interactions, so nothing in it knows of
    those: the catalogue, texts and relations of the withheld nodes stay, users stay too.
    """
    nodes = withheld_nodes(tables, config)
    if not len(nodes):
        return tables
    lost = among(tables.interactions["product_id"], withheld_products(tables, nodes))
    kind = level_below(tables) or "product"
    note = f"{len(nodes):,} nodes of the {kind} level withheld, with {int(lost.sum()):,} interactions"
    return replace(tables, interactions=tables.interactions[~lost], notes=[*tables.notes, note])
