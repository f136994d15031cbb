"""Products added after training: by text and place in the graph, beside all others; wrong rows are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from errors import InputError
from recommend.filters import Filters


@pytest.fixture
def additions(recommender):
    """Two products like ones that are there, in types of two categories."""
    catalogue = recommender.dataset.catalogue
    there = [int(np.flatnonzero(catalogue.below.primary == node)[0]) for node in (0, len(catalogue.below) - 1)]
    brands, codes = catalogue.attributes["brand"]
    return pd.DataFrame(
        {
            "product_id": ["0-new", "z-new"],
            "text": [catalogue.product_texts[i] for i in there],
            "type": [catalogue.below.ids[0], catalogue.below.ids[-1]],
            "brand": [brands[codes[there[0]]], "a brand that nobody knows"],
        }
    )


def test_added_products_stand_among_the_others(recommender, additions):
    users = list(recommender.user_ids[:6])
    before = recommender.products(users, k=10_000)
    recommender.add_products(additions)
    assert not len(recommender.problems)
    after = recommender.products(users, k=10_000)
    new = after["item_id"].isin(additions["product_id"])
    assert set(after.loc[new, "item_id"]) == {"0-new", "z-new"}
    assert after["score"].notna().all()
    pairs = after.loc[~new, ["user_id", "item_id"]].to_numpy().tolist()
    assert sorted(pairs) == sorted(before[["user_id", "item_id"]].to_numpy().tolist())
    assert list(after.loc[after["item_id"] == "z-new", "type"].unique()) == [additions["type"][1]]


def test_who_has_bought_from_the_category_gets_none(recommender, additions):
    recommender.add_products(additions)
    catalogue = recommender.dataset.catalogue
    category = catalogue.interest.primary[catalogue.product_index.get_loc("0-new")]
    owners = np.unique(recommender.history.user[catalogue.interest.primary[recommender.history.product] == category])
    lists = recommender.products(list(recommender.user_ids), k=10_000)
    offered = lists.loc[lists["item_id"] == "0-new", "user_id"]
    assert set(offered) == set(recommender.user_ids) - set(recommender.user_ids[owners])
    owned = recommender.products([recommender.user_ids[owners[0]]], k=10_000, filters=Filters(owned=True))
    assert "0-new" in set(owned["item_id"])


def test_text_and_place_decide(recommender, additions):
    """The same product under another name scores the same; another text or another brand does not."""
    rows = additions.iloc[[0]]
    more = [rows.assign(product_id="1-same"), rows.assign(product_id="2-text", text="quite another thing")]
    recommender.add_products(pd.concat([rows, *more]))
    lists = recommender.products(list(recommender.user_ids[:20]), k=10_000)
    scores = lists.pivot(index="user_id", columns="item_id", values="score")[["0-new", "1-same", "2-text"]].dropna()
    assert len(scores)
    np.testing.assert_allclose(scores["0-new"], scores["1-same"], rtol=1e-5)
    assert (scores["0-new"] != scores["2-text"]).any()


def test_one_after_another_is_as_together(recommender, loaded, additions):
    together = type(recommender)(loaded)
    together.add_products(additions)
    for at in range(2):
        recommender.add_products(additions.iloc[[at]])
    users = list(recommender.user_ids[:4])
    one, two = (it.products(users, k=10_000) for it in (recommender, together))
    assert list(one["item_id"]) == list(two["item_id"])
    np.testing.assert_allclose(one["score"], two["score"], rtol=1e-4, atol=1e-4)


def test_reasons_explain_the_score_that_is_shown(recommender, additions):
    recommender.add_products(additions)
    lists = recommender.products(list(recommender.user_ids), k=10_000)
    shown = lists[lists["item_id"].isin(additions["product_id"])].drop_duplicates("item_id")
    assert len(shown) == 2
    for user, item, score in shown[["user_id", "item_id", "score"]].itertuples(index=False):
        found = recommender.explain(user, item, with_paths=False)
        np.testing.assert_allclose(found.steps["adds"].sum(), score, rtol=1e-5)
        assert list(found.steps["item_id"])[-1] == item


def test_purchases_of_them_count(recommender, additions):
    recommender.add_products(additions)
    user = recommender.user_ids[0]
    category = recommender.dataset.catalogue.interest
    recommender.update(pd.DataFrame({"user_id": [user], "product_id": ["z-new"], "time": [40]}))
    assert not len(recommender.problems)
    place = recommender.dataset.catalogue.product_index.get_loc("z-new")
    listed = recommender.categories([user], k=1000)
    assert category.ids[category.primary[place]] not in set(listed["item_id"])


def test_wrong_rows_are_told_and_the_others_added(recommender, additions, tmp_path):
    there = recommender.dataset.catalogue.product_ids[0]
    bad = pd.DataFrame(
        {"product_id": [there, "y", None, "0-new"], "type": [additions["type"][0], "moon", "x", additions["type"][0]]}
    )
    file = tmp_path / "products.csv"
    pd.concat([additions, bad]).to_csv(file, index=False)
    recommender.add_products(file)
    assert list(recommender.problems["reason"]) == [
        "product_id is empty",
        "the product is listed twice",
        "the catalogue has the product already",
        "there is no such type",
    ]
    assert set(recommender.problems["table"]) == {"products"}
    with pytest.raises(InputError, match="no product can be added"):
        recommender.add_products(additions)


def test_a_missing_column_is_told(recommender):
    with pytest.raises(InputError, match="type"):
        recommender.add_products(pd.DataFrame({"product_id": ["n"]}))


def test_a_run_without_the_head_says_so(recommender, additions):
    bare = type(recommender)(replace(recommender.run, cold={}))
    with pytest.raises(InputError, match="no head for products never sold"):
        bare.add_products(additions)
    assert len(bare.categories(list(bare.user_ids[:1])))
