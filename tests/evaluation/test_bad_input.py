"""Odd shops and odd scores, in every scorer: refused in words, or ranked as the protocol says; nothing slips by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from data.splits import Targets, targets
from errors import InputError
from evaluation.baselines import Als, AlsConfig, Ease, EaseConfig, ItemCosine, Popularity, PopularityConfig
from evaluation.boosting import LightGbm, LightGbmConfig, evidence_of
from evaluation.distance import distances
from evaluation.evaluate import by_distance, by_popularity, evaluate
from evaluation.factorised import Factorised
from evaluation.ranking import Rankings, rank, tie_order
from evaluation.scorer import Problem, Scorer
from evaluation.tuning import run_baselines
from evidence.popularity import buyers

CUTOFF, HORIZON = 12, 8
TREES = LightGbmConfig(train_cutoffs=(4, 6), horizon=3, trees=3, leaves=3, min_rows=2, negative_share=1, num_threads=1)
SIMPLE = {
    "popularity": Popularity,
    "recent_popularity": lambda: Popularity(PopularityConfig(3)),
    "item_cosine": ItemCosine,
    "ease": lambda: Ease(EaseConfig(5.0)),
    "als": lambda: Als(AlsConfig(4, 1.0, num_threads=1)),
    "factorised": lambda: Factorised(Popularity()),
}
SCORERS = SIMPLE | {"lightgbm": lambda: LightGbm(TREES)}


class Same(Scorer):
    """Every item is as good as every other."""

    name = "same"

    def fit(self, problem):
        self.width = len(problem)
        return self

    def score(self, history, rows):
        return np.zeros((len(rows), self.width), dtype=np.float32)


def at(shop, name="category", cutoff=CUTOFF):
    """A problem and its targets."""
    level = shop.catalogue.levels.get(name)
    return Problem(shop, level, cutoff), targets(shop, level, cutoff, HORIZON)


@pytest.fixture(scope="module")
def full_user(make_shop, shop):
    """A shop with a user who has bought from every category, and does so again."""
    rows = shop.tables.interactions
    own = rows.iloc[:9].assign(user_id="all", product_id=[f"c{i}t0p0" for i in range(9)])
    return make_shop(pd.concat([own.assign(time=0), rows, own.assign(time=CUTOFF)], ignore_index=True))


@pytest.fixture(scope="module")
def one_category(make_shop):
    """One category; half of the users begin with it before the cut-off, at different times."""
    rows = make_shop(n_categories=1).tables.interactions
    first = rows["user_id"].str[1:].astype(int).map(lambda user: 2 + user // 5)
    first = np.where(first < CUTOFF - 6, first, 15)
    return make_shop(rows.assign(time=np.maximum(rows["time"], first)).sort_values("time"), n_categories=1)


@pytest.fixture(scope="module")
def only_children(make_shop, shop):
    """Categories 0 and 1 have a single product that anybody ever sees."""
    tables = shop.tables
    gone = tables.products["product_id"].str.match("c[01]") & ~tables.products["product_id"].str.endswith("t0p0")
    ids = set(tables.products.loc[gone, "product_id"])
    rows, held = tables.interactions, tables.memberships
    moved = rows["product_id"].where(~rows["product_id"].isin(ids), rows["product_id"].str[:2] + "t0p0")
    return type(shop).from_tables(
        replace(
            tables,
            products=tables.products[~gone],
            memberships=held[~held["product_id"].isin(ids)],
            interactions=rows.assign(product_id=moved),
        )
    )


# Splits and windows


@pytest.mark.parametrize("name", ["category", "type", "product"])
@pytest.mark.parametrize("cutoff", [19, 60])
def test_a_split_without_targets_is_refused(shop, name, cutoff):
    problem, wanted = at(shop, name, cutoff + 1)
    assert not len(wanted.users)
    with pytest.raises(InputError, match=f"no user has a target at the {name} level"):
        run_baselines({"popularity": [Popularity(), Popularity()]}, problem, wanted, *at(shop, name))
    with pytest.raises(InputError, match=f"no user has a target at the {name} level"):
        run_baselines({"popularity": [Popularity()]}, *at(shop, name), problem, wanted)


def test_nobody_to_average_over_is_refused():
    nobody = Rankings(np.empty(0, dtype=np.int64), np.empty((0, 5), np.int32), np.empty((0, 5), np.float32), 3)
    with pytest.raises(InputError, match="0 users to average over"):
        evaluate(nobody, Targets(np.ones((2, 3), dtype=bool), sp.csr_array((2, 3), dtype=np.float32)))


def test_groups_without_targets_are_not_there_or_null(shop):
    problem, wanted = at(shop)
    nothing = Targets(wanted.unseen, sp.csr_array(wanted.hits.shape, dtype=np.float32))
    ranked = rank(Same().fit(problem), problem, wanted)
    assert distances(problem, nothing).nnz == 0
    assert by_distance(ranked, distances(problem, nothing)) == {}
    parts = by_popularity(ranked, nothing, buyers(problem.history, problem.of_product, CUTOFF))
    assert {(part["targets"], part["ndcg@20"]) for part in parts.values()} == {(0, None)}


# Levels and users


@pytest.mark.parametrize("name", SCORERS)
def test_one_category_is_ranked_first_for_all_who_do_not_know_it(one_category, name):
    problem, wanted = at(one_category)
    ranked = rank(SCORERS[name]().fit(problem), problem, wanted, 3)
    np.testing.assert_array_equal(ranked.items, [[0, -1, -1]] * len(wanted.users))
    assert np.isfinite(ranked.scores[:, 0]).all()
    assert evaluate(ranked, wanted).summary["ndcg@20"] == 1


@pytest.mark.parametrize("name", SCORERS)
def test_a_user_without_an_unseen_category_has_no_target_and_moves_no_other(full_user, name):
    problem, wanted = at(full_user)
    user = list(full_user.user_ids).index("all")
    assert user not in wanted.users
    assert wanted.hits[[user]].nnz == 0
    scorer = SCORERS[name]().fit(problem)
    scores = scorer.score(problem.history.of_users(np.array([user])), np.array([user]))
    assert np.isfinite(scores).all()
    assert user not in rank(scorer, problem, wanted).users


@pytest.mark.parametrize("name", SCORERS)
def test_a_category_with_one_product(only_children, name):
    assert (np.asarray(only_children.catalogue.interest.of_product.sum(axis=0)).ravel()[:2] == 1).all()
    for level in ["category"] if name == "lightgbm" else ["category", "type", "product"]:
        problem, wanted = at(only_children, level)
        ranked = rank(SCORERS[name]().fit(problem), problem, wanted, len(problem))
        assert np.isfinite(ranked.scores[ranked.items >= 0]).all()
        assert evaluate(ranked, wanted).summary["recall@20"] is not None


def test_an_only_product_is_as_likely_as_its_category(only_children):
    interest, _ = at(only_children)
    products, wanted = at(only_children, "product")
    users = wanted.users[:5]
    history = products.history.of_users(users)
    own = Factorised(Popularity()).fit(products).score(history, users)
    above = Factorised(Popularity()).fit(interest).score(history, users)
    np.testing.assert_allclose(own[:, :2], above[:, :2], rtol=1e-5)


# Features and scores


class Flat:
    """Evidence in which every feature is the same for everybody."""

    def __init__(self, evidence):
        self.evidence = evidence
        self.items = np.full_like(evidence.items, 2)

    def __getattr__(self, name):
        return getattr(self.evidence, name)

    def pairs(self, history, rows):
        return np.zeros_like(self.evidence.pairs(history, rows))

    def users(self, history):
        return np.ones_like(self.evidence.users(history))


@pytest.mark.parametrize("objective", ["softmax", "binary", "lambdarank"])
def test_trees_on_constant_features_are_the_order_of_ties(shop, objective):
    problem, wanted = at(shop)
    real = evidence_of(shop, TREES.horizon)
    trees = LightGbm(replace(TREES, objective=objective), lambda cutoff: Flat(real(cutoff))).fit(problem)
    assert np.ptp(trees.score(problem.history, np.arange(problem.history.n_users))) == 0
    same = rank(Same().fit(problem), problem, wanted)
    np.testing.assert_array_equal(rank(trees, problem, wanted).items, same.items)


@pytest.mark.parametrize("name", ["category", "type", "product"])
@pytest.mark.parametrize("seed", [0, 3])
def test_equal_scores_are_in_the_order_of_ties(shop, name, seed):
    problem, wanted = at(shop, name)
    order = np.argsort(tie_order(problem.item_ids, seed))
    for row in rank(Same().fit(problem), problem, wanted, seed=seed).items:
        assert row[row >= 0].tolist() == [item for item in order if item in set(row)]


def test_the_seed_of_a_run_orders_the_baselines_ties(shop):
    problem, wanted = at(shop)
    done = {
        seed: run_baselines({"same": [Same()]}, problem, wanted, problem, wanted, seed=seed)["same"] for seed in (0, 3)
    }
    for seed, baseline in done.items():
        right = rank(Same().fit(problem), problem, wanted, seed=seed)
        np.testing.assert_array_equal(baseline.rankings.items, right.items)
    assert not np.array_equal(done[0].rankings.items, done[3].rankings.items)


class Broken(Same):
    """A training that diverged for one user alone, at an item that is no candidate even."""

    name = "broken"

    def score(self, history, rows):
        scores = np.zeros((len(rows), self.width), dtype=np.float32)
        scores[-1, -1] = np.nan
        return scores


def test_a_scorer_that_breaks_stops_the_tuning(shop):
    problem, wanted = at(shop)
    with pytest.raises(InputError, match="broken scores item 'c8' with nan"):
        run_baselines({"broken": [Same(), Broken()]}, problem, wanted, problem, wanted)
