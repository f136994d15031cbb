from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from evidence.config import EvidenceConfig
from evidence.interest import InterestEvidence

CUTOFF = 15
CONFIG = EvidenceConfig(horizon=6, neighbours=5)


def fitted(dataset, cutoff=CUTOFF):
    catalogue = dataset.catalogue
    return InterestEvidence(dataset, catalogue.interest, catalogue.above, cutoff, CONFIG)


def asked(dataset, users, cutoff=CUTOFF):
    return dataset.log.before(cutoff).of_users(np.asarray(users))


def everything(dataset, users=None, cutoff=CUTOFF):
    """All that the evidence says of some users and of the categories, by name."""
    evidence = fitted(dataset, cutoff)
    users = np.arange(dataset.log.n_users) if users is None else np.asarray(users)
    history = asked(dataset, users, cutoff)
    bought, purchases, mask = evidence.purchases(history)
    return {
        "pairs": evidence.pairs(history, users),
        "items": evidence.items,
        "users": evidence.users(history),
        "bought": bought,
        "purchases": purchases,
        "mask": mask,
    }


@pytest.fixture(scope="module")
def evidence(shop):
    return fitted(shop)


def frame(dataset, cutoff=CUTOFF):
    """The interactions before the cut-off, with their category and department."""
    rows = dataset.tables.interactions
    rows = rows[rows["time"] < cutoff].copy()
    catalogue = dataset.catalogue
    product = catalogue.product_index.get_indexer(rows["product_id"])
    rows["user"] = np.searchsorted(dataset.user_ids, rows["user_id"].to_numpy(dtype=str))
    rows["category"] = catalogue.interest.primary[product]
    if catalogue.above is not None:
        rows["department"] = catalogue.above.primary[product]
    return rows


def test_widths_are_those_of_the_names(shop, evidence):
    found = everything(shop)
    n, categories = shop.log.n_users, len(shop.catalogue.interest)
    assert found["pairs"].shape == (n, categories, len(evidence.pair_names))
    assert found["items"].shape == (categories, len(evidence.item_names))
    assert found["users"].shape == (n, len(evidence.user_names))
    assert found["purchases"].shape == (*found["bought"].shape, len(evidence.purchase_names))
    assert found["mask"].shape == found["bought"].shape
    for names in (evidence.pair_names, evidence.item_names, evidence.user_names, evidence.purchase_names):
        assert len(set(names)) == len(names)
    assert all(np.isfinite(values).all() for values in found.values())
    assert all(found[name].dtype == np.float32 for name in ("pairs", "items", "users", "purchases"))


def test_every_column_says_something(shop, evidence):
    found = everything(shop)
    for name, names in (("pairs", evidence.pair_names), ("items", evidence.item_names), ("users", evidence.user_names)):
        constant = [column for i, column in enumerate(names) if np.ptp(found[name][..., i]) == 0]
        # Products are dealt evenly to categories, and windows of 24 periods and more are all of the past here.
        assert not [column for column in constant if column not in ("products", "trend_long")]


@pytest.mark.parametrize("how", ["drawn anew", "gone"])
def test_the_future_moves_nothing(shop, futures, how):
    before, after = everything(shop), everything(futures[how](shop, CUTOFF))
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name], err_msg=name)


def test_the_past_moves_something(shop, futures):
    before, after = everything(shop), everything(futures["drawn anew"](shop, CUTOFF - 1))
    for name in ("pairs", "items", "users"):
        assert not np.array_equal(before[name], after[name])


def test_a_store_of_the_future_moves_nothing(shop, changed):
    rows = shop.tables.interactions.copy()
    rows.loc[rows["time"] >= CUTOFF, "store_id"] = "opened later"
    before, after = everything(shop), everything(changed(shop, interactions=rows))
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name], err_msg=name)


def test_one_by_one_is_as_in_a_batch(shop, evidence):
    users = np.array([40, 3, 77, 12])
    history = asked(shop, users)
    pairs, figures = evidence.pairs(history, users), evidence.users(history)
    bought, purchases, mask = evidence.purchases(history)
    for row, user in enumerate(users):
        alone = asked(shop, [user])
        np.testing.assert_allclose(evidence.pairs(alone, users[row : row + 1])[0], pairs[row], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(evidence.users(alone)[0], figures[row], rtol=1e-6)
        one_bought, one_purchases, one_mask = evidence.purchases(alone)
        n = one_mask[0].sum()
        assert mask[row].sum() == n
        np.testing.assert_array_equal(one_bought[0, :n], bought[row, :n])
        np.testing.assert_allclose(one_purchases[0, :n], purchases[row, :n], rtol=1e-6)


def test_a_stranger_with_the_same_history_differs_by_neighbours_alone(shop, evidence):
    users = np.array([5, 6, 7])
    history = asked(shop, users)
    known, stranger = evidence.pairs(history, users), evidence.pairs(history, np.full(3, -1))
    for i, name in enumerate(evidence.pair_names):
        assert np.array_equal(known[..., i], stranger[..., i]) == ("neighbours" not in name), name


def test_neighbours_by_products_are_those_made_by_hand(shop):
    nearest = EvidenceConfig(horizon=6, product_neighbours=[4])
    evidence = InterestEvidence(shop, shop.catalogue.interest, shop.catalogue.above, CUTOFF, nearest)
    log = shop.log.before(CUTOFF)
    bought = log.counts(sp.eye_array(len(shop.catalogue.product_ids), dtype=np.float32, format="csr")).toarray()
    idf = np.log((1 + log.n_active) / (1 + (bought > 0).sum(axis=0)))
    profiles = np.log1p(bought) * idf
    profiles /= np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-6)
    users = np.array([40, 3])
    alike = profiles[users] @ profiles.T
    alike[[0, 1], users] = 0
    alike[alike < np.sort(alike, axis=1)[:, [-4]]] = 0
    wanted = np.log1p(alike @ (log.counts(shop.catalogue.interest.of_product).toarray() > 0))
    found = evidence.pairs(asked(shop, users), users)[..., evidence.pair_names.index("product_neighbours_4")]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_user_without_history(shop, evidence):
    empty = shop.log.before(-1).of_users(np.array([0, 1]))
    pairs, figures = evidence.pairs(empty, np.full(2, -1)), evidence.users(empty)
    bought, purchases, mask = evidence.purchases(empty)
    assert not mask.any()
    assert bought.shape == (2, 1)
    assert not purchases.any()
    assert np.isfinite(figures).all()
    assert np.isfinite(pairs).all()
    assert not np.ptp(pairs, axis=1).any()  # nothing speaks for one category more than for another


def test_no_users_at_all(shop, evidence):
    nobody = asked(shop, np.zeros(0, dtype=np.int64))
    assert evidence.pairs(nobody, np.zeros(0, dtype=np.int64)).shape == (
        0,
        len(shop.catalogue.interest),
        len(evidence.pair_names),
    )
    assert evidence.users(nobody).shape[0] == 0
    assert evidence.purchases(nobody)[2].shape[0] == 0


def test_without_stores(shop, changed):
    bare = changed(shop, interactions=shop.tables.interactions.assign(store_id=None))
    evidence = fitted(bare)
    assert not [name for name in evidence.pair_names if name.startswith("store")]
    assert everything(bare)["pairs"].shape[2] == len(evidence.pair_names)
    assert np.isfinite(everything(bare)["pairs"]).all()


def test_without_a_level_above(shop, changed):
    top = changed(shop, interest_level="department")
    evidence = fitted(top)
    assert top.catalogue.above is None
    assert not [name for name in evidence.pair_names if name.startswith("parent")]
    pairs = everything(top)["pairs"]
    assert pairs.shape == (80, 3, len(evidence.pair_names))
    assert np.isfinite(pairs).all()


def test_a_category_of_one_product(make_shop):
    found = everything(make_shop(products=13))
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_cutoff_before_everything(shop):
    """A shop on its first day: nothing is known, and nothing is NaN (EASE has nothing to fit)."""
    found = everything(shop, cutoff=1)
    assert all(np.isfinite(values).all() for values in found.values())


def test_popularity_and_adopters_by_hand(shop, evidence):
    rows = frame(shop)
    first = rows.groupby(["user", "category"])["time"].min().reset_index()
    categories = np.arange(len(shop.catalogue.interest))
    for window in CONFIG.popularity_windows:
        recent = rows[rows["time"] >= CUTOFF - CONFIG.periods(window)]
        buyers = recent.groupby("category")["user"].nunique().reindex(categories, fill_value=0)
        column = evidence.items[:, evidence.item_names.index(f"popularity_{window}")]
        np.testing.assert_allclose(column, np.log1p(buyers), rtol=1e-5)
    for window in CONFIG.adopter_windows:
        new = first[first["time"] >= CUTOFF - CONFIG.periods(window)].groupby("category").size()
        column = evidence.items[:, evidence.item_names.index(f"adopters_{window}")]
        np.testing.assert_allclose(column, np.log1p(new.reindex(categories, fill_value=0)), rtol=1e-5)


def test_figures_by_hand(shop, evidence):
    rows, found = frame(shop), evidence.users(asked(shop, np.arange(80)))
    of_user = rows.groupby("user")
    expected = {
        "baskets": of_user["basket_id"].nunique(),
        "lines": of_user.size(),
        "spend": of_user["value"].sum(),
        "categories": of_user["category"].nunique(),
        "periods_since_last": CUTOFF - of_user["time"].max(),
    }
    known = np.unique(rows["user"])
    for name, values in expected.items():
        column = found[known, evidence.user_names.index(name)]
        np.testing.assert_allclose(column, np.log1p(values.loc[known]), rtol=1e-5, err_msg=name)


def test_purchases_by_hand(shop, evidence):
    rows = frame(shop)
    bought, purchases, mask = evidence.purchases(asked(shop, np.arange(80)))
    counts = rows.groupby(["user", "category"]).agg(lines=("time", "size"), spend=("value", "sum"))
    assert mask.sum() == len(counts)
    for user, place in zip(*np.nonzero(mask), strict=True):
        row = counts.loc[(user, bought[user, place])]
        assert purchases[user, place, evidence.purchase_names.index("lines")] == pytest.approx(np.log1p(row["lines"]))
        spend = purchases[user, place, evidence.purchase_names.index("spend")]
        assert spend == pytest.approx(np.log1p(row["spend"]), rel=1e-5)


def test_item_cosine_by_hand(shop, evidence):
    rows = frame(shop)
    X = np.zeros((80, len(shop.catalogue.interest)))
    X[rows["user"], rows["category"]] = 1
    norms = np.maximum(np.linalg.norm(X, axis=0), 1e-9)
    cosine = X.T @ X / np.outer(norms, norms)
    np.fill_diagonal(cosine, 0)
    pairs = everything(shop)["pairs"]
    names = evidence.pair_names
    scored = pairs[..., names.index("cosine")].ravel()[np.argsort((X @ cosine).ravel())]
    assert (np.diff(scored) >= -1e-4).all()  # an increasing function of the sum of cosines
    assert np.ptp(scored) > 0.5
    largest = np.stack([(row[:, None] * cosine).max(axis=0) for row in X])
    np.testing.assert_allclose(pairs[..., names.index("cosine_max")], largest, atol=1e-6)


def test_affinity_to_the_department_by_hand(shop, evidence):
    rows = frame(shop)
    logs = np.log1p(rows.groupby(["user", "category"]).size()).rename("log").reset_index()
    parent = rows.drop_duplicates("category").set_index("category")["department"]
    logs["department"] = logs["category"].map(parent)
    share = logs.groupby(["user", "department"])["log"].sum() / logs.groupby("user")["log"].sum()
    column = everything(shop)["pairs"][..., evidence.pair_names.index("parent_share")]
    for category, department in parent.items():
        expected = share.xs(department, level="department").reindex(range(80), fill_value=0)
        np.testing.assert_allclose(column[:, category], expected, rtol=1e-4, atol=1e-6)


def test_windows_follow_the_horizon():
    assert EvidenceConfig(horizon=7).periods(4) == 4
    assert EvidenceConfig(horizon=70).periods(4) == 40
    assert EvidenceConfig(horizon=1).periods(2) == 1
