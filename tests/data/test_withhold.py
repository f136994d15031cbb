"""Withheld nodes: nothing is known of who buys them, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.config import DataConfig, SyntheticConfig
from data.dataset import Dataset
from data.load import load, read
from data.validate import validate
from data.withhold import withheld_nodes, withheld_products, withhold
from errors import InputError

SMALL = DataConfig(source="synthetic", synthetic=SyntheticConfig(users=50, products=120), withhold=0.1)


@pytest.fixture(scope="module")
def tables():
    return validate(read(SMALL))


def lost_rows(tables, config):
    return tables.interactions["product_id"].isin(withheld_products(tables, withheld_nodes(tables, config)))


def test_a_seeded_share_of_the_level_below(tables):
    nodes = withheld_nodes(tables, SMALL)
    types = set(tables.taxonomy.loc[tables.taxonomy["level"] == "type", "node_id"])
    filled = set(tables.memberships["node_id"]) & types
    assert len(nodes) == round(0.1 * len(filled))
    assert set(nodes) <= filled
    assert list(nodes) == list(withheld_nodes(tables, SMALL))
    assert list(nodes) != list(withheld_nodes(tables, replace(SMALL, withhold_seed=1)))


def test_nothing_but_their_purchases_goes(tables):
    whole, part = load(replace(SMALL, withhold=0.0)), load(SMALL)
    lost = lost_rows(tables, SMALL)
    assert 0 < lost.sum() < len(lost)
    assert len(part.log) == len(whole.log) - lost.sum()
    assert list(part.user_ids) == list(whole.user_ids)
    assert list(part.catalogue.product_ids) == list(whole.catalogue.product_ids)
    assert part.catalogue.below.texts == whole.catalogue.below.texts
    sold = part.catalogue.below.of_product[part.log.product].sum(axis=0)
    withheld = part.catalogue.below.index.get_indexer(withheld_nodes(tables, SMALL))
    assert (np.asarray(sold).ravel()[withheld] == 0).all()
    assert "withheld, with" in part.tables.notes[-1]


def test_withheld_purchases_move_nothing(tables):
    """Other buyers, times and amounts of what is withheld: the data are the same to the last bit."""
    rows, lost = tables.interactions.copy(), lost_rows(tables, SMALL)
    rng = np.random.default_rng(0)
    for column in ("user_id", "quantity", "value", "store_id"):
        rows.loc[lost, column] = rng.permutation(rows.loc[lost, column].to_numpy())
    other = replace(tables, interactions=rows)
    one, two = (Dataset.from_tables(one) for one in (tables, other))
    assert one.fingerprint != two.fingerprint
    assert Dataset.from_tables(withhold(other, SMALL)).fingerprint == load(SMALL).fingerprint


def test_products_are_withheld_where_no_level_is_below():
    config = replace(SMALL, interest_level="type")
    tables = validate(read(config))
    nodes = withheld_nodes(tables, config)
    assert len(nodes) == 12
    assert set(nodes) <= set(tables.products["product_id"])
    assert not load(config).tables.interactions["product_id"].isin(nodes).any()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(InputError, match=r"data\.withhold"):
        load(replace(SMALL, withhold=share))
