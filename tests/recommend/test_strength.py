"""Calibrated probabilities and spends: fitted before the test, the same in batch and alone, written whole."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

import cli
from benchmarks import strength as bench
from errors import InputError
from recommend import Recommender
from recommend.strength import FILE, METHODS, Isotonic, Known, Logistic, Strength, fit, outcomes
from tests.futures import another_future, without_future
from training import build
from training.cutoffs import Chain
from training.loaded import load_chosen
from training.scorer import CrossAisleScorer


@pytest.fixture(scope="module")
def seen(chosen):
    return outcomes(chosen.scorer, chosen.config.protocol.horizon)


@pytest.fixture(scope="module")
def strength(seen, chosen):
    protocol = chosen.config.protocol
    return fit(seen, protocol.horizon, protocol.validation_cutoff)


def test_the_chosen_weights_reach_what_validation_wrote(chosen, finished):
    import json

    from data.splits import targets
    from evaluation.evaluate import evaluate
    from evaluation.ranking import rank
    from evaluation.scorer import Problem

    written = json.loads((finished.folder / "metrics.json").read_text())
    level, protocol = chosen.dataset.catalogue.interest, chosen.config.protocol
    wanted = targets(chosen.dataset, level, protocol.validation_cutoff, protocol.horizon)
    problem = Problem(chosen.dataset, level, protocol.validation_cutoff)
    found = evaluate(rank(chosen.scorer.fit(problem), problem, wanted), wanted).summary["ndcg@20"]
    text = written["text"]
    np.testing.assert_allclose(found, text["tuned"] if text["kept"] else text["frozen"], atol=1e-5)


def test_pairs_are_candidates_and_what_came(seen, chosen):
    log, time = chosen.dataset.log, chosen.config.protocol.validation_cutoff
    level = chosen.dataset.catalogue.interest
    before = log.before(time).counts(level.of_product).toarray()
    after = log.between(time, time + chosen.config.protocol.horizon).counts(level.of_product).toarray()
    assert not before[seen.user, seen.category].any()
    np.testing.assert_array_equal(seen.bought, after[seen.user, seen.category] > 0)
    assert (seen.spent[~seen.bought] == 0).all()
    assert len(seen.user) == (before[np.unique(seen.user)] == 0).sum()


def refitted(chosen, dataset):
    """The fit with all evidence counted anew on other data; the weights are the run's."""
    protocol, scorer = chosen.config.protocol, chosen.scorer
    time = protocol.validation_cutoff
    cutoff = build.cutoff(chosen.config, dataset, Chain.of(dataset), time, scorer.cutoff.graph)
    found = outcomes(CrossAisleScorer(scorer.module, cutoff), protocol.horizon)
    return fit(found, protocol.horizon, time)


def test_nothing_from_the_test_window_is_looked_at(chosen, strength):
    """Another test window, or none, changes nothing; another validation window does."""
    protocol = chosen.config.protocol
    end = protocol.validation_cutoff + protocol.horizon
    assert end <= protocol.test_cutoff
    for change in (another_future, without_future):
        other = change(chosen.dataset, end)
        assert other.fingerprint != chosen.dataset.fingerprint
        assert refitted(chosen, other) == strength
    assert refitted(chosen, another_future(chosen.dataset, protocol.validation_cutoff)) != strength


def test_maps_are_those_of_the_library_and_rise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1))
    bought = rng.random(400) < 1 / (1 + np.exp(-2 * x[:, 0]))
    grid = np.linspace(-3, 3, 50)[:, None]
    for kind in (Logistic, Isotonic):
        told = kind.fit(x, bought)(grid)
        assert (np.diff(told) >= 0).all()
        assert 0 <= told.min() <= told.max() <= 1
        np.testing.assert_allclose(kind.fit(x, bought)(x).mean(), bought.mean(), atol=1e-3)


def test_what_is_written_is_read_back(strength, tmp_path):
    strength.write(tmp_path / FILE)
    assert Strength.read(tmp_path / FILE) == strength
    (tmp_path / FILE).write_text('{"format": 1}')
    with pytest.raises(InputError, match="the calibration cannot be read"):
        Strength.read(tmp_path / FILE)


def test_lists_tell_probability_and_spend(recommender, strength):
    plain = recommender.categories(k=5)
    assert "probability" not in plain
    recommender.strength = strength
    found = recommender.categories(k=5)
    assert list(found.columns[:5]) == list(plain.columns)
    assert found["probability"].between(0, 1).all()
    assert (found["expected_spend"] >= 0).all()
    user = recommender.user_ids[7]
    alone = recommender.categories([user], k=5)
    of_all = found[found["user_id"] == user].reset_index(drop=True)
    np.testing.assert_allclose(alone["probability"], of_all["probability"], rtol=1e-4)
    np.testing.assert_allclose(alone["expected_spend"], of_all["expected_spend"], rtol=1e-4)
    assert "probability" not in recommender.products([user], k=2)


def test_what_is_no_candidate_has_no_probability(recommender, strength):
    rows = np.arange(4)
    known = Known.of(recommender.run.scorer, recommender.history.of_users(rows), rows, strength.horizon)
    probability, spend = strength.of(known)
    np.testing.assert_array_equal(np.isnan(probability), ~np.isfinite(known.log_p))
    np.testing.assert_array_equal(np.isnan(spend), np.isnan(probability))


def test_the_command_writes_beside_the_run(finished, chosen, recommender, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("training.loaded.load_chosen", lambda folder, store=None: chosen)
    assert cli.main(["calibrate", str(finished.folder), "--out", str(tmp_path / FILE)]) == 0
    said = capsys.readouterr().err
    assert all(method in said for method in METHODS)
    assert Strength.read(tmp_path / FILE).fitted_at == chosen.config.protocol.validation_cutoff
    monkeypatch.setattr("recommend.recommender.load_run", lambda folder, store=None: recommender.run)
    assert Recommender.load(tmp_path).strength is not None
    assert cli.main(["calibrate", str(finished.folder), "--out", str(tmp_path / "none" / FILE)]) == 2


def test_a_run_without_checkpoints_is_told(finished, store, tmp_path, monkeypatch):
    import shutil

    left_out = shutil.ignore_patterns("checkpoints", "logs", "rankings")
    shutil.copytree(finished.folder, tmp_path / "run", ignore=left_out)
    with pytest.raises(InputError, match="the chosen weights are gone"):
        load_chosen(tmp_path / "run", store)


def test_the_benchmark_prints_every_model(chosen, recommender, tmp_path, capsys):
    seen, test, strength = bench.seen_and_tested(chosen, recommender.run)
    told = bench.probabilities(seen, test, strength)
    np.testing.assert_allclose(told["one rate"], seen.bought.mean())
    bench.show(seen, test, strength, Console(width=160))
    said = capsys.readouterr().out
    assert all(name in said for name in (*METHODS, "rate of the category", "user's mean", "spend of who buys"))
    bench.draw(seen, test, strength, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
