"""benchmarks/ensembles.py on the tiny run: each model alone is what it was, and nothing is learnt from the test."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console

from benchmarks import ensembles
from errors import InputError


@pytest.fixture(scope="module")
def bench():
    """With one setting of LightGBM."""
    grid = ensembles.default_grid
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensembles, "default_grid", lambda *given: grid(*given)[:1])
        yield ensembles


@pytest.fixture(scope="module")
def windows(bench, loaded):
    protocol = loaded.config.protocol
    return [bench.Window.of(loaded.dataset, protocol, t) for t in (protocol.validation_cutoff, protocol.test_cutoff)]


@pytest.fixture(scope="module")
def models(bench, windows, chosen, loaded):
    found = {"run": bench.of_run(chosen, loaded, *windows)}
    return found | {name: bench.of_baseline(name, loaded.config, *windows) for name in ("ease", "lightgbm")}


def test_each_alone_is_what_the_run_reports(bench, windows, models, finished):
    test = json.loads((finished.folder / "metrics.json").read_text())["test"]["category"]
    for name, written in (("run", "crossaisle"), ("ease", "ease")):
        found = windows[1].measure(models[name].test)["ndcg@20"].mean()
        np.testing.assert_allclose(found, test[written]["ndcg@20"], atol=1e-5)


def test_together_they_rank_the_same_candidates(bench, windows, models):
    for rankings in bench.fused(models, *windows).values():
        assert all(
            set(one[one >= 0]) == set(other[other >= 0])
            for one, other in zip(rankings.items, models["run"].test.items, strict=True)
        )


def test_test_targets_teach_nothing(bench, windows, models):
    validation, test = windows
    nobody = bench.Window(test.problem, type(test.wanted)(test.wanted.unseen, test.wanted.hits * 0))
    known, blind = (bench.fused(models, validation, window) for window in (test, nobody))
    for name in ("rank fusion", "stacking"):
        np.testing.assert_array_equal(known[name].items, blind[name].items)


def test_the_table_tells_all(bench, windows, models, capsys):
    bench.show(models, *windows, Console(width=140))
    said = capsys.readouterr().out
    assert all(name in said for name in ("run", "ease", "lightgbm", "rank fusion", "stacking"))


def test_an_unknown_baseline_is_told(bench, windows, loaded):
    with pytest.raises(InputError, match="there is no baseline 'magic'"):
        bench.of_baseline("magic", loaded.config, *windows)
