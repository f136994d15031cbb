"""`benchmarks/transfer.py`: its commands are commands, strangers are asked as strangers, and the table is paired."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import train
from benchmarks import transfer
from data.dataset import Dataset
from data.load import most_bought, sample_users
from data.log import Log
from data.splits import targets
from errors import InputError
from evaluation.baselines import Popularity
from evaluation.evaluate import evaluate
from evaluation.ranking import rank
from evaluation.scorer import Problem, Scorer
from training.scorer import CrossAisleScorer


@pytest.fixture(scope="module")
def sample(run):
    return Dataset.from_tables(sample_users(run.dataset.tables, 20, 0))


def test_each_arm_is_a_training_that_differs_in_its_start_alone(tmp_path):
    (part,) = transfer.parts(22_332, [0.01], [1], [20])
    assert part.users == 223
    configs = {}
    for arm in transfer.ARMS:
        script, *flags = part.command(arm, tmp_path / "run", tmp_path / "data", tmp_path, ["--optimiser.threads=1"])
        assert script == "train.py"
        parsed = train.parse(flags, train.build_parser())
        configs[arm] = parsed.as_dict() | {"out": None}
        assert parsed.data.max_users == 223
        assert parsed.optimiser.epochs == 20
        assert parsed.optimiser.threads == 1
    start = {arm: (str(c.pop("init_from")), c.pop("init_parts")) for arm, c in configs.items()}
    assert start["scratch"] == ("None", None)
    assert start["transfer"] == (str(tmp_path / "run"), None)
    assert start["transfer without heads"] == (str(tmp_path / "run"), ["text", "encoders"])
    assert configs["scratch"] == configs["transfer"] == configs["transfer without heads"]


def test_samples_come_smallest_first_and_the_last_is_everybody():
    plan = transfer.parts(200, [1.0, 0.1], [1, 2], [4, 12])
    assert [(one.users, one.seed, one.epochs) for one in plan] == [(20, 0, 12), (20, 1, 12), (None, 0, 4)]
    assert len({one.name(arm) for one in plan for arm in transfer.ARMS}) == 9


def test_asked_about_its_own_shop_a_run_does_as_in_its_own_test(run):
    problem = Problem(run.dataset, run.dataset.catalogue.interest, run.config.protocol.test_cutoff)
    scorer = CrossAisleScorer(run.trained.module, run.cutoff).fit(problem)
    found = transfer.measured(scorer, run.dataset, run.dataset, run.config.protocol, "category")
    wanted = targets(run.dataset, problem.level, problem.cutoff, run.config.protocol.horizon)
    own = evaluate(rank(scorer, problem, wanted, 20), wanted, ks=(20,))
    assert found["ndcg@20"].mean() == pytest.approx(own.summary["ndcg@20"])
    assert list(found["user_id"]) == list(run.dataset.user_ids[own.users])


class Spy(Scorer):
    """Remembers which rows it is asked about."""

    name = "spy"

    def __init__(self, n):
        self.n, self.rows, self.lines = n, [], []

    def fit(self, problem):
        raise AssertionError("nothing is learnt from those who are asked about")

    def score(self, history: Log, rows):
        self.rows += list(rows)
        self.lines += list(np.bincount(history.user, minlength=history.n_users))
        return np.zeros((len(rows), self.n), dtype=np.float32)


def test_who_is_not_in_the_sample_is_a_stranger_with_a_history(run, sample):
    spy = Spy(len(run.dataset.catalogue.interest))
    found = transfer.measured(spy, sample, run.dataset, run.config.protocol, "category")
    known = {user: row for row, user in enumerate(sample.user_ids)}
    assert spy.rows == [known.get(user, -1) for user in found["user_id"]]
    assert -1 in spy.rows
    assert max(spy.rows) >= 0
    assert all(spy.lines)


def test_other_products_are_refused(run):
    fewer = Dataset.from_tables(most_bought(run.dataset.tables, 100))
    with pytest.raises(InputError, match="other products"):
        transfer.measured(Spy(24), fewer, run.dataset, run.config.protocol, "category")


def test_baselines_know_the_sample_alone(run, sample):
    found = transfer.of_baseline("popularity", sample, run.dataset, run.config.protocol)
    assert set(found["level"]) == {"category", "type", "product"}
    problem = Problem(sample, sample.catalogue.interest, run.config.protocol.test_cutoff)
    alone = transfer.measured(Popularity().fit(problem), sample, run.dataset, run.config.protocol, "category")
    pd.testing.assert_frame_equal(found[found["level"] == "category"].reset_index(drop=True), alone)


def test_the_table_pairs_users_and_averages_seeds():
    def frame(values):
        return pd.DataFrame({"user_id": ["a", "b", "c"], "level": "category", "ndcg@20": values, "recall@20": values})

    scratch = [frame([0.1, 0.5, 0.9]), frame([0.3, 0.5, 0.7])]
    shifted = [one.assign(**{"ndcg@20": one["ndcg@20"] + more}) for one, more in zip(scratch, (0.1, 0.3), strict=True)]
    rows = transfer.table({"scratch": scratch, "transfer": shifted, "ease": scratch}, "category")
    assert rows[0] == ["scratch", "0.5000", "", ""]
    assert rows[1] == ["transfer", "0.7000", "+0.2000 (+0.2000 to +0.2000)", "+0.1000 to +0.3000"]
    assert rows[2][2] == "+0.0000 (+0.0000 to +0.0000)"


def test_what_is_wrong_is_told(tmp_path, capsys):
    place = ["--amazon", str(tmp_path), "--out", str(tmp_path / "out")]
    assert transfer.main([str(tmp_path / "none"), *place]) == 2
    assert "there is no run" in capsys.readouterr().err
    assert transfer.main([str(tmp_path), *place, "--shares", "2"]) == 2
    assert transfer.main([str(tmp_path), *place, "--shares", "0.5", "--seeds", "1", "2"]) == 2
    assert not (tmp_path / "out").exists()
