"""The scikit-learn transformer: in pipelines, and under scikit-learn's own checks of estimators."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted, validate_data

import export.transformer
from data.splits import targets
from errors import InputError
from export.features import PairFeatures
from export.levels import item_levels
from export.people import everybody
from export.transformer import CrossAisleFeatures


@pytest.fixture(scope="module")
def loads(run):
    """The run is there already; how often it is loaded is counted."""
    counted = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export.transformer, "load_run", lambda folder, store: counted.append(folder) or run)
        export.transformer._kept.cache_clear()
        yield counted
    export.transformer._kept.cache_clear()


@pytest.fixture(scope="module")
def examples(run):
    """Pairs of users and products, and whether the user bought it after the cut-off."""
    found = targets(run.dataset, None, run.scorer.cutoff.time, 6)
    rng = np.random.default_rng(0)
    user = np.repeat(found.users[:20], 10)
    item = rng.integers(0, len(run.dataset.catalogue.product_ids), len(user))
    item[::5] = found.hits[user[::5]].toarray().argmax(axis=1)
    ids = {"user_id": run.dataset.user_ids[user], "item_id": run.dataset.catalogue.product_ids[item]}
    return pd.DataFrame(ids), found.hits.toarray()[user, item] > 0, user, item


def test_features_are_those_of_the_export(run, finished, loads, examples):
    pairs, _, user, item = examples
    made = CrossAisleFeatures().fit(finished.folder)
    maker = PairFeatures(run, item_levels(run), "Product")
    expected = maker.of_pairs(everybody(run.dataset, run.scorer.cutoff.time), user, item)
    np.testing.assert_array_equal(made.transform(pairs), expected)
    np.testing.assert_array_equal(made.transform(pairs.to_numpy()), expected)
    assert made.get_feature_names_out().tolist() == maker.names


def test_in_a_pipeline(finished, loads, examples):
    pairs, taken, *_ = examples
    before = len(loads)
    whole = make_pipeline(CrossAisleFeatures(run=str(finished.folder)), StandardScaler(), LogisticRegression())
    told = whole.fit(pairs, taken).predict_proba(pairs)[:, 1]
    assert told[taken].mean() > told[~taken].mean()
    assert np.isfinite(cross_val_score(whole, pairs, taken, cv=3)).all()
    assert len(loads) <= before + 1, "clones share the run"
    fitted = FrozenEstimator(CrossAisleFeatures().fit(finished.folder))
    again = make_pipeline(fitted, StandardScaler(), LogisticRegression()).fit(pairs, taken)
    np.testing.assert_allclose(again.predict_proba(pairs)[:, 1], told, atol=1e-6)


def test_frames_come_out(finished, loads, examples):
    made = CrossAisleFeatures().fit(finished.folder).set_output(transform="pandas")
    frame = made.transform(examples[0])
    assert list(frame.columns) == made.get_feature_names_out().tolist()
    assert frame.index.equals(examples[0].index)


def test_the_run_that_is_there_now_is_taken(loads, tmp_path, monkeypatch):
    """Neither a relative path in another folder nor a run put in another's place gives the one loaded before."""
    for place in ("a", "b"):
        (tmp_path / place / "shop").mkdir(parents=True)
        (tmp_path / place / "shop" / "model.safetensors").write_text("first")
    monkeypatch.chdir(tmp_path / "a")
    made = CrossAisleFeatures().fit("shop")
    before = len(loads)
    assert loads[-1] == tmp_path / "a" / "shop"
    made.fit(tmp_path / "a" / "shop")
    assert len(loads) == before
    (tmp_path / "a" / "shop" / "model.safetensors").write_text("second")
    made.fit("shop")
    assert len(loads) == before + 1
    monkeypatch.chdir(tmp_path / "b")
    made.fit("shop")
    assert loads[before:] == [tmp_path / "a" / "shop", tmp_path / "b" / "shop"]


def test_other_levels_and_strangers(run, finished, loads, tmp_path):
    history = run.dataset.tables.interactions
    history = history[history["time"] < run.scorer.cutoff.time].assign(user_id="stranger").iloc[:30]
    history.to_csv(tmp_path / "new.csv", index=False)
    made = CrossAisleFeatures(level="category", histories=tmp_path / "new.csv").fit(finished.folder)
    ids = run.dataset.catalogue.interest.ids
    found = made.set_output(transform="pandas").transform([["stranger", one] for one in ids])
    np.testing.assert_allclose(np.exp(found["score"]).sum(), 1, atol=1e-4)


def test_pickled_and_cloned(finished, loads, examples):
    made = CrossAisleFeatures().fit(str(finished.folder))
    expected = made.transform(examples[0])
    packed = pickle.dumps(made)
    assert len(packed) < 10_000, "the run itself is left out"
    np.testing.assert_array_equal(pickle.loads(packed).transform(examples[0]), expected)  # noqa: S301
    with pytest.raises(NotFittedError):
        clone(made).transform(examples[0])


def test_wrong_input(run, finished, loads):
    with pytest.raises(InputError, match="no run is given"):
        CrossAisleFeatures().fit(pd.DataFrame({"user_id": ["u0"], "item_id": ["p0"]}))
    with pytest.raises(InputError, match="no level 'shelf'"):
        CrossAisleFeatures(level="shelf").fit(finished.folder)
    made = CrossAisleFeatures().fit(run)
    for pairs, told in (
        ([["nobody", "p100"]], "user_id 'nobody' is not known"),
        ([["u0", 100]], "item_id 100 is no text"),
        (["u0"], r"shape \(1,\)"),
        (pd.DataFrame({"user_id": ["u0"]}), "no column 'item_id'"),
    ):
        with pytest.raises(InputError, match=told):
            made.transform(pairs)
    with pytest.raises(InputError, match="loaded run cannot be pickled"):
        pickle.dumps(made)


class Numbered(CrossAisleFeatures):
    """Reads numbers as the checks give them: each row becomes a pair of known ids."""

    def fit(self, X, y=None):
        X = validate_data(self, X)
        seen = {name: value for name, value in vars(self).items() if name in ("n_features_in_", "feature_names_in_")}
        super().fit(self._pairs(X))
        del self.feature_names_in_
        vars(self).update(seen)
        return self

    def transform(self, X):
        check_is_fitted(self, "n_features_in_")
        return super().transform(self._pairs(validate_data(self, X, reset=False)))

    def _pairs(self, numbers):
        run = export.transformer._loaded(Path(self.run), self.store)
        whole = np.abs(numbers * 1000).astype(np.int64)
        users, items = run.dataset.user_ids, run.dataset.catalogue.product_ids
        user, item = users[whole[:, 0] % len(users)], items[whole.sum(axis=1) % len(items)]
        return pd.DataFrame({"user_id": user, "item_id": item})

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        return tags


# The array API is off unless SCIPY_ARRAY_API is set; our arrays are NumPy's.
SKIPPED = {"check_array_api_input"}


def test_scikit_learns_checks(finished, loads):
    """As it is, the checks that feed no numbers apply; behind `Numbered` all of them do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = check_estimator(CrossAisleFeatures(), on_fail=None, on_skip=None)
        numbered = check_estimator(Numbered(run=str(finished.folder)), on_fail=None, on_skip=None)
    assert [one["check_name"] for one in plain if one["status"] != "passed"] == []
    assert {one["check_name"] for one in numbered if one["status"] != "passed"} <= SKIPPED
    assert len(numbered) > 40
