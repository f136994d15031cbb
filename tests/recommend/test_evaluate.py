"""What lists are worth: the run's own figures, purchases that came since, and what is told."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import cli
from errors import InputError
from recommend import Emphasis, Recommender


def of(frame, level, metric):
    return frame[(frame["level"] == level) & (frame["metric"] == metric)].iloc[0]


def since(recommender):
    """What the run's users bought in its test horizon, as somebody would hand it over."""
    rows, cutoff = recommender.dataset.tables.interactions, recommender.run.scorer.cutoff.time
    end = cutoff + recommender.run.config.protocol.horizon
    return rows[(rows["time"] >= cutoff) & (rows["time"] < end)].reset_index(drop=True)


def test_the_runs_own_figures(recommender, finished):
    found = recommender.evaluate()
    test = json.loads((finished.folder / "metrics.json").read_text())["test"]
    for level in ("category", "type", "product"):
        for metric in ("ndcg@20", "recall@20"):
            row = of(found, level, metric)
            assert row["value"] == pytest.approx(test[level]["crossaisle"][metric], abs=1e-6)
            assert row["low"] <= row["value"] <= row["high"]
    assert 0 < of(found, "product", "coverage@20")["value"] < 1


def test_the_same_purchases_from_outside(recommender, tmp_path):
    rows = since(recommender)
    rows.to_csv(tmp_path / "since.csv", index=False)
    inside = recommender.evaluate(["category"], k=5)
    for given in (rows, tmp_path / "since.csv"):
        pd.testing.assert_frame_equal(recommender.evaluate(["category"], given, k=5), inside)
    half = recommender.evaluate(["category"], rows.iloc[: len(rows) // 3], k=5)
    assert half["users"].iloc[0] < inside["users"].iloc[0]


def test_the_dials_turn_what_is_measured(recommender):
    plain = recommender.evaluate(["category"], k=5)
    for given in ({"diversity": 0.9, "by": "cap"}, {"emphasis": Emphasis(last_basket=1.0)}):
        assert not recommender.evaluate(["category"], k=5, **given)["value"].equals(plain["value"])


def test_what_cannot_be_used_is_told(recommender):
    rows = since(recommender).head(4).copy()
    rows["user_id"] = [rows["user_id"].iloc[0], rows["user_id"].iloc[0], "stranger", rows["user_id"].iloc[0]]
    rows["time"] = [*rows["time"].iloc[:3], 1]
    with pytest.raises(InputError, match="no purchase can be used"):
        recommender.evaluate(["category"], rows.iloc[2:])
    reasons = set(recommender.problems["reason"])
    assert reasons == {"the run knows no such user", "before the run's test cut-off"}
    user = rows["user_id"].iloc[0]
    history = recommender.dataset.tables.interactions
    known = history[(history["user_id"] == user) & (history["time"] < recommender.run.scorer.cutoff.time)]
    again = known.head(1).assign(time=recommender.run.scorer.cutoff.time)
    with pytest.raises(InputError, match="nobody bought from a category that was new"):
        recommender.evaluate(["category"], again)
    with pytest.raises(InputError, match="ranks no 'shelf'"):
        recommender.evaluate(["shelf"])


def test_the_command(finished, recommender, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(Recommender, "load", lambda folder, store=None: recommender)
    out = tmp_path / "worth.csv"
    assert cli.main(["evaluate", str(finished.folder), "--level", "category", "--k", "5", "--out", str(out)]) == 0
    wanted = recommender.evaluate(["category"], k=5)
    np.testing.assert_allclose(pd.read_csv(out)["value"], wanted["value"])
    assert cli.main(["evaluate", str(finished.folder), "--k", "0"]) == 2
    assert "k is 0" in capsys.readouterr().err
