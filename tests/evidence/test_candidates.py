from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from data.splits import targets
from evidence.candidates import CandidateEvidence
from evidence.config import CandidateConfig, EvidenceConfig, WithinConfig
from evidence.cooccurrence import cosine_weights, ease_weights
from evidence.interest import USERS_OF_LAMBDA
from evidence.neighbours import Shoppers
from evidence.within import WithinEvidence

CUTOFF = 15
WINDOWS = EvidenceConfig(horizon=6)
USERS = np.arange(0, 80, 7)


@pytest.fixture(params=["type", "product"])
def level(request):
    return request.param


def fitted(dataset, level, **settings):
    node = dataset.catalogue.levels.get(level)
    return CandidateEvidence(dataset, node, CUTOFF, WINDOWS, CandidateConfig(**settings))


def some(n_items, users=USERS):
    """Twelve candidates for each user."""
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(n_items)[:12] for _ in users])


def ask(dataset, level, users=USERS, rows=None, candidates=None, **settings):
    evidence = fitted(dataset, level, **settings)
    n_items = len(dataset.catalogue.product_ids) if level == "product" else len(dataset.catalogue.levels[level])
    candidates = some(n_items, users) if candidates is None else candidates
    found = evidence.of(dataset.log.before(CUTOFF).of_users(users), users if rows is None else rows, candidates)
    return dict(zip(evidence.names, np.moveaxis(found, 2, 0), strict=True)), candidates


def purchases(dataset, level, since=0):
    """Binary purchases before the cut-off, dense, by plain counting."""
    part = dataset.log.between(since, CUTOFF)
    node = dataset.catalogue.levels.get(level)
    item = part.product if node is None else node.primary[part.product]
    n_items = len(dataset.catalogue.product_ids) if node is None else len(node)
    out = np.zeros((dataset.log.n_users, n_items))
    out[part.user, item] = 1
    return out


def similarity(dataset):
    """Users' cosine over TF-IDF of products, 0 with oneself, densely."""
    history = dataset.log.before(CUTOFF)
    lines = np.zeros((history.n_users, len(dataset.catalogue.product_ids)))
    np.add.at(lines, (history.user, history.product), 1)
    idf = np.log((history.n_active + 1) / ((lines > 0).sum(axis=0) + 1))
    weighted = np.log1p(lines) * idf
    unit = weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-6)
    found = unit @ unit.T
    np.fill_diagonal(found, 0)
    return found


def test_sums_over_users_by_brute_force(shop, level):
    found, candidates = ask(shop, level, neighbours=[5, 3], recent_windows=[4])
    alike = similarity(shop)[USERS]
    kept = {k: np.where(alike >= np.sort(alike, axis=1)[:, [-k]], alike, 0) for k in (5, 3)}
    recent = purchases(shop, level, CUTOFF - WINDOWS.periods(4))
    expected = {
        "similar_users": alike @ purchases(shop, level),
        "neighbours_5": kept[5] @ purchases(shop, level),
        "neighbours_3": kept[3] @ purchases(shop, level),
        "neighbours_5_4": kept[5] @ recent,
    }
    for name, values in expected.items():
        asked = np.take_along_axis(values, candidates, axis=1)
        np.testing.assert_allclose(found[name], np.log1p(asked), atol=1e-5, err_msg=name)


def test_cosine_with_what_was_bought_and_more_of_it_where_few_did(shop, level):
    found, candidates = ask(shop, level)
    bought = purchases(shop, level)
    weights = cosine_weights(sp.csr_array(bought.astype(np.float32))).toarray() + np.diag(bought.any(axis=0))
    rarity = 1 / np.sqrt(np.maximum(bought.sum(axis=0), 1))
    expected = np.take_along_axis(((bought * rarity) @ weights)[USERS], candidates, axis=1)
    np.testing.assert_allclose(found["cosine"], np.log1p(expected), atol=1e-5)


def test_ease_is_that_of_the_whole_level(shop):
    found, candidates = ask(shop, "type", ease_regularisation=700.0)
    bought = sp.csr_array(purchases(shop, "type").astype(np.float32))
    active = shop.log.before(CUTOFF).n_active
    scores = bought @ ease_weights(bought, 700.0 * active / USERS_OF_LAMBDA)
    np.testing.assert_allclose(found["ease_binary"], np.take_along_axis(scores[USERS], candidates, 1), atol=1e-5)
    assert not np.allclose(found["ease_log"], found["ease_recent"])


def test_no_ease_for_too_many_nodes(shop, level):
    assert not [name for name in fitted(shop, level, ease_max_items=3).names if "ease" in name]


@pytest.mark.parametrize("how", ["drawn anew", "gone"])
def test_the_future_moves_nothing(shop, futures, level, how):
    before, _ = ask(shop, level)
    after, _ = ask(futures[how](shop, CUTOFF), level)
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name], err_msg=name)


def test_one_by_one_is_as_in_a_batch(shop, level):
    together, candidates = ask(shop, level)
    for place, user in enumerate(USERS):
        alone, _ = ask(shop, level, np.array([user]), candidates=candidates[[place]])
        for name, values in alone.items():
            np.testing.assert_allclose(values[0], together[name][place], atol=1e-5, err_msg=name)


def test_a_stranger_is_their_history(shop, level):
    """Who has the same history as somebody has that one for a neighbour too."""
    known, candidates = ask(shop, level)
    stranger, _ = ask(shop, level, rows=np.full(len(USERS), -1), candidates=candidates)
    np.testing.assert_allclose(stranger["cosine"], known["cosine"], atol=1e-5)
    assert (stranger["similar_users"] >= known["similar_users"] - 1e-6).all()


def test_nobody_is_moved_by_their_own_purchases(shop, level):
    """Evidence on unseen items: it would tell the past apart from the future."""
    bought = targets(shop, shop.catalogue.levels.get(level), CUTOFF, 6)
    users = bought.users[:5]
    found, _ = ask(shop, level, users)
    assert all(np.isfinite(values).all() for values in found.values())
    alone, _ = ask(shop, level, users, candidates=some(5, users), neighbours=[1])
    assert (alone["neighbours_1"] < np.log1p(1)).all()


def test_what_is_fitted_already_changes_nothing(shop, level):
    """The cut-off's shoppers and the within evidence's EASE serve the candidates too."""
    node = shop.catalogue.levels.get(level)
    parent = shop.catalogue.interest.primary if node is None else np.zeros(len(node), dtype=np.int64)
    within = WithinEvidence(shop, node, parent, CUTOFF, WINDOWS, WithinConfig())
    shoppers = Shoppers(shop.log.before(CUTOFF), len(shop.catalogue.product_ids))
    given = CandidateEvidence(shop, node, CUTOFF, WINDOWS, CandidateConfig(), shoppers, within.ease)
    assert given._ease["log"] is within.ease[CandidateConfig().ease_regularisation]
    history, candidates = shop.log.before(CUTOFF).of_users(USERS), some(given._of_product.shape[1])
    np.testing.assert_array_equal(
        given.of(history, USERS, candidates), fitted(shop, level).of(history, USERS, candidates)
    )


def test_weights_of_another_regularisation_are_not_taken(shop):
    other = {700.0: np.zeros(1, dtype=np.float32)}
    config = CandidateConfig(ease_regularisation=500.0)
    found = CandidateEvidence(shop, shop.catalogue.levels["type"], CUTOFF, WINDOWS, config, None, other)
    np.testing.assert_array_equal(found._ease["log"], fitted(shop, "type", ease_regularisation=500.0)._ease["log"])
