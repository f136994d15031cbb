"""What is known of people but their purchases counts where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from errors import InputError
from recommend import Recommender

LEVELS = ["category", "type", "product"]


@pytest.fixture
def shop(loaded):
    """The run with users of two clubs: who bought from the least popular category, and who did not."""
    dataset, interest = loaded.dataset, loaded.dataset.catalogue.interest
    bought = Recommender(loaded).history.counts(interest.of_product).toarray() > 0
    rare = np.flatnonzero(bought.any(axis=0))[bought.sum(axis=0)[bought.any(axis=0)].argmin()]
    users = pd.DataFrame({"user_id": dataset.user_ids, "club": np.where(bought[:, rare], "in", "out")}, dtype="str")
    told = replace(dataset, tables=replace(dataset.tables, users=users))
    return Recommender(replace(loaded, dataset=told)), str(interest.ids[rare])


def people(**clubs):
    return pd.DataFrame({"user_id": list(clubs), "club": list(clubs.values())})


def rank_of(frame, user, item):
    return int(frame.query("user_id == @user and item_id == @item")["rank"].iloc[0])


def test_a_newcomer_gets_what_their_group_buys(shop):
    recommender, rare = shop
    found = recommender.categories(k=24, people=people(a="in", b="out", c=None))
    assert rank_of(found, "a", rare) < rank_of(found, "c", rare) <= rank_of(found, "b", rare)


@pytest.mark.parametrize("level", LEVELS)
def test_probabilities_still_sum_to_one(shop, level):
    recommender, _ = shop
    found = recommender.recommend(level, k=1000, people=people(a="in", b=None))
    np.testing.assert_allclose(np.exp(found["score"]).groupby(found["user_id"]).sum(), 1, rtol=1e-4)


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_known_changes_nothing(shop, level):
    recommender, _ = shop
    nobody = pd.DataFrame({"user_id": ["c"], "product_id": None, "time": None})
    told = recommender.recommend(level, k=9, people=people(c=None))
    pd.testing.assert_frame_equal(told, recommender.recommend(level, None, nobody, k=9))


def test_who_has_a_history_is_their_history(shop):
    recommender, _ = shop
    users = list(recommender.user_ids[:3])
    told = recommender.categories(users, people=people(**dict.fromkeys(users, "in")))
    pd.testing.assert_frame_equal(told, recommender.categories(users))


def test_products_follow_their_category(shop):
    recommender, rare = shop
    found = recommender.products(k=240, people=people(a="in", b="out"))
    found = found[found["category"] == rare]
    mass = np.exp(found["score"]).groupby(found["user_id"]).sum()
    assert mass["a"] > mass["b"]


def test_a_value_that_nobody_has_is_told(shop):
    recommender, _ = shop
    recommender.categories(k=3, people=people(a="golf", b="in"))
    assert recommender.problems[["table", "row", "column", "value"]].to_numpy().tolist() == [
        ["people", 1, "club", "golf"]
    ]


def test_people_twice_or_without_an_id(shop):
    recommender, _ = shop
    given = pd.DataFrame({"user_id": ["a", "a", None], "club": ["in", "out", "in"]})
    assert recommender.categories(k=3, people=given)["user_id"].unique().tolist() == ["a"]
    assert recommender.problems["reason"].tolist() == ["user_id is empty", "the user is listed twice"]


def test_a_file_without_attributes(shop, tmp_path):
    (tmp_path / "who.csv").write_text("user_id,hat\na,red\n")
    with pytest.raises(InputError, match="no attribute is told"):
        shop[0].categories(people=tmp_path / "who.csv")


def test_a_run_that_knows_only_purchases(recommender):
    with pytest.raises(InputError, match="nothing of users but their purchases"):
        recommender.categories(people=people(a="in"))
