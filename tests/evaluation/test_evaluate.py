from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from data.splits import Targets, targets
from errors import InputError
from evaluation.baselines import Ease, EaseConfig, Popularity, PopularityConfig, default_grids
from evaluation.evaluate import (
    Evaluation,
    basket_counts,
    by_activity,
    by_popularity,
    co_purchase_vectors,
    compare,
    evaluate,
    popularity_tiers,
    results,
)
from evaluation.ranking import Rankings, rank
from evaluation.scorer import Problem
from evaluation.tuning import run_baselines, settings, tune

HORIZON, VALIDATION, TEST = 5, 8, 14


def made(lists, relevant):
    lists = np.asarray(lists, dtype=np.int32)
    hits = sp.csr_array(np.asarray(relevant, dtype=np.float32))
    users = np.arange(len(lists))
    scores = np.where(lists >= 0, 1.0, -np.inf).astype(np.float32)
    return Rankings(users, lists, scores, hits.shape[1]), Targets(np.ones(hits.shape, dtype=bool), hits)


def evaluation_of(values) -> Evaluation:
    per_user = {"ndcg@20": np.asarray(values, dtype=float), "recall@20": np.asarray(values, dtype=float) / 2}
    return Evaluation(np.arange(len(values)), per_user, {"ndcg@20": float(np.mean(values))})


def test_names_and_means():
    found = evaluate(*made([[0, 1], [1, 0]], [[1, 0, 0], [1, 0, 1]]), ks=(1, 2))
    names = [f"{name}@{k}" for k in (1, 2) for name in ("recall", "ndcg", "hit_rate", "mrr")]
    assert list(found.summary) == [*names, "coverage@20", "diversity@20"]
    assert found.summary["recall@1"] == pytest.approx(0.5)
    assert found.summary["mrr@2"] == pytest.approx(0.75)
    assert found.summary["coverage@20"] == pytest.approx(2 / 3)
    assert found.per_user["hit_rate@1"].tolist() == [1, 0]


def test_what_cannot_be_computed_is_null():
    rankings, wanted = made([[0, -1]], [[1, 0]])
    assert evaluate(rankings, wanted).summary["diversity@20"] is None
    alone = evaluate(rankings, wanted, vectors=sp.csr_array(np.eye(2, dtype=np.float32)))
    assert alone.summary["diversity@20"] is None
    json.dumps(alone.summary, allow_nan=False)


def test_users_without_targets_are_not_averaged_in():
    with pytest.raises(InputError, match="not all with a target"):
        evaluate(*made([[0]], [[0, 0]]))


def test_metrics_json_has_the_agreed_form():
    ours, theirs = evaluation_of([0.5, 0.7, 0.9]), evaluation_of([0.4, 0.6, 0.8])
    found = results({"category": {"crossaisle": ours, "ease": theirs}, "type": {"ease": theirs}})
    assert set(found) == {"test", "difference"}
    assert found["test"]["category"]["crossaisle"] == {"ndcg@20": pytest.approx(0.7)}
    difference = found["difference"]["category"]["ease"]
    assert set(difference) == {"ndcg@20", "recall@20"}
    assert difference["ndcg@20"] == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1})
    assert "type" not in found["difference"]
    json.dumps(found, allow_nan=False)


def test_differences_are_paired():
    rng = np.random.default_rng(0)
    hard = rng.random(300)
    found = compare(evaluation_of(hard + 0.01), {"a": evaluation_of(hard), "b": evaluation_of(rng.random(300))})
    assert found["a"]["ndcg@20"] == pytest.approx({"mean": 0.01, "low": 0.01, "high": 0.01})
    width = found["b"]["ndcg@20"]["high"] - found["b"]["ndcg@20"]["low"]
    assert 0.05 < width < 0.15


def test_other_users_cannot_be_paired():
    other = evaluation_of([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="pop was evaluated on other users"):
        compare(evaluation_of([0.1, 0.2]), {"pop": other})


def test_nothing_to_compare_with():
    assert compare(evaluation_of([0.1]), {}) == {}


def test_by_activity():
    found = by_activity(evaluation_of([0.1, 0.3, 0.5]), np.array([1, 3, 31]), edges=(3, 10))
    assert list(found) == ["0–3", "4–10", "11+"]
    assert found["0–3"] == pytest.approx({"users": 2, "ndcg@20": 0.2, "recall@20": 0.1})
    assert found["4–10"] == {"users": 0, "ndcg@20": None, "recall@20": None}
    assert found["11+"]["ndcg@20"] == pytest.approx(0.5)


def test_baskets_are_counted_once(shop):
    history = shop.log.before(TEST)
    pairs = set(zip(history.user.tolist(), history.basket.tolist(), strict=True))
    expected = [sum(1 for user, _ in pairs if user == u) for u in range(history.n_users)]
    assert basket_counts(history).tolist() == expected


def test_tiers_hold_a_third_of_the_targets_each():
    wanted = sp.csr_array(np.array([[1, 1, 1, 0], [1, 0, 1, 1], [1, 0, 0, 1]], dtype=np.float32))
    tiers = popularity_tiers(wanted, np.array([9, 1, 5, 3], dtype=np.float32))
    # In order of popularity: item 0 (3 targets of 8), item 2 (2), item 3 (2), item 1 (1).
    assert tiers.tolist() == [0, 2, 1, 1]


def test_by_popularity_counts_a_tiers_targets_only():
    rankings, wanted = made([[0, 1, 2], [2, 1, 0]], [[1, 0, 1], [0, 1, 0]])
    found = by_popularity(rankings, wanted, np.array([9, 5, 1], dtype=np.float32), ks=(1, 2))
    assert found["head"]["users"] == 1
    assert found["head"]["recall@1"] == 1
    assert (found["middle"]["recall@1"], found["middle"]["recall@2"]) == (0, 1)
    assert (found["tail"]["targets"], found["tail"]["recall@2"]) == (1, 0)


def test_by_popularity_without_targets_in_a_tier_is_null():
    found = by_popularity(*made([[0, 1]], [[1, 0]]), np.array([2, 1], dtype=np.float32))
    assert found["tail"]["ndcg@20"] is None
    json.dumps(found, allow_nan=False)


def problems(shop, level=None):
    return (
        *(Problem(shop, level, VALIDATION), targets(shop, level, VALIDATION, HORIZON)),
        *(Problem(shop, level, TEST), targets(shop, level, TEST, HORIZON)),
    )


def test_tuning_takes_the_best_of_validation_and_fits_it_for_the_test(shop):
    validation, wanted, test, _ = problems(shop, shop.catalogue.interest)
    grid = [Popularity(PopularityConfig(1)), Popularity(), Ease(EaseConfig(5.0))]
    tuned = tune(grid, validation, wanted, test)
    values = [evaluate(rank(s.fit(validation), validation, wanted), wanted).summary["ndcg@20"] for s in grid]
    assert [trial.value for trial in tuned.trials] == pytest.approx(values)
    assert tuned.best == int(np.argmax(values))
    refit = type(tuned.scorer)(tuned.scorer.config).fit(test)
    users = np.arange(5)
    history = test.history.of_users(users)
    np.testing.assert_array_equal(
        tune(grid, validation, wanted, test).scorer.score(history, users), refit.score(history, users)
    )


def test_a_grid_of_one_needs_no_trial(shop):
    validation, wanted, test, _ = problems(shop, shop.catalogue.interest)
    tuned = tune([Popularity()], validation, wanted, test)
    assert tuned.trials == []
    assert settings(tuned.scorer) == {"window": None}


def test_an_empty_grid_is_refused(shop):
    validation, wanted, test, _ = problems(shop, shop.catalogue.interest)
    with pytest.raises(ValueError, match="empty grid"):
        tune([], validation, wanted, test)


@pytest.mark.parametrize("level", ["category", "type", "product"])
def test_all_baselines_from_end_to_end(shop, level):
    validation, wanted, test, test_wanted = problems(shop, shop.catalogue.levels.get(level))
    done = run_baselines(default_grids(test), validation, wanted, test, test_wanted, k=30)
    vectors = co_purchase_vectors(test.interactions)
    found = {name: evaluate(b.rankings, test_wanted, vectors=vectors) for name, b in done.items()}
    document = results({level: {"crossaisle": found["ease"], **{k: v for k, v in found.items() if k != "ease"}}})
    json.dumps(document, allow_nan=False)
    assert set(document["difference"][level]) == {"popularity", "recent_popularity", "item_cosine", "als"}


def test_what_was_bought_together_beats_popularity_where_users_have_tastes(make_shop):
    big = make_shop(n=5000, n_users=400, n_categories=24)
    validation, wanted, test, test_wanted = problems(big, big.catalogue.interest)
    done = run_baselines(default_grids(test), validation, wanted, test, test_wanted)
    found = {name: evaluate(baseline.rankings, test_wanted) for name, baseline in done.items()}
    for name in ("item_cosine", "ease", "als"):
        assert compare(found[name], {"popularity": found["popularity"]})["popularity"]["ndcg@20"]["low"] > 0, name
