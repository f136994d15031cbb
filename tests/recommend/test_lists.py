"""Lists of a whole trained run: the run's own order, one by one as in a batch, filters, strangers, updates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from running import TEST_CUTOFF

from errors import InputError
from recommend import Filters
from recommend.diversity import RERANKERS
from recommend.filters import unit_prices

LEVELS = ["category", "type", "product"]
SAME_SCORE = {"rtol": 1e-4, "atol": 1e-5}


def lists(frame):
    """Items of each user, best first."""
    return frame.groupby("user_id", sort=False)["item_id"].agg(list).to_dict()


def history_of(recommender, user):
    """What a user of the run bought before the cut-off, as somebody would hand it over."""
    rows = recommender.dataset.tables.interactions
    return rows[(rows["user_id"] == user) & (rows["time"] < TEST_CUTOFF)].reset_index(drop=True)


def seen(recommender, user):
    products = history_of(recommender, user)["product_id"]
    catalogue = recommender.dataset.catalogue
    held = catalogue.interest.of_product[catalogue.product_index.get_indexer(products)]
    return set(catalogue.interest.ids[np.unique(held.indices)])


@pytest.fixture
def users(recommender):
    return list(recommender.user_ids[:6])


@pytest.mark.parametrize("level", LEVELS)
def test_known_users_get_the_order_of_the_run(recommender, finished, level):
    theirs = pd.read_parquet(finished.folder / "rankings" / f"{level}.parquet").query("rank <= 20")
    ours = recommender.recommend(level, list(theirs["user_id"].unique()))
    assert lists(ours) == lists(theirs)
    np.testing.assert_allclose(ours["score"], theirs["score"], **SAME_SCORE)


@pytest.mark.parametrize("level", LEVELS)
def test_one_by_one_as_in_a_batch(recommender, users, level):
    together = recommender.recommend(level, users, k=7)
    alone = pd.concat([recommender.recommend(level, [user], k=7) for user in users], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone, check_exact=False, **SAME_SCORE)


@pytest.mark.parametrize("by", RERANKERS)
@pytest.mark.parametrize("level", ["category", "product"])
def test_diverse_lists_are_the_same_alone_and_never_repeat(recommender, users, level, by):
    together = recommender.recommend(level, users, k=5, diversity=0.5, by=by)
    assert not together.duplicated(["user_id", "item_id"]).any()
    alone = pd.concat([recommender.recommend(level, [user], k=5, diversity=0.5, by=by) for user in users])
    assert lists(alone) == lists(together)


def test_without_names_everybody_is_answered(recommender):
    everybody = recommender.categories(k=3)
    assert set(everybody["user_id"]) == set(recommender.user_ids)
    assert not everybody.duplicated(["user_id", "item_id"]).any()


def test_products_are_new_and_tell_where_they_sit(recommender, users):
    found = recommender.products(users, k=30)
    assert list(found.columns) == ["user_id", "item_id", "rank", "score", "name", "category", "type"]
    catalogue = recommender.dataset.catalogue
    at = catalogue.product_index.get_indexer(found["item_id"])
    assert (catalogue.interest.ids[catalogue.interest.primary[at]] == found["category"]).all()
    for user, rows in found.groupby("user_id"):
        assert not set(rows["category"]) & seen(recommender, user)
        assert rows["score"].is_monotonic_decreasing
        assert list(rows["rank"]) == list(range(1, len(rows) + 1))


def test_the_users_own_history_gets_the_users_answer(recommender, users):
    given = history_of(recommender, users[0])
    pd.testing.assert_frame_equal(
        recommender.products(histories=given), recommender.products([users[0]]), check_exact=False, **SAME_SCORE
    )


def test_a_stranger_is_answered_alike_from_frame_and_files(recommender, users, tmp_path):
    given = history_of(recommender, users[1]).assign(user_id="a stranger")
    given.to_csv(tmp_path / "history.csv", index=False)
    given.to_parquet(tmp_path / "history.parquet")
    answers = [recommender.categories(histories=one) for one in (given, *sorted(tmp_path.iterdir()))]
    assert set(answers[0]["user_id"]) == {"a stranger"}
    assert not set(answers[0]["item_id"]) & seen(recommender, users[1])
    for other in answers[1:]:
        pd.testing.assert_frame_equal(answers[0], other)


def test_within_the_best_categories(recommender, users):
    best = recommender.categories(users, k=2).groupby("user_id")["item_id"].agg(set)
    found = recommender.products(users, k=10, within=2)
    for user, rows in found.groupby("user_id"):
        assert set(rows["category"]) <= best[user]
    free = recommender.products(users, k=200)
    inside = [row.category in best[row.user_id] for row in free.itertuples()]
    assert {u: items[:10] for u, items in lists(free[inside]).items()} == lists(found)


# -- filters -------------------------------------------------------------------------------------------------


def test_filters_hold_and_keep_the_order(recommender, users):
    dataset = recommender.dataset
    products = dataset.tables.products.set_index("product_id")
    prices = pd.Series(unit_prices(recommender.history, len(products)), dataset.catalogue.product_ids)
    low, high = prices.quantile([0.2, 0.8])
    stock = list(dataset.catalogue.product_ids[::2])
    brand = products["brand"].mode()[0]
    no = dataset.catalogue.interest.ids[0]
    some = dataset.catalogue.interest.ids[:12]
    cases = [
        (Filters(stock=stock), lambda rows: rows["item_id"].isin(stock)),
        (Filters(price_from=low, price_to=high), lambda rows: prices[rows["item_id"]].between(low, high).to_numpy()),
        (Filters(brands=[brand]), lambda rows: (products.loc[rows["item_id"], "brand"] == brand).to_numpy()),
        (Filters(categories=some), lambda rows: rows["category"].isin(some)),
        (Filters(forbidden=[no]), lambda rows: rows["category"] != no),
    ]
    free = recommender.products(users, k=len(products))
    for filters, passes in cases:
        assert lists(recommender.products(users, k=len(products), filters=filters)) == lists(free[passes(free)])


def test_categories_pass_that_hold_what_passes(recommender, users):
    catalogue = recommender.dataset.catalogue
    only = catalogue.interest.ids[5]
    stock = list(catalogue.product_ids[catalogue.interest.primary == 5])
    assert set(recommender.categories(users, filters=Filters(stock=stock))["item_id"]) == {only}
    assert only not in set(recommender.categories(users, k=99, filters=Filters(forbidden=[only]))["item_id"])


def test_owned_categories_may_stand_in_the_list_when_asked_for(recommender, users):
    k = len(recommender.dataset.catalogue.interest)
    found = recommender.categories(users, k=k, filters=Filters(owned=True))
    assert all(len(items) == k for items in lists(found).values())
    plain = lists(recommender.categories(users, k=k))
    for user, items in lists(found).items():
        assert [item for item in items if item not in seen(recommender, user)] == plain[user]


def test_median_of_what_a_unit_cost(recommender):
    rows = recommender.dataset.tables.interactions
    product = rows["product_id"].mode()[0]
    sold = rows[(rows["product_id"] == product) & (rows["time"] < TEST_CUTOFF) & (rows["value"] > 0)]
    at = recommender.dataset.catalogue.product_index.get_loc(product)
    found = unit_prices(recommender.history, len(recommender.dataset.catalogue.product_ids))[at]
    assert found == pytest.approx((sold["value"] / sold["quantity"]).median(), rel=1e-5)


# -- what is bought later --------------------------------------------------------------------------------------


def test_a_purchase_changes_the_next_answer_at_once_and_nobody_elses(recommender, users):
    before = recommender.products(users)
    first = before[before["user_id"] == users[0]].iloc[0]
    bought = pd.DataFrame({"user_id": [users[0]], "product_id": [first["item_id"]], "time": [TEST_CUTOFF + 2]})
    recommender.update(bought)
    after = recommender.products(users)
    assert first["category"] not in set(after[after["user_id"] == users[0]]["category"])
    others = before["user_id"] != users[0]
    pd.testing.assert_frame_equal(before[others], after[after["user_id"] != users[0]], check_exact=False, **SAME_SCORE)


def test_an_update_is_the_longer_history(recommender, users):
    given = history_of(recommender, users[2])
    later = given.tail(5).assign(time=TEST_CUTOFF + 3, basket_id="later")
    recommender.update(later)
    whole = pd.concat([given, later], ignore_index=True)
    ours, theirs = recommender.categories([users[2]]), recommender.categories(histories=whole)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=False, **SAME_SCORE)


def test_a_new_user_is_known_from_the_first_purchase_on(recommender, users):
    given = history_of(recommender, users[3]).assign(user_id="new")
    answer = recommender.categories(histories=given)
    early = given["time"] < given["time"].median()
    recommender.update(given[~early])
    recommender.update(given[early])
    pd.testing.assert_frame_equal(recommender.categories(["new"]), answer, check_exact=False, **SAME_SCORE)


def test_time_passes_for_all_of_a_history_alike(recommender, users):
    given = history_of(recommender, users[4])
    early = given.assign(time=given["time"] - given["time"].max() + TEST_CUTOFF - 1)
    late = early.assign(time=early["time"] + 10)
    pd.testing.assert_frame_equal(
        recommender.categories(histories=early), recommender.categories(histories=late), check_exact=False, **SAME_SCORE
    )


def test_who_has_bought_nothing_gets_what_is_popular(recommender):
    nothing = pd.DataFrame({"user_id": ["x", "y"], "product_id": [None, None], "time": [0, 30]})
    found = recommender.categories(histories=nothing, k=len(recommender.dataset.catalogue.interest))
    assert len(recommender.problems) == 0
    first, second = lists(found).values()
    assert first == second
    assert len(first) == len(recommender.dataset.catalogue.interest)
    level = recommender.dataset.catalogue.interest
    buyers = pd.Series((recommender.history.counts(level.of_product) > 0).sum(axis=0), level.ids)
    assert buyers[first[:6]].mean() > buyers[first[-6:]].mean()


def test_histories_must_not_be_given_beside_users(recommender, users):
    with pytest.raises(InputError, match="one of them"):
        recommender.categories(users, history_of(recommender, users[0]))
