"""What is refused with which words, and what is left out, told and gone on without."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from errors import InputError
from recommend import Filters, Recommender
from training.loaded import load_run

GOOD = {"user_id": "u", "product_id": "p1", "time": 3, "quantity": 1, "value": 2.5}


def told(recommender):
    """Rows and reasons of the last call's problems."""
    return list(recommender.problems[["table", "row", "value", "reason"]].itertuples(index=False, name=None))


def test_unknown_users_are_told_and_the_others_answered(recommender):
    known = recommender.user_ids[0]
    found = recommender.categories(["nobody", known, "no one"], k=2)
    assert set(found["user_id"]) == {known}
    reason = "the run knows no such user"
    assert told(recommender) == [("users", 1, "nobody", reason), ("users", 3, "no one", reason)]
    with pytest.raises(InputError, match="the run knows no user 'nobody'"):
        recommender.categories(["nobody"])


def test_rows_of_a_history_that_cannot_be_used_are_told(recommender):
    rows = [
        GOOD,
        GOOD | {"product_id": "unheard of"},
        GOOD | {"time": "soon"},
        GOOD | {"quantity": -1},
        GOOD | {"user_id": None},
        GOOD | {"user_id": "other", "value": "much"},
    ]
    found = recommender.categories(histories=pd.DataFrame(rows), k=2)
    assert set(found["user_id"]) == {"u", "other"}
    assert sorted(told(recommender)) == [
        ("history", 2, "unheard of", "the product is not in the catalogue"),
        ("history", 3, "soon", "time is no whole number"),
        ("history", 4, "-1.0", "quantity is a return: quantity below 0"),
        ("history", 5, "", "user_id is empty"),
        ("history", 6, "much", "value is no number"),
    ]
    alone = recommender.categories(histories=pd.DataFrame([GOOD]), k=2)
    pd.testing.assert_frame_equal(found[found["user_id"] == "u"], alone)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pd.DataFrame({"user_id": [], "product_id": [], "time": []}), "no rows"),
        (pd.DataFrame({"user_id": ["u"], "products": ["p1"], "time": [3]}), "Did you mean 'products'"),
        ("nowhere.csv", "no such file"),
    ],
)
def test_histories_that_are_none(recommender, given, words):
    with pytest.raises(InputError, match=words):
        recommender.categories(histories=given)


def test_no_parquet(recommender, tmp_path):
    (tmp_path / "h.parquet").write_text("user_id,product_id,time\n")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        recommender.update(tmp_path / "h.parquet")


def test_fewer_candidates_than_asked_for(recommender):
    user = recommender.user_ids[0]
    found = recommender.categories([user], k=500)
    assert told(recommender) == [("lists", 1, user, f"only {len(found)} of 500 candidates")]


def test_filters_that_leave_one_user_nothing(recommender):
    one, other = recommender.user_ids[:2]
    level = recommender.dataset.catalogue.interest
    has = (recommender.history.counts(level.of_product) > 0).toarray()
    only = str(level.ids[np.flatnonzero(has[0] & ~has[1])[0]])
    found = recommender.categories([one, other], k=1, filters=Filters(categories=[only]))
    assert set(found["user_id"]) == {other}
    assert told(recommender) == [("lists", 1, one, "no candidate")]
    with pytest.raises(InputError, match="nobody has a candidate"):
        recommender.categories([one], filters=Filters(categories=[only]))


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (Filters(stock=["unheard of"]), "holds none of the 1 products"),
        (Filters(stock=[]), "holds none of the 0 products"),
        (Filters(brands=["No Such"]), "there is no brand 'No Such'"),
        (Filters(categories=["department 0 > categroy 0"]), "Did you mean 'department 0 > category 0'"),
        (Filters(price_from=5, price_to=1), "no price lies from 5 to 1"),
        (Filters(price_from=1e9), "leave no product"),
    ],
)
def test_filters_that_cannot_be(recommender, filters, words):
    with pytest.raises(InputError, match=words):
        recommender.products([recommender.user_ids[0]], filters=filters)


def test_an_incomplete_stock_list_is_told(recommender):
    stock = [*recommender.dataset.catalogue.product_ids, "unheard of"]
    recommender.products([recommender.user_ids[0]], filters=Filters(stock=stock), k=2)
    assert told(recommender) == [("stock", 1, "unheard of", "the product is not in the catalogue")]


def test_no_price_without_spend(recommender):
    recommender.history = replace(recommender.history, value=np.zeros_like(recommender.history.value))
    with pytest.raises(InputError, match="the data tell no spend"):
        recommender.products(filters=Filters(price_to=3))


def test_no_brand_without_the_attribute(recommender, loaded):
    catalogue = replace(loaded.dataset.catalogue, attributes={"maker": (np.array(["x"]), np.zeros(240, dtype=int))})
    with pytest.raises(InputError, match="Attributes of these data: maker"):
        Filters(brands=["x"]).products(catalogue, recommender.history)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 0}, "k is 0"),
        ({"within": 0}, "within is 0"),
        ({"diversity": 2}, "from 0 to 1"),
        ({"by": "best"}, "mmr, dpp, calibrated, cap"),
        ({"level": "shelf"}, "category, type, product"),
    ],
)
def test_arguments(recommender, options, words):
    with pytest.raises(InputError, match=words):
        recommender.recommend(**{"level": "product"} | options)


def test_departments_are_needed_by_those_who_look_at_them(recommender, users_without_departments):
    with pytest.raises(InputError, match="needs a level over the interest level"):
        users_without_departments.categories(diversity=0.5, by="cap")
    assert len(users_without_departments.categories(k=3, diversity=0.5, by="mmr"))
    assert len(users_without_departments.products(k=3, diversity=0.5, by="cap"))


@pytest.fixture
def users_without_departments(loaded):
    catalogue = loaded.dataset.catalogue
    levels = {name: level for name, level in catalogue.levels.items() if level is not catalogue.above}
    dataset = replace(loaded.dataset, catalogue=replace(catalogue, levels=levels))
    return Recommender(replace(loaded, dataset=dataset))


@pytest.mark.parametrize("part", ["model.json", "model.safetensors"])
def test_a_run_that_was_half_copied(finished, store, tmp_path, part):
    for name in ("model.json", "model.safetensors", "config.yaml"):
        if name != part:
            shutil.copy(finished.folder / name, tmp_path / name)
    with pytest.raises(InputError, match=part):
        load_run(tmp_path, store)


def test_a_run_of_another_version(finished, store, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "model.json").read_text())
    (tmp_path / "run" / "model.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        Recommender.load(tmp_path / "run", store)
