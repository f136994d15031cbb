import numpy as np
import pytest

from kg.config import CoPurchaseConfig
from kg.copurchase import count

ALL = CoPurchaseConfig(min_support=1, top_k=100, below_top_k=100)


def _by_hand(dataset, level, window_end, column):
    """(source, target) -> (support, confidence, lift), by sets."""
    rows = dataset.tables.interactions
    rows = rows[rows["time"] < window_end]
    of_product = level.of_product.toarray()
    units, bought = rows[column].unique(), {}
    for node, node_id in enumerate(level.ids):
        inside = set(dataset.catalogue.product_ids[of_product[:, node] > 0])
        bought[node_id] = set(rows.loc[rows["product_id"].isin(inside), column])
    found = {}
    for a in level.ids:
        for b in level.ids:
            both = len(bought[a] & bought[b])
            if a != b and both:
                lift = both * len(units) / (len(bought[a]) * len(bought[b]))
                found[a, b] = (both, both / len(bought[a]), lift)
    return found


@pytest.mark.parametrize("unit", ["user", "basket"])
@pytest.mark.parametrize("level", ["category", "type"])
@pytest.mark.parametrize("block_entries", [1, 20, 10_000])
def test_counts_are_those_made_by_hand(dataset, unit, level, block_entries):
    config = CoPurchaseConfig(unit=unit, min_support=1, block_entries=block_entries)
    node_level = dataset.catalogue.levels[level]
    found = count(dataset, node_level, 12, config, top_k=100)
    expected = _by_hand(dataset, node_level, 12, f"{unit}_id")
    assert set(zip(found["source"], found["target"], strict=True)) == set(expected)
    values = np.array([expected[pair] for pair in zip(found["source"], found["target"], strict=True)])
    np.testing.assert_allclose(found[["support", "confidence", "lift"]], values)


@pytest.mark.parametrize("score", ["cosine", "lift", "confidence"])
def test_the_strongest_are_kept(dataset, score):
    level = dataset.catalogue.levels["type"]
    every = count(dataset, level, 21, CoPurchaseConfig(min_support=3, score=score), top_k=100)
    few = count(dataset, level, 21, CoPurchaseConfig(min_support=3, score=score), top_k=2)
    assert few.groupby("source").size().max() == 2
    assert few.equals(every.groupby("source").head(2).reset_index(drop=True))
    assert every["support"].min() >= 3


def test_window_leaves_out_what_is_older(dataset, make_dataset):
    recent = dataset.tables.interactions
    recent = recent[recent["time"] >= 8].reset_index(drop=True)
    level = dataset.catalogue.interest
    windowed = count(dataset, level, 12, CoPurchaseConfig(window=4, min_support=1))
    assert windowed.equals(count(make_dataset(interactions=recent), level, 12, ALL))


def test_nothing_bought_gives_no_edges(dataset):
    found = count(dataset, dataset.catalogue.interest, 0, ALL)
    assert found.empty
    assert list(found.columns) == ["source", "target", "support", "confidence", "lift"]
