"""Late purchases beside the whole history: by hand, as a mixture, and on a trained run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cli
from data.log import Log
from errors import InputError
from recommend import Emphasis, Recommender


@pytest.fixture
def history():
    """User 0 buys in periods 1, 5, 9, 9 (two baskets), user 1 in period 2 alone, user 2 nothing; the cut-off is 10."""
    time = np.array([1, 2, 5, 9, 9], dtype=np.int32)
    user = np.array([0, 1, 0, 0, 0], dtype=np.int32)
    basket = np.array([7, 8, 3, 4, 2], dtype=np.int32)
    ones = np.ones(5, dtype=np.float32)
    return Log(user, np.arange(5, dtype=np.int32), time, ones, ones, basket, np.zeros(5, dtype=np.int32), 3)


def test_parts_by_hand(history):
    found = Emphasis(recent=0.4, half_life=2, last_basket=0.2).parts(history, 10)
    weights, parts = zip(*found, strict=True)
    np.testing.assert_allclose(weights, [0.4, 0.2, 0.1, 0.1, 0.2])
    # The last 2, 4, 6 periods and the last basket; user 1, who is in none of these, keeps the whole history.
    assert [part.product.tolist() for part in parts] == [[0, 1, 2, 3, 4], [1, 3, 4], [1, 3, 4], [1, 2, 3, 4], [1, 4]]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 9))
def test_weights_sum_to_one(recent, share, half_life):
    emphasis = Emphasis(recent, half_life, (1 - recent) * share)
    time = np.array([3, 8], dtype=np.int32)
    ones, none = np.ones(2, dtype=np.float32), np.zeros(2, dtype=np.int32)
    log = Log(none, none, time, ones, ones, none, none, 1)
    assert sum(weight for weight, _ in emphasis.parts(log, 10)) == pytest.approx(1)
    mixed = emphasis.mixed(log, 10, lambda part: np.log(np.array([[0.25, 0.75, 0]], dtype=np.float32) + 1e-30))
    np.testing.assert_allclose(np.exp(mixed), [[0.25, 0.75, 0]], rtol=1e-4, atol=1e-9)


def test_nothing_emphasised_is_the_plain_answer(history):
    marks = np.zeros((3, 2), dtype=np.float32)
    assert Emphasis().mixed(history, 10, lambda part: marks if part is history else None) is marks


@pytest.mark.parametrize("level", ["category", "product"])
def test_the_last_basket_alone(recommender, level):
    user = str(recommender.user_ids[3])
    rows = recommender.dataset.tables.interactions
    rows = rows[(rows["user_id"] == user) & (rows["time"] < recommender.run.scorer.cutoff.time)]
    rows = rows.sort_values("time", kind="stable")
    last = rows[rows["basket_id"] == rows["basket_id"].iloc[-1]].assign(user_id=user)
    assert 0 < len(last) < len(rows)
    found = recommender.recommend(level, [user], k=100, emphasis=Emphasis(last_basket=1.0))["item_id"]
    alone = recommender.recommend(level, histories=last, k=1000)["item_id"]
    assert list(found) == [item for item in alone if item in set(found)][: len(found)]


def test_lists_are_the_same_alone_and_in_a_batch(recommender):
    users, emphasis = list(map(str, recommender.user_ids[:12])), Emphasis(recent=0.5, half_life=2, last_basket=0.3)
    together = recommender.categories(users, k=5, emphasis=emphasis)
    alone = pd.concat([recommender.categories([user], k=5, emphasis=emphasis) for user in users], ignore_index=True)
    assert together["item_id"].tolist() == alone["item_id"].tolist()
    np.testing.assert_allclose(together["score"], alone["score"], rtol=1e-4)
    plain = recommender.categories(users, k=5)
    assert (plain["score"].to_numpy() != together["score"].to_numpy()).any()
    within = recommender.products(users, k=5, within=2, emphasis=emphasis)
    best = together[together["rank"] <= 2].groupby("user_id")["item_id"].agg(set)
    assert all(row.category in best[row.user_id] for row in within.itertuples())


def test_after_an_update_ages_count_from_the_latest_purchase(recommender):
    user, products = str(recommender.user_ids[0]), recommender.dataset.catalogue.product_ids[[3, 30]]
    cutoff = recommender.run.scorer.cutoff.time
    later = pd.DataFrame({"user_id": user, "product_id": products, "time": cutoff + 2, "basket_id": "new"})
    recommender.update(later)
    found = recommender.categories([user], k=50, emphasis=Emphasis(last_basket=1.0))
    alone = recommender.categories(histories=later, k=500)
    both = set(found["item_id"])
    assert found["item_id"].tolist() == [item for item in alone["item_id"] if item in both][: len(found)]


def test_strangers_and_newcomers(recommender):
    rows = recommender.dataset.tables.interactions
    user, emphasis = str(recommender.user_ids[3]), Emphasis(recent=0.5, half_life=2)
    own = rows[(rows["user_id"] == user) & (rows["time"] < recommender.run.scorer.cutoff.time)]
    nobody = pd.DataFrame({"user_id": ["nobody"], "product_id": [None], "time": [None]})
    together = recommender.categories(histories=pd.concat([own, nobody]), k=5, emphasis=emphasis)
    known = recommender.categories([user], k=5, emphasis=emphasis)
    of_user = together[together["user_id"] == user]
    assert of_user["item_id"].tolist() == known["item_id"].tolist()
    plain = recommender.categories(histories=nobody, k=5)
    newcomer = together[together["user_id"] == "nobody"]
    np.testing.assert_allclose(newcomer["score"], plain["score"], rtol=1e-4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"recent": 1.5}, "recent is 1.5"),
        ({"last_basket": -1}, "last_basket is -1"),
        ({"recent": 0.7, "last_basket": 0.7}, "are 1.4 together"),
        ({"half_life": 0}, "half_life is 0"),
    ],
)
def test_what_no_emphasis_is(given, words):
    with pytest.raises(InputError, match=words):
        Emphasis(**given)


def test_the_command_takes_it(finished, recommender, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(Recommender, "load", lambda folder, store=None: recommender)
    user, out = str(recommender.user_ids[0]), tmp_path / "lists.csv"
    given = ["--user", user, "--k", "4", "--recent", "0.5", "--half_life", "3", "--out", str(out)]
    assert cli.main(["recommend", str(finished.folder), *given]) == 0
    wanted = recommender.categories([user], k=4, emphasis=Emphasis(0.5, 3))["item_id"]
    assert pd.read_csv(out)["item_id"].tolist() == wanted.tolist()
    assert cli.main(["recommend", str(finished.folder), "--user", user, "--recent", "7"]) == 2
    assert "recent is 7" in capsys.readouterr().err
