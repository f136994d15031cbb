"""Features of pairs: the parts add up to the score, the paths are those of the graph, and files are checked."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from data.splits import unseen_categories
from errors import InputError
from evaluation.scorer import Problem
from export.features import FLOOR, PairFeatures
from export.levels import item_levels
from export.pairs import pairs_of
from export.paths import BoughtWith
from export.people import everybody
from export.reader import Export
from export.tower import TowerConfig
from kg.copurchase import count

LABELS = ["Category", "Type", "Product"]
SMALL = {"tower": TowerConfig(rank=0)}


@pytest.fixture(scope="module")
def makers(run):
    levels = item_levels(run)
    return {level.label: PairFeatures(run, levels, level.label) for level in levels}


@pytest.fixture(scope="module", params=LABELS)
def scored(request, run, makers):
    """A level's features of all pairs of a few users, one of whom is a stranger without purchases."""
    maker = makers[request.param]
    rows = np.arange(8)
    history = run.scorer.cutoff.history.of_users(rows)
    history = type(history)(**{**vars(history), "n_users": 9})
    rows = np.append(rows, -1)
    found = maker.score(history, rows)
    user, item = (one.ravel() for one in np.indices(found.after[-1].shape))
    table = pd.DataFrame(maker.of(found, user, item), columns=maker.names)
    return maker, history, rows, user, item, table


def test_the_score_is_the_models(run, scored):
    maker, history, rows, user, item, table = scored
    expected = run.scorer.fit(maker.level.problem).score(history, rows)[user, item]
    known = np.isfinite(expected)
    np.testing.assert_allclose(table["score"][known], expected[known], atol=1e-5)
    np.testing.assert_allclose(table["score"][~known], FLOOR, rtol=1e-6)
    np.testing.assert_array_equal(table["seen"] == 0, known)
    assert np.isfinite(table.to_numpy()).all()


def test_the_parts_add_up(scored):
    *_, table = scored
    known = table[table["seen"] == 0]
    below = [name for name in table if name.startswith(("within_", "rerank_"))]
    np.testing.assert_allclose(known["log_p_category"] + known[below].sum(axis=1), known["score"], atol=2e-4)


def test_the_categorys_parts_make_its_probability(makers, run):
    maker = makers["Category"]
    rows = np.arange(5)
    found = maker.score(run.scorer.cutoff.history.of_users(rows), rows)
    total = np.sum([found.parts[name] for name in ("linear", "deep", "match")], axis=0)
    unseen = unseen_categories(found.history, run.dataset.catalogue.interest)
    odds = np.where(unseen, np.exp(total.astype(np.float64)), 0)
    expected = odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(found.after[0]), expected, atol=1e-5)


def test_shares_of_modalities(scored):
    *_, table = scored
    shares = table[[name for name in table if name.startswith("attention_")]]
    assert list(shares) == ["attention_graph", "attention_text"]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_paths_are_those_of_the_graph(run, scored):
    """By hand: every co-purchase from something bought to the item's node, at the interest level and below it."""
    maker, history, _, user, item, table = scored
    cutoff, config = run.scorer.cutoff, run.config.copurchase
    nodes = maker._ancestors(item)
    for level, node, k in zip(maker.levels[:2], nodes, (config.top_k, config.below_top_k), strict=False):
        edges = count(run.dataset, level.problem.level, cutoff.time, config, k)
        ids = level.problem.item_ids
        counts = level.problem.counts(history).toarray() > 0
        short = level.label.lower()
        for at in range(0, len(user), 61):
            own = edges[edges["source"].isin(ids[counts[user[at]]]) & (edges["target"] == ids[node[at]])]
            expected = [len(own), *(own[name].max() if len(own) else 0 for name in ("confidence", "lift", "support"))]
            names = [f"{name}_{short}" for name in ("paths", "confidence", "lift", "support")]
            np.testing.assert_allclose(table.loc[at, names].to_numpy(dtype=float), expected, rtol=1e-5)
    assert table["paths_category"].max() > 0


def test_no_node_has_no_path(run):
    level = run.dataset.catalogue.interest
    relation = BoughtWith(run.dataset, level, run.scorer.cutoff.time, run.config.copurchase, 5)
    bought = np.ones((1, len(level)), dtype=bool)
    assert relation.of(bought, np.array([0]), np.array([-1])).tolist() == [[0, 0, 0, 0]]


def test_same_values(run, scored):
    maker, history, _, user, item, table = scored
    attributes = run.dataset.catalogue.attributes
    if maker.level.problem.level is not None:
        assert not [name for name in table if name.startswith("same_")]
        return
    for name, (_, codes) in attributes.items():
        for at in range(0, len(user), 97):
            own = np.unique(history.product[history.user == user[at]])
            expected = (codes[own] == codes[item[at]]).sum() if codes[item[at]] >= 0 else 0
            assert table.loc[at, f"same_{name}"] == expected


def test_batches_do_not_matter(run, makers, monkeypatch):
    people, rng = everybody(run.dataset, run.scorer.cutoff.time), np.random.default_rng(0)
    user, item = rng.integers(0, 20, 50), rng.integers(0, 200, 50)
    maker = makers["Product"]
    whole = maker.of_pairs(people, user, item)
    monkeypatch.setattr(maker, "batch", 3)
    np.testing.assert_allclose(maker.of_pairs(people, user, item), whole, atol=1e-3)


@pytest.fixture(scope="module")
def pairs(run):
    catalogue = run.dataset.catalogue
    rows = [(0, catalogue.product_ids[3], "product"), (2, catalogue.product_ids[3], "product"),
            (0, catalogue.interest.ids[1], "category")]  # fmt: skip
    return pd.DataFrame(
        [(run.dataset.user_ids[u], i, name) for u, i, name in rows], columns=["user_id", "item_id", "level"]
    )


class TestWritten:
    def test_the_best_of_each_user(self, write, run, tmp_path):
        write(tmp_path / "export", features="top:7", **SMALL)
        found = Export.open(tmp_path / "export")
        level = item_levels(run)[-1]
        history = run.scorer.cutoff.history
        rows = np.arange(len(run.dataset.user_ids))
        full = run.scorer.fit(Problem(run.dataset, None, run.scorer.cutoff.time)).score(history.of_users(rows), rows)
        frame = found.pairs("Product")
        assert frame.groupby("user_id").size().eq(7).all()
        best = np.sort(full, axis=1)[:, ::-1][:, :7]
        ranked = frame.sort_values(["user_id", "score"], ascending=[True, False])["score"].to_numpy().reshape(-1, 7)
        np.testing.assert_allclose(ranked, best, atol=1e-3)
        assert set(frame["item_id"]) <= set(level.problem.item_ids)
        assert found.manifest["features"] == "top:7"
        assert "BOUGHT_WITH" in found.manifest["columns"]["paths_type"]["meaning"]
        assert {"CategoryFeatures", "TypeFeatures", "ProductFeatures"} < set(found.tables)

    @pytest.mark.parametrize("storage", ["parquet", "numpy", "safetensors", "faiss"])
    def test_named_pairs_in_every_format(self, storage, write, run, pairs, makers, tmp_path):
        pairs.to_csv(tmp_path / "pairs.csv", index=False)
        write(tmp_path / "export", format=storage, pairs=tmp_path / "pairs.csv", users="none", **SMALL)
        found = Export.open(tmp_path / "export").pairs("Product")
        assert found[["user_id", "item_id"]].values.tolist() == pairs.iloc[:2, :2].values.tolist()
        people = everybody(run.dataset, run.scorer.cutoff.time)
        expected = makers["Product"].of_pairs(people, np.array([0, 2]), np.array([3, 3]))
        np.testing.assert_allclose(found[makers["Product"].names], expected, atol=1e-5)

    def test_the_manifest_names_every_column(self, write, pairs, tmp_path):
        pairs.to_parquet(tmp_path / "pairs.parquet")
        write(tmp_path / "export", pairs=tmp_path / "pairs.parquet", users="none", **SMALL)
        told = json.loads((tmp_path / "export" / "manifest.json").read_text())
        tables = [table for table in told["tables"] if table["name"].endswith("Features")]
        assert {c["name"] for table in tables for c in table["columns"]} <= set(told["columns"])
        assert "inner product" not in json.dumps(told["columns"])


WRONG = {
    "no_column": (lambda f: f.drop(columns="item_id"), "no column 'item_id'"),
    "unknown_user": (lambda f: f.assign(user_id="nobody")[:1], "1 of column user_id are not known"),
    "unknown_item": (lambda f: f.assign(item_id="nothing"), "not known, such as 'nothing'"),
    "unknown_level": (lambda f: f.assign(level="shelf"), "no level 'shelf'"),
    "twice": (lambda f: pd.concat([f, f]), "comes twice"),
    "none": (lambda f: f[:0], "no pairs"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_pairs_are_refused(case, write, pairs, tmp_path):
    change, told = WRONG[case]
    change(pairs).to_csv(tmp_path / "pairs.csv", index=False)
    with pytest.raises(InputError, match=told):
        write(tmp_path / "export", pairs=tmp_path / "pairs.csv", **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]


def test_ids_that_are_no_text(run, pairs):
    people, levels = everybody(run.dataset, run.scorer.cutoff.time), item_levels(run)
    with pytest.raises(InputError, match="user_id 7 is no text"):
        pairs_of(pairs.assign(user_id=7), people, levels, "pairs")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"features": "best"}, "'best' names no pairs"),
        ({"features": "top:0"}, "names no pairs"),
        ({"features": "top:5", "pairs": "x.csv"}, "both name pairs"),
        ({"features": "top:5", "users": "none"}, "no users"),
    ],
)
def test_settings_that_contradict(settings, told, write, tmp_path):
    with pytest.raises(InputError, match=told):
        write(tmp_path / "export", **settings)
