"""What the benchmarks of lists print, on the tiny run: it agrees with the run's own figures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmarks import bundles, cold_start, diversity, lists, refresh, search
from recommend import seasons


@pytest.mark.parametrize("level", ["category", "product"])
def test_diversity_begins_with_the_figures_of_the_run(recommender, finished, level, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(diversity, "DIALS", (0.0, 0.5))
    figures = diversity.measure(recommender, level, diversity.prepare(recommender, level))
    test = json.loads((finished.folder / "metrics.json").read_text())["test"][level]
    plain = figures[figures["diversity"] == 0]
    assert list(plain["reranker"]) == list(diversity.RERANKERS)
    np.testing.assert_allclose(plain["ndcg"], test["crossaisle"]["ndcg@20"])
    np.testing.assert_allclose(plain["apart_buyers"], test["crossaisle"]["diversity@20"])
    np.testing.assert_allclose(plain["coverage"], test["crossaisle"]["coverage@20"])
    assert (plain["lost"] == 0).all()
    by_vectors = figures[figures["reranker"].isin(["mmr", "dpp"])].pivot(index="reranker", columns="diversity")
    more = by_vectors["apart_fused"][0.5] - by_vectors["apart_fused"][0.0]
    # At the category level the lists hold all candidates there are, in whatever order.
    assert (more > 0).all() if level == "product" else (more.abs() < 1e-9).all()
    diversity.show(figures, level, Console(width=200))
    assert "costs less than 1%" in capsys.readouterr().out
    diversity.draw(figures, test, "tiny", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_refreshed_answers_differ_for_those_who_bought(recommender, capsys):
    figures = refresh.measure(recommender)
    still = figures[~figures["moved"]]
    assert len(still)
    np.testing.assert_allclose(still["refreshed"], still["frozen"])
    moved = figures[figures["moved"]]
    assert (moved["refreshed"] != moved["frozen"]).any()
    refresh.show(figures, Console(width=120))
    refresh.show_emphases(figures, Console(width=120))
    shown = capsys.readouterr().out
    assert "all, moved" in shown
    assert "last basket alone" in shown


def test_times_of_lists(recommender, monkeypatch, capsys):
    monkeypatch.setattr(lists.Recommender, "load", lambda folder, store=None: recommender)
    assert lists.main(["somewhere", "--times", "2"]) == 0
    shown = capsys.readouterr().out
    assert "all 60 users, products" in shown
    assert "load the run" in shown


def test_short_histories(loaded, finished, capsys):
    found = cold_start.measure_short(loaded)
    test = json.loads((finished.folder / "metrics.json").read_text())
    few = test["by_activity"]["category"]["crossaisle"]["0–3"]
    whole = found.get("at most 3 baskets")
    assert (whole["sizes"]["users"] if whole else 0) == few["users"]
    nothing = found["no history"]["ndcg@20"]
    assert nothing["popularity"] == pytest.approx(test["test"]["category"]["popularity"]["ndcg@20"])
    history = cold_start.last_baskets(loaded.scorer.cutoff.history, 2)
    assert cold_start.basket_counts(history).max() == 2
    cold_start.show_short(found, Console(width=200))
    assert "last 3 baskets" in capsys.readouterr().out


def test_people_of_whom_more_is_known(loaded, capsys):
    with pytest.raises(cold_start.InputError, match="nothing of users but their purchases"):
        cold_start.measure_people(loaded)
    tables = loaded.dataset.tables
    users = pd.DataFrame({"user_id": loaded.dataset.user_ids, "club": "the same"}).astype("str")
    users.loc[::2, "club"] = None
    told = replace(loaded.dataset, tables=replace(tables, users=users))
    found = cold_start.measure_people(replace(loaded, dataset=told))["no history"]
    assert 0 < found["sizes"]["users"] <= 30
    assert found["ndcg@20"][cold_start.OURS] == pytest.approx(
        found["ndcg@20"]["without attributes"]
    )  # one group tells nothing
    cold_start.show_short({"no history": found}, Console(width=200))
    assert "recent popularity and attributes" in capsys.readouterr().out


def test_cold_items_are_ranked_among_themselves(loaded, capsys):
    with pytest.raises(cold_start.InputError, match="this run withholds nothing"):
        cold_start.withheld(loaded)
    run, task, step = cold_start.pretended(loaded)
    sold = run.scorer.cutoff.history.counts(run.dataset.catalogue.below.of_product)
    assert step == 0
    assert sold[:, task.items].nnz == 0
    assert task.wanted.any()
    found = cold_start.measure_cold(run, task, step)
    assert set(found["difference"]) == set(found["ndcg@20"]) - {cold_start.OURS}
    assert all(0 < value <= 1 for value in found["ndcg@20"].values())
    cold_start.show_cold(found, "withheld", Console(width=200))
    assert f"of {len(task.items)} items by {len(task.users)} users" in capsys.readouterr().out


def test_cold_items_of_all_categories(loaded):
    run, task, step = cold_start.pretended(loaded)
    whole = cold_start.ColdTask.of(task.problem, task.items, loaded.config.protocol.horizon, loaded.dataset, True)
    assert whole.candidates.all()
    assert set(whole.users) >= set(task.users)
    future = loaded.dataset.log.between(task.problem.cutoff, task.problem.cutoff + loaded.config.protocol.horizon)
    bought = future.counts(loaded.dataset.catalogue.below.of_product)[whole.users][:, task.items].toarray() > 0
    before = loaded.dataset.log.before(task.problem.cutoff).counts(loaded.dataset.catalogue.below.of_product)
    before = before[whole.users][:, task.items].toarray() > 0
    np.testing.assert_array_equal(whole.wanted, bought & ~before)
    found = cold_start.measure_cold(run, whole, step)
    assert all(0 < value <= 1 for value in found["ndcg@20"].values())
    history = run.scorer.cutoff.history.of_users(whole.users)
    for anywhere in (False, True):
        allowed = cold_start._allowed(history, run.dataset, anywhere)
        assert allowed.all() == anywhere


WORDS = ["red shoes", "blue hats", "warm coats", "silver rings", "green socks", "black boots"]


@pytest.fixture(scope="module")
def clothing(tmp_path_factory):
    """A folder of bundles in the form of the public data: 60 bundles of two or three items of six kinds."""
    folder, rng = tmp_path_factory.mktemp("clothing"), np.random.default_rng(0)
    items = [(str(at), f"{WORDS[at % 6]} number {at}") for at in range(48)]
    paths = [f"[[Clothing, Shoes & Jewelry,{('Women', 'Men')[at % 2]},{WORDS[at % 6]}, more,x]]" for at in range(48)]
    pd.DataFrame(items, columns=["item ID", "titles"]).to_csv(folder / "item_titles.csv", index=False)
    pd.DataFrame({"item ID": [name for name, _ in items], "categories": paths}).to_csv(
        folder / "item_categories.csv", index=False
    )
    pd.DataFrame(
        {"bundle ID": range(60), "intent": [f"some {WORDS[at % 6]}" + " new" * (at > 40) for at in range(60)]}
    ).to_csv(folder / "bundle_intent.csv", index=False)
    pd.DataFrame({"session ID": [at // 2 for at in range(60)], "bundle ID": range(60)}).to_csv(
        folder / "session_bundle.csv", index=False
    )
    held = [(at, at % 6 + 6 * some) for at in range(60) for some in rng.choice(8, 2 + at % 2, replace=False)]
    pd.DataFrame(held, columns=["bundle ID", "item ID"]).to_csv(folder / "bundle_item.csv", index=False)
    return folder


def test_search_finds_what_words_name(clothing, tmp_path, capsys, monkeypatch):
    assert search._paths("[[a,b, c],[a,d]]") == [["a", "b, c"], ["a", "d"]]
    shop = search.read(clothing)
    assert shop.shelf.categories[0].startswith("Men > ")
    assert [len(part) for part in shop.parts.values()] == [36, 12, 12]
    assert [len(part) for part in search.read(clothing, by_session=True).parts.values()] == [36, 12, 12]
    assert search.main([str(clothing), "--to", str(tmp_path / "tuned"), "--strategies", "top", "--epochs", "1"]) == 0
    shown = capsys.readouterr().out
    assert "new words" in shown
    assert "all (micro)" in shown
    monkeypatch.setattr(search, "tune", None)  # what is tuned is not tuned again
    models, ours = search.measure(shop, tmp_path / "tuned", ("top",), 1)
    assert ours == "top, catalogue, graph"
    for name in ("TF-IDF", "BM25", "frozen", ours):  # a list of 48 holds all 8 items of a kind among the first 10
        assert models[name].test["recall@10"].mean() > 0.9
    assert models[f"{ours}, cap"].test["categories@10"].mean() >= models[ours].test["categories@10"].mean()


def test_bundles_of_clothing_are_completed(clothing, tmp_path, capsys):
    assert bundles.main(["data", str(clothing), "--to", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "12 hidden products of 48" in shown
    task = bundles.of_clothing(clothing, tmp_path)
    found = bundles.measure(task)
    assert list(found) == [
        "popularity",
        "co-occurrence",
        "item-kNN",
        "EASE",
        "crossaisle",
        "without graph",
        "without text",
    ]
    assert found["crossaisle"][2]["hit@10"].mean() > found["popularity"][2]["hit@10"].mean()


def test_baskets_of_a_run_are_completed(recommender, monkeypatch):
    monkeypatch.setattr(bundles, "PRIORS", (20.0,))
    monkeypatch.setattr(bundles, "LAMBDAS", (50.0,))
    task = bundles.of_run(recommender, most=40)
    own = task.goods.groups["category"]
    for moment in (task.validation, task.test):
        sets = moment.asked.sets
        assert len(moment.asked.hidden) > 5
        assert not any(bundles.taken(own, sets, row)[item] for row, item in enumerate(moment.asked.hidden))
    assert task.validation.held.shape[0] < task.test.held.shape[0]
    found = bundles.measure(task)
    assert "without trend" in found
    assert all(np.isfinite(test.to_numpy()).all() for _, _, test in found.values())


def test_ranks_count_ties_half_and_no_member_of_the_set():
    groups = np.array([0, 1, 1, 2, 3, 4])
    one, hidden = bundles.sp.csr_array(np.array([[1, 1, 0, 0, 0, 0.0]])), np.array([3])
    scores = np.array([[9, 9, 9, 1, 2, 1]], dtype=np.float32)
    assert bundles.ranks(groups, one, hidden, lambda sets: scores).tolist() == [1]
    assert bundles.ranks(None, one, hidden, lambda sets: scores).tolist() == [2]


def test_other_users_tell_what_a_season_brings(recommender, monkeypatch):
    with pytest.raises(cold_start.InputError, match="how many periods of the data make a year"):
        bundles.show_seasons(bundles.Year.of(recommender, most=60), Console())
    monkeypatch.setitem(seasons.YEAR, "period", 40.0)
    year = bundles.Year.of(recommender, most=60)
    own = year.goods.groups[year.apart]
    assert not any(bundles.taken(own, year.asked.sets, row)[item] for row, item in enumerate(year.asked.hidden))
    users = [user for part in (year.known, year.learnt, year.asked) for user in set(part.users)]
    assert len(users) == len(set(users))
    monkeypatch.setitem(seasons.YEAR, "period", 1e9)  # only the question's own periods are near it
    found = [year.measure(away) for away in (0, None, 10**8)]
    assert [len(figures) for figures in found] == [len(year.asked.hidden)] * 3
    pd.testing.assert_frame_equal(found[1], year.measure(None))
    assert not found[0].equals(found[1])
    shown = Console(record=True, width=160)
    bundles.show_seasons(year, shown)
    assert "half a year off" in shown.export_text()
