"""What the benchmarks of lists print, on the tiny run: it agrees with the run's own figures."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

FOLDER = Path(__file__).parents[2] / "benchmarks"


def benchmark(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # dataclasses look their module up
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize("level", ["category", "product"])
def test_diversity_begins_with_the_figures_of_the_run(recommender, finished, level, monkeypatch, tmp_path, capsys):
    bench = benchmark("diversity")
    monkeypatch.setattr(bench, "DIALS", (0.0, 0.5))
    figures = bench.measure(recommender, level, bench.prepare(recommender, level))
    test = json.loads((finished.folder / "metrics.json").read_text())["test"][level]
    plain = figures[figures["diversity"] == 0]
    assert list(plain["reranker"]) == list(bench.RERANKERS)
    np.testing.assert_allclose(plain["ndcg"], test["crossaisle"]["ndcg@20"])
    np.testing.assert_allclose(plain["apart_buyers"], test["crossaisle"]["diversity@20"])
    np.testing.assert_allclose(plain["coverage"], test["crossaisle"]["coverage@20"])
    assert (plain["lost"] == 0).all()
    by_vectors = figures[figures["reranker"].isin(["mmr", "dpp"])].pivot(index="reranker", columns="diversity")
    more = by_vectors["apart_fused"][0.5] - by_vectors["apart_fused"][0.0]
    # At the category level the lists hold all candidates there are, in whatever order.
    assert (more > 0).all() if level == "product" else (more.abs() < 1e-9).all()
    bench.show(figures, level, Console(width=200))
    assert "costs less than 1%" in capsys.readouterr().out
    bench.draw(figures, test, "tiny", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_refreshed_answers_differ_for_those_who_bought(recommender, capsys):
    bench = benchmark("refresh")
    figures = bench.measure(recommender)
    still = figures[~figures["moved"]]
    assert len(still)
    np.testing.assert_allclose(still["refreshed"], still["frozen"])
    moved = figures[figures["moved"]]
    assert (moved["refreshed"] != moved["frozen"]).any()
    bench.show(figures, Console(width=120))
    assert "all, moved" in capsys.readouterr().out


def test_times_of_lists(recommender, monkeypatch, capsys):
    bench = benchmark("lists")
    monkeypatch.setattr(bench.Recommender, "load", lambda folder, store=None: recommender)
    assert bench.main(["somewhere", "--times", "2"]) == 0
    shown = capsys.readouterr().out
    assert "all 60 users, products" in shown
    assert "load the run" in shown


def test_short_histories(loaded, finished, capsys):
    bench = benchmark("cold_start")
    found = bench.measure_short(loaded)
    test = json.loads((finished.folder / "metrics.json").read_text())
    few = test["by_activity"]["category"]["crossaisle"]["0–3"]
    whole = found.get("at most 3 baskets")
    assert (whole["sizes"]["users"] if whole else 0) == few["users"]
    nothing = found["no history"]["ndcg@20"]
    assert nothing["popularity"] == pytest.approx(test["test"]["category"]["popularity"]["ndcg@20"])
    history = bench.last_baskets(loaded.scorer.cutoff.history, 2)
    assert bench.basket_counts(history).max() == 2
    bench.show_short(found, Console(width=200))
    assert "last 3 baskets" in capsys.readouterr().out


def test_cold_items_are_ranked_among_themselves(loaded, capsys):
    bench = benchmark("cold_start")
    with pytest.raises(bench.InputError, match="this run withholds nothing"):
        bench.withheld(loaded)
    run, task, step = bench.pretended(loaded)
    sold = run.scorer.cutoff.history.counts(run.dataset.catalogue.below.of_product)
    assert step == 0
    assert sold[:, task.items].nnz == 0
    assert task.wanted.any()
    found = bench.measure_cold(run, task, step)
    assert set(found["difference"]) == set(found["ndcg@20"]) - {bench.OURS}
    assert all(0 < value <= 1 for value in found["ndcg@20"].values())
    bench.show_cold(found, "withheld", Console(width=200))
    assert f"of {len(task.items)} items by {len(task.users)} users" in capsys.readouterr().out
