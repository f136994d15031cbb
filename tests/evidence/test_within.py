from __future__ import annotations

import numpy as np
import pytest

from evidence.config import EvidenceConfig, WithinConfig
from evidence.within import WithinEvidence

CUTOFF = 15
WINDOWS = EvidenceConfig(horizon=6)


def parents_of(dataset, step):
    """Level and parents of the children: types in categories, or products in types."""
    catalogue = dataset.catalogue
    if step == "product":
        return None, (catalogue.below or catalogue.interest).primary
    links = catalogue.links(catalogue.below, catalogue.interest)
    return catalogue.below, np.asarray(links.toarray().argmax(axis=1))


def fitted(dataset, step, cutoff=CUTOFF, **settings):
    level, parent = parents_of(dataset, step)
    return WithinEvidence(dataset, level, parent, cutoff, WINDOWS, WithinConfig(**settings))


def everything(dataset, step, users=None, cutoff=CUTOFF, **settings):
    evidence = fitted(dataset, step, cutoff, **settings)
    users = np.arange(dataset.log.n_users) if users is None else np.asarray(users)
    pairs = evidence.pairs(dataset.log.before(cutoff).of_users(users))
    return {"items": evidence.items, **dict(zip(evidence.pair_names, pairs, strict=True))}


@pytest.fixture(params=["type", "product"])
def step(request):
    return request.param


def test_shapes_and_names(shop, step):
    evidence, found = fitted(shop, step), everything(shop, step)
    children = len(evidence.parent)
    assert found["items"].shape == (children, len(evidence.item_names))
    assert len(set(evidence.pair_names)) == len(evidence.pair_names)
    assert all(found[name].shape == (80, children) for name in evidence.pair_names)
    assert all(np.isfinite(values).all() for values in found.values())
    assert all(values.dtype == np.float32 for values in found.values())


@pytest.mark.parametrize("how", ["drawn anew", "gone"])
def test_the_future_moves_nothing(shop, futures, step, how):
    before, after = everything(shop, step), everything(futures[how](shop, CUTOFF), step)
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name], err_msg=name)


def test_a_store_of_the_future_moves_nothing(shop, changed, step):
    rows = shop.tables.interactions.copy()
    rows.loc[rows["time"] >= CUTOFF, "store_id"] = "opened later"
    before, after = everything(shop, step), everything(changed(shop, interactions=rows), step)
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name], err_msg=name)


def test_the_past_moves_everything(shop, futures, step):
    before, after = everything(shop, step), everything(futures["drawn anew"](shop, CUTOFF - 2), step)
    assert not [name for name in before if np.array_equal(before[name], after[name])]


def test_one_by_one_is_as_in_a_batch(shop, step):
    evidence, users, log = fitted(shop, step), np.array([40, 3, 77]), shop.log.before(CUTOFF)
    batch = evidence.pairs(log.of_users(users))
    for row, user in enumerate(users):
        for alone, together in zip(evidence.pairs(log.of_users(np.array([user]))), batch, strict=True):
            np.testing.assert_allclose(alone[0], together[row], rtol=1e-5, atol=1e-6)


def test_a_user_without_history_has_no_leaning(shop, step):
    evidence = fitted(shop, step)
    for name, values in zip(
        evidence.pair_names, evidence.pairs(shop.log.before(-1).of_users(np.arange(2))), strict=True
    ):
        np.testing.assert_allclose(values, 0, atol=1e-5, err_msg=name)


def test_shares_of_siblings_sum_to_one(shop, step):
    evidence = fitted(shop, step)
    for i, name in enumerate(evidence.item_names):
        if name.startswith(("share", "entry")):
            total = np.bincount(evidence.parent, np.exp(evidence.items[:, i].astype(float)))
            np.testing.assert_allclose(total[np.bincount(evidence.parent) > 0], 1, rtol=1e-5, err_msg=name)


def test_smoothed_share_by_hand(shop):
    evidence = fitted(shop, "product", smoothing=4.0)
    rng = np.random.default_rng(0)
    counts, prior = (rng.random(len(evidence.parent)).astype(np.float32) for _ in range(2))
    found = evidence.smoothed_share(counts, prior)
    for child, parent in enumerate(evidence.parent):
        total = counts[evidence.parent == parent].sum()
        assert found[child] == pytest.approx((counts[child] + 4 * prior[child]) / (total + 4), rel=1e-4)


def test_what_was_sold_when(shop, step):
    evidence = fitted(shop, step, cutoff=1)
    log = shop.log.before(1)
    node = evidence.of_product[log.product].indices
    last = {child: log.time[node == child].max() for child in np.unique(node)}
    never = evidence.items[:, evidence.item_names.index("never_sold")]
    since = evidence.items[:, evidence.item_names.index("periods_since_sale")]
    assert set(np.flatnonzero(never == 0)) == set(last)
    if step == "product":
        assert never.any()
    for child, time in last.items():
        assert since[child] == pytest.approx(np.log1p(1 - time))


def test_no_stores_no_attributes_no_ease(shop, changed, step):
    bare = changed(shop, interactions=shop.tables.interactions.assign(store_id=None), attributes={})
    evidence = fitted(bare, step, ease_max_items=1)
    assert evidence.pair_names == []
    assert evidence.pairs(bare.log.before(CUTOFF)) == []


def test_only_products_have_attributes(shop):
    assert "affinity_brand" in fitted(shop, "product").pair_names
    assert "affinity_brand" not in fitted(shop, "type").pair_names


def test_affinity_to_a_brand_by_hand(shop):
    found = everything(shop, "product")["affinity_brand"]
    brands, codes = shop.catalogue.attributes["brand"]
    log = shop.log.before(CUTOFF)
    overall = np.bincount(codes[log.product], minlength=len(brands)) + 1
    overall = overall / overall.sum()
    for user in (0, 33):
        mine = np.bincount(codes[log.product[log.user == user]], minlength=len(brands))
        ratio = np.log((mine + 20 * overall) / ((mine.sum() + 20) * overall))
        np.testing.assert_allclose(found[user], ratio[codes], rtol=1e-3, atol=1e-5)


def test_an_only_child_is_certain(make_shop):
    lonely = make_shop(products=13)
    evidence = fitted(lonely, "product")
    single = np.bincount(evidence.parent)[evidence.parent] == 1
    assert single.any()
    shares = [i for i, name in enumerate(evidence.item_names) if name.startswith(("share", "entry"))]
    np.testing.assert_allclose(evidence.items[single][:, shares], 0, atol=1e-6)
    assert all(np.isfinite(values).all() for values in everything(lonely, "product").values())


def test_products_right_under_the_interest_level(shop, changed):
    flat = changed(shop, interest_level="type")
    assert flat.catalogue.below is None
    assert all(np.isfinite(values).all() for values in everything(flat, "product").values())


def test_a_child_without_a_parent_stands_alone(shop):
    parent = shop.catalogue.below.primary.copy()
    parent[:3] = -1
    evidence = WithinEvidence(shop, None, parent, CUTOFF, WINDOWS, WithinConfig())
    ones = np.ones(len(parent), dtype=np.float32)
    np.testing.assert_array_equal(evidence.siblings_sum(ones)[:3], 1)
    assert np.isfinite(evidence.items).all()
    assert all(np.isfinite(values).all() for values in evidence.pairs(shop.log.before(CUTOFF)))
