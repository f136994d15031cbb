"""The summary of two windows and two seeds, from rankings made up here."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.config import DataConfig, SyntheticConfig
from data.load import load
from data.splits import ProtocolConfig, targets
from data.windows import windows
from evaluation import plots, summary_page
from evaluation.evaluate import evaluate
from evaluation.ranking import rank
from evaluation.scorer import Problem, Scorer
from training.baselines import save_rankings
from training.config import BaselineConfig, TrainConfig
from training.run import levels_of
from training.windows_summary import WindowRuns, figures, write

SIZES = SyntheticConfig(products=96, users=60, departments=4, categories=24, types_per_category=2)
PROTOCOL = ProtocolConfig(31, 22, [12, 16], [16, 24], 6, [28, 31])
SEEDS = (0, 7)


class Drawn(Scorer):
    """Log-probabilities drawn for each user and item."""

    name = "drawn"

    def __init__(self, seed):
        self.seed = seed

    def fit(self, problem):
        self.items = len(problem)
        return self

    def score(self, history, rows):
        scores = np.random.default_rng(self.seed).gumbel(size=(len(rows), self.items))
        return (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)


class Shop:
    """A shop with two windows, and the rankings of two trainings and one baseline at each."""

    def __init__(self, folder):
        self.config = TrainConfig(
            data=DataConfig(source="synthetic", synthetic=SIZES),
            protocol=PROTOCOL,
            baselines=BaselineConfig(["ease", "popularity"]),
        )
        self.dataset = load(self.config.data)
        self.evaluations = {}
        protocols = windows(PROTOCOL, self.dataset.log)
        self.runs = [self.window(folder, protocol) for protocol in protocols]

    def window(self, folder, protocol):
        window = protocol.test_cutoff
        folders = {seed: folder / f"{window}-{seed}" for seed in SEEDS}
        for name, level in levels_of(self.dataset).items():
            problem = Problem(self.dataset, level, window)
            wanted = targets(self.dataset, level, window, protocol.horizon)
            for seed, run in folders.items():
                ranked = rank(Drawn(seed).fit(problem), problem, wanted)
                (run / "rankings").mkdir(parents=True, exist_ok=True)
                frame = ranked.to_frame(self.dataset.user_ids, problem.item_ids)
                frame.to_parquet(run / "rankings" / f"{name}.parquet", index=False)
                self.evaluations[name, window, seed] = evaluate(ranked, wanted)
            place = folder / "baselines" / str(window) / name
            place.mkdir(parents=True)
            ranked = rank(Drawn(99).fit(problem), problem, wanted)
            save_rankings(ranked, place / "ease.npz")
            (place / "ease.json").write_text("{}")
            self.evaluations[name, window, "ease"] = evaluate(ranked, wanted)
        return WindowRuns(protocol, folders, folder / "baselines" / str(window))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("summary"))


@pytest.fixture(scope="module")
def found(shop):
    return figures(shop.config, shop.dataset, shop.runs)


@pytest.mark.parametrize("level", ["category", "type", "product"])
def test_figures_are_those_of_the_runs(shop, found, level):
    table = np.array([[shop.evaluations[level, w, s].summary["ndcg@20"] for s in SEEDS] for w in (28, 31)])
    ours = found["test"][level]["crossaisle"]["ndcg@20"]
    assert ours["mean"] == pytest.approx(table.mean())
    assert ours["over_windows"] == pytest.approx(table.mean(axis=1).std(ddof=1))
    assert ours["over_seeds"] == pytest.approx(np.sqrt(table.var(axis=1, ddof=1).mean()))
    assert found["by_run"][level]["crossaisle"]["ndcg@20"] == {
        "28": pytest.approx(table[0]), "31": pytest.approx(table[1])
    }  # fmt: skip
    theirs = [shop.evaluations[level, w, "ease"].summary["ndcg@20"] for w in (28, 31)]
    assert found["test"][level]["ease"]["ndcg@20"]["over_seeds"] is None
    gap = found["difference"][level]["ease"]["ndcg@20"]
    assert gap["mean"] == pytest.approx(table.mean() - np.mean(theirs))
    assert gap["low"] < gap["mean"] < gap["high"]


def test_a_baseline_that_is_not_there_is_left_out(found):
    assert list(found["test"]["category"]) == ["crossaisle", "ease"]


def test_every_user_of_every_window_is_in_a_bucket(shop, found):
    for level in found["test"]:
        users = {w: len(shop.evaluations[level, w, 0].users) for w in (28, 31)}
        assert found["users"][level] == {str(window): number for window, number in users.items()}
        for by in found["by_activity"][level].values():
            assert sum(part["users"] for part in by.values()) == sum(users.values())


def test_reliability_is_of_the_interest_level(shop, found):
    """Of all windows and seeds; the mean told share is that of the listed candidates."""
    frames = [
        pd.read_parquet(run / "rankings" / "category.parquet") for one in shop.runs for run in one.folders.values()
    ]
    told = np.exp(pd.concat(frames)["score"].to_numpy())
    of = found["reliability"]
    assert sum(of["pairs"]) == len(told)
    assert np.average(of["told"], weights=of["pairs"]) == pytest.approx(told.mean(), rel=1e-5)
    assert 0 <= of["ece"] <= 1


def test_the_files_tell_the_same(shop, found, tmp_path):
    write(tmp_path, shop.config, shop.dataset, shop.runs)
    rows = pd.read_csv(io.StringIO((tmp_path / "summary.csv").read_text())).set_index(["level", "model", "metric"])
    for (level, model, metric), row in rows.iterrows():
        of = found["test"][level][model][metric]
        assert row["mean"] == pytest.approx(of["mean"])
        assert row["over_windows"] == pytest.approx(of["over_windows"])
        if model != "crossaisle":
            assert row["lead_high"] == pytest.approx(found["difference"][level][model][metric]["high"])
    text = (tmp_path / "summary.md").read_text()
    assert "seeds 0, 7." in text
    assert "validation 19 for test 28; validation 22 for test 31" in text
    assert text == summary_page.markdown(found)


def test_without_a_baseline_nothing_is_compared(shop, tmp_path):
    config = replace(shop.config, baselines=BaselineConfig([]))
    found = write(tmp_path, config, shop.dataset, shop.runs)
    assert found["difference"] == {"category": {}, "type": {}, "product": {}}
    assert "was not compared with a baseline" in (tmp_path / "summary.html").read_text()
    assert list(plots.history_length(found, "type", tmp_path / "type.png")) == ["crossaisle"]
