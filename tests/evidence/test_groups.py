from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from data.log import Log
from evidence.groups import GroupEvidence

# Users 0 and 1 are young, 2 is old, of 3 nothing is known, 4 is old and bought nothing.
USERS = pd.DataFrame({"age": ["young", "young", "old", None, "old"]}, dtype="str")
BOUGHT = [(0, 0), (0, 0), (1, 0), (1, 1), (2, 1), (3, 2)]
NODES = sp.eye_array(4, dtype=np.float32, format="csr")


def log(bought=BOUGHT):
    user, product = (np.array(column, dtype=np.int32) for column in zip(*bought, strict=True))
    ones = np.ones(len(user), dtype=np.float32)
    order = np.arange(len(user), dtype=np.int32)
    return Log(user, product, order, ones, ones, order, product, len(USERS))


def people(*ages):
    return pd.DataFrame({"age": list(ages)}, dtype="str")


def test_known_answer():
    lift = GroupEvidence(log(), NODES, USERS, smoothing=2).of_people(people("young"))[0]
    share = np.array([2 / 3, 2 / 3])  # of three users whose age is known and who bought anything
    np.testing.assert_allclose(lift[:2], np.log((np.array([2, 1]) + 2 * share) / (2 + 2) / share), rtol=1e-6)
    assert lift[2] == lift[3] == 0  # nobody of a known age bought them


def test_what_is_unknown_adds_nothing():
    evidence = GroupEvidence(log(), NODES, USERS)
    assert not evidence.of_people(people(None, "ancient")).any()
    assert not evidence.of_people(pd.DataFrame({"height": ["tall"]})).any()
    assert evidence.known("age", pd.Series(["old", "ancient"])).tolist() == [True, False]


def test_attributes_add_up():
    users = USERS.assign(town=USERS["age"])
    both = pd.DataFrame({"age": ["old"], "town": ["old"]})
    once = GroupEvidence(log(), NODES, USERS).of_people(both)
    np.testing.assert_allclose(GroupEvidence(log(), NODES, users).of_people(both), 2 * once, rtol=1e-6)


def test_much_smoothing_makes_all_groups_alike():
    lift = GroupEvidence(log(), NODES, USERS, smoothing=1e9).of_people(people("young", "old"))
    np.testing.assert_allclose(lift, 0, atol=1e-6)


@pytest.mark.parametrize("times", [1, 3])
def test_a_user_counts_once(times):
    once = GroupEvidence(log(), NODES, USERS).of_people(people("young", "old"))
    np.testing.assert_array_equal(
        GroupEvidence(log(BOUGHT * times), NODES, USERS).of_people(people("young", "old")), once
    )
