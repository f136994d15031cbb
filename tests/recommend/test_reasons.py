"""Reasons: what adds up adds up, what is named counts, and paths are those of the store."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import cli
from benchmarks import reasons
from data.splits import unseen_categories
from errors import InputError
from kg import picture
from kg.answer import Answer, GraphEdge, GraphNode, GraphPath
from kg.config import StoreConfig
from recommend import Recommender, paths
from recommend.attribution import Attribution, Purchases, shapley_weights


@pytest.fixture
def user(recommender):
    """Row of the user with most bought categories."""
    unseen = unseen_categories(recommender.history, recommender.dataset.catalogue.interest)
    return int(unseen.sum(axis=1).argmin())


@pytest.fixture
def asked(recommender, user):
    history = recommender.history.of_users(np.array([user]))
    return history, unseen_categories(history, recommender.dataset.catalogue.interest)


def first(recommender, user, level="category"):
    return recommender.recommend(level, [recommender.user_ids[user]], k=1)["item_id"][0]


def test_shapley_values_of_a_game_worked_out_by_hand():
    sets = np.array([[False, False], [False, True], [True, False], [True, True]])
    worth = np.array([1.0, 2.0, 4.0, 9.0])
    # The first player brings 3 or 7, the second 1 or 5.
    np.testing.assert_allclose(shapley_weights(sets) @ worth, [5.0, 3.0])


def test_parts_add_up_to_what_the_category_has_over_a_guess(recommender, user, asked):
    history, unseen = asked
    scorer, row = recommender.run.scorer, np.array([user])
    adds = Attribution(scorer).shapley(history, row, unseen).sum(axis=0)
    wanted = scorer.at_interest().score(history, row) + np.log(unseen.sum())
    np.testing.assert_allclose(adds[unseen], wanted[unseen], atol=1e-4)


def test_with_no_part_all_candidates_are_equal(recommender, user, asked):
    history, unseen = asked
    found = Attribution(recommender.run.scorer).log_p(history, np.array([user]), unseen, [])
    np.testing.assert_allclose(found[unseen], -np.log(unseen.sum()), atol=1e-5)


def test_without_a_purchase_is_the_shorter_history(recommender, user, asked):
    history, unseen = asked
    scorer, level = recommender.run.scorer, recommender.dataset.catalogue.interest
    purchases = Purchases(scorer, history, user, unseen[0])
    gone = purchases.bought[0]
    kept = level.of_product[:, [gone]].toarray().ravel()[history.product] == 0
    names = ("user", "product", "time", "quantity", "value", "basket", "store")
    shorter = replace(history, **{name: getattr(history, name)[kept] for name in names})
    wanted = scorer.at_interest().score_among(shorter, np.array([user]), unseen)[0]
    whole, candidates = scorer.score_among(history, np.array([user]), unseen)[0], unseen[0]
    change = purchases.leave_one_out()[0]
    np.testing.assert_allclose(change[candidates], whole[candidates] - wanted[candidates], atol=1e-5)
    assert np.abs(change[unseen[0]]).max() > 0
    np.testing.assert_allclose(purchases.attention().sum(), 1, rtol=1e-5)


def test_reasons_of_a_category_agree_with_its_list_and_the_store(recommender, user, tmp_path):
    item = first(recommender, user)
    found = recommender.explain(recommender.user_ids[user], item)
    listed = recommender.categories([recommender.user_ids[user]], k=1)
    assert found.place == 1
    np.testing.assert_allclose(found.log_p, listed["score"][0], rtol=1e-5)
    np.testing.assert_allclose(found.parts["adds"].sum(), found.log_p + np.log(found.candidates), atol=1e-4)
    assert found.purchases["change"].is_monotonic_decreasing
    np.testing.assert_allclose(found.modalities["attention"].sum(), 1, rtol=1e-5)
    assert len(found.paths) or "no path" in found.notes[0]
    names = set(found.purchases["name"])
    assert all(path[0] in names and path[-1] == found.category for path in found.paths["names"])
    ids = set(found.purchases["category_id"])
    assert all(path[0] in ids and path[-1] == found.category_id for path in found.paths["ids"])
    assert found.category in found.sentence
    picture.draw(found.graph, tmp_path / "reasons.svg")
    assert "customer" in (tmp_path / "reasons.svg").read_text()


def test_steps_of_a_product_add_up_to_its_score(recommender, user):
    name = recommender.user_ids[user]
    listed = recommender.products([name], k=1)
    found = recommender.explain(name, listed["item_id"][0], with_paths=False)
    np.testing.assert_allclose(found.steps["adds"].sum(), listed["score"][0], rtol=1e-4)
    assert list(found.steps["level"]) == ["category", "type", "product"]
    assert found.category_id == listed["category"][0]


def path(*nodes):
    """A path of categories, each an id and a name, as the query answers it: with names, weight, chance and lifts."""
    found = [GraphNode(key, ("Category",), {"node_id": key, "name": name}) for key, name in nodes]
    ends = pairwise(found)
    edges = [GraphEdge(f"{a.id}-{b.id}", "BOUGHT_WITH", a.id, b.id, {"lift": 2.0}) for a, b in ends]
    return ([name for _, name in nodes], 1.0, 0.5, [2.0] * len(edges), GraphPath(tuple(found), tuple(edges)))


def test_categories_of_one_name_are_told_apart(recommender, user):
    """Paths start and end at what was asked for, though others are called the same or have a name for an id."""
    rows = [path(("1", "Tea"), ("2", "Tea")), path(("3", "1"), ("2", "Tea")), path(("1", "Tea"), ("4", "2"))]
    answer = paths.of_ids(Answer((*paths.COLUMNS, "path"), rows), "2", ["1"])
    assert list(paths.table(answer)["ids"]) == [["1", "2"]]
    purchases = pd.DataFrame({"category_id": ["1", "5"], "name": ["Tea", "Tea"], "change": [0.5, 0.2]})
    graph = paths.network(answer, "ann", purchases, "2", "Tea")
    assert len(graph) == 4
    assert sorted(data["type"] for *_, data in graph.edges(data=True)) == ["BOUGHT", "BOUGHT", "BOUGHT_WITH", "COUNTS"]
    assert ("Category 5", "2") in {(a, b) for a, b, data in graph.edges(data=True) if data["type"] == "COUNTS"}
    reasons = recommender.explain(recommender.user_ids[user], first(recommender, user), with_paths=False)
    table = paths.table(answer)
    tied, other = (replace(reasons, paths=table, purchases=purchases.iloc[[at]]) for at in (0, 1))
    assert "customers of Tea buy from Tea 2.0 times" in tied.sentence
    assert "customers of" not in other.sentence


def test_without_a_store_paths_are_left_out_and_told(recommender, user, monkeypatch):
    unreachable = StoreConfig(uri="bolt://localhost:1", password="x", connect_timeout=0.2, retry_time=0.2)
    run = replace(recommender.run, config=replace(recommender.run.config, store=unreachable))
    found = Recommender(run).explain(recommender.user_ids[user], first(recommender, user))
    assert not len(found.paths)
    assert "paths are left out" in found.notes[0]
    assert {data["type"] for *_, data in found.graph.edges(data=True)} <= {"BOUGHT", "COUNTS"}


def test_who_has_bought_nothing_gets_reasons_too(recommender):
    nobody = pd.DataFrame({"user_id": ["ben"], "product_id": [None], "time": [None]})
    item = recommender.categories(histories=nobody, k=1)["item_id"][0]
    found = recommender.explain("ben", item, nobody)
    assert not len(found.purchases)
    assert "nothing was bought before" in found.sentence


def test_a_category_that_was_bought_is_told(recommender, user, asked):
    unseen = asked[1]
    level = recommender.dataset.catalogue.interest
    item = level.ids[np.flatnonzero(~unseen[0])[0]]
    found = recommender.explain(recommender.user_ids[user], item, with_paths=False)
    assert "extrapolation" in found.notes[0]
    assert item not in set(found.purchases["category_id"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"user": "nobody"}, "the run knows no user 'nobody'"),
        ({"item": "nothing"}, "there is no item 'nothing'"),
        ({"level": "shelf"}, "the run ranks no 'shelf'"),
        ({"top": 0}, "top is 0"),
    ],
)
def test_what_is_wrong_is_said(recommender, user, given, words):
    asked = {"user": recommender.user_ids[user], "item": "nothing"} | given
    with pytest.raises(InputError, match=words):
        recommender.explain(asked.pop("user"), asked.pop("item"), **asked)


def test_the_command_prints_draws_and_writes(recommender, user, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Recommender, "load", lambda folder, store=None: recommender)
    name, item = recommender.user_ids[user], first(recommender, user)
    given = ["explain", str(finished.folder), "--user", name, "--item", item]
    assert cli.main([*given, "--no_paths", "--graph", str(tmp_path / "a.png")]) == 0
    assert recommender.explain(name, item, with_paths=False).sentence in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main([*given, "--no_paths", "--out", str(tmp_path / "a.json")]) == 0
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["item_id"] == item
    assert {"part", "adds", "share"} == set(written["parts"][0])
    assert cli.main([*given, "--out", str(tmp_path / "a.csv")]) == 2


def test_named_purchases_count_more_than_random_ones(recommender, capsys):
    figures = reasons.measure(recommender, 8, fewest=5)
    assert len(figures) == 8
    assert (figures["leave one out"] > figures["random"]).mean() > 0.5
    reasons.show(figures, Console(width=120))
    assert "largest part of the score" in capsys.readouterr().out
