from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from data.config import DataConfig, SyntheticConfig
from data.load import load
from data.splits import targets
from evidence.config import EvidenceConfig, WithinConfig
from evidence.within import WithinEvidence
from training.choices import list_choices
from training.cutoffs import Chain

CUTOFF, HORIZON = 10, 6


@pytest.fixture(scope="module")
def shop():
    sizes = SyntheticConfig(products=120, users=50, departments=3, categories=12, types_per_category=3, periods=20)
    return load(DataConfig(source="synthetic", synthetic=sizes))


@pytest.fixture(scope="module", params=[0, 1], ids=["type", "product"])
def case(request, shop):
    """Evidence, history and what was bought, at one step of the chain."""
    chain = Chain.of(shop)
    level, parent = chain.levels[request.param], chain.parents[request.param]
    evidence = WithinEvidence(shop, level, parent, CUTOFF, EvidenceConfig(horizon=HORIZON), WithinConfig())
    found = targets(shop, level, CUTOFF, HORIZON)
    return evidence, shop.log.before(CUTOFF), found.hits, found.users


def listed(case, most=10_000, seed=0, users=None, batch=64):
    evidence, history, hits, everybody = case
    users = everybody if users is None else users
    return list_choices(evidence, history, hits, users, most, np.random.default_rng(seed), batch)


def test_the_chain_goes_from_categories_to_products(shop):
    chain = Chain.of(shop)
    catalogue = shop.catalogue
    assert [level.name if level else None for level in chain.levels] == ["type", None]
    product = catalogue.below.primary
    np.testing.assert_array_equal(chain.parents[1], product)
    np.testing.assert_array_equal(chain.parents[0][product], catalogue.interest.primary)


def test_every_choice_lists_all_siblings(case):
    evidence, _, hits, users = case
    expected = {}
    for user in users:
        bought = set(hits[[user]].indices.tolist())
        for parent in {evidence.parent[child] for child in bought}:
            siblings = np.flatnonzero(evidence.parent == parent)
            expected[user, parent] = {(int(child), int(child) in bought) for child in siblings}
    choices = listed(case)
    found = {}
    for segment in np.unique(choices.segment):
        rows = choices.segment == segment
        user, parent = set(choices.user[rows]), set(evidence.parent[choices.child[rows]])
        assert len(user) == len(parent) == 1
        key = (user.pop(), parent.pop())
        assert key not in found
        found[key] = set(zip(choices.child[rows].tolist(), choices.chosen[rows].tolist(), strict=True))
        assert rows.sum() == len(found[key])
    assert found == expected
    assert len(expected) > 10
    assert not choices.offset.any()
    assert (np.diff(choices.user) >= 0).all()
    assert set(np.diff(choices.segment)) <= {0, 1}


def test_evidence_is_that_of_user_and_child(case):
    evidence, history, _, _ = case
    choices = listed(case)
    assert choices.pairs.shape == (len(choices.user), len(evidence.pair_names))
    for user in np.unique(choices.user)[:8]:
        rows = choices.user == user
        dense = evidence.pairs(history.of_users(np.array([user])))
        expected = np.stack([values[0][choices.child[rows]] for values in dense], axis=1)
        np.testing.assert_allclose(choices.pairs[rows], expected, rtol=1e-5, atol=1e-6)


def test_batches_do_not_matter(case):
    one, other = listed(case, batch=1), listed(case, batch=1000)
    for name in ("user", "child", "segment", "chosen", "offset"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_allclose(one.pairs, other.pairs, rtol=1e-5, atol=1e-6)


def test_a_sample_of_siblings_and_its_offset(case):
    evidence, _, _, _ = case
    full, sampled = listed(case), listed(case, most=1)
    assert len(sampled.user) < len(full.user)
    assert sampled.chosen.sum() == full.chosen.sum()
    for segment in np.unique(sampled.segment):
        rows = sampled.segment == segment
        taken, others = rows & sampled.chosen, rows & ~sampled.chosen
        n_others = (evidence.parent == evidence.parent[sampled.child[rows][0]]).sum() - taken.sum()
        assert others.sum() == min(1, n_others)
        assert not sampled.offset[taken].any()
        np.testing.assert_allclose(sampled.offset[others], np.log(max(n_others, 1)), rtol=1e-6)


def test_the_sampled_softmax_is_that_of_all_on_average(case):
    evidence, _, _, users = case
    scores = np.random.default_rng(5).normal(size=len(evidence.parent))
    user = users[:1]
    full = listed(case, users=user)
    expected = np.bincount(full.segment, np.exp(scores[full.child]))
    draws = []
    for seed in range(400):
        found = listed(case, most=2, seed=seed, users=user)
        draws.append(np.bincount(found.segment, np.exp(scores[found.child] + found.offset)))
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - expected) <= 4 * error + 1e-6).all()


def test_the_same_seed_gives_the_same_sample(case):
    one, again, other = listed(case, most=1), listed(case, most=1), listed(case, most=1, seed=1)
    np.testing.assert_array_equal(one.child, again.child)
    assert not np.array_equal(one.child, other.child)


def test_the_choices_of_some_users(case):
    whole, users = listed(case), case[3][[1, 4, 5]]
    part = whole.of_users(users)
    alone = listed(case, users=users)
    np.testing.assert_array_equal(users[part.user], alone.user)
    for name in ("child", "segment", "chosen"):
        np.testing.assert_array_equal(getattr(part, name), getattr(alone, name), err_msg=name)
    np.testing.assert_allclose(part.pairs, alone.pairs, rtol=1e-5, atol=1e-6)


def test_users_without_a_choice(case):
    whole = listed(case)
    stranger = np.setdiff1d(np.arange(50), case[3])[:2]
    assert len(stranger)
    assert len(whole.of_users(stranger).user) == 0
    nobody = whole.of_users(np.zeros(0, dtype=np.int64))
    assert len(nobody.user) == len(nobody.segment) == 0
    for users in (stranger, np.zeros(0, dtype=np.int64)):
        none = listed(case, users=users)
        assert len(none.user) == 0
        assert none.pairs.shape == (0, len(case[0].pair_names))


def test_a_child_without_a_parent_is_no_choice(case):
    evidence, history, hits, users = case
    orphan = int(np.asarray(hits.sum(axis=0)).argmax())
    kept = evidence.parent
    evidence.parent = np.where(np.arange(len(kept)) == orphan, -1, kept)
    try:
        found = list_choices(evidence, history, sp.csr_array(hits), users, 10_000, np.random.default_rng(0))
    finally:
        evidence.parent = kept
    assert orphan not in found.child
    assert orphan in listed(case).child
