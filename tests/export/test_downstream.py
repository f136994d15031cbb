"""benchmarks/downstream_ranking.py: what the team counts, that nobody sees the future, and what a lift is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import downstream_ranking as benchmark
from data.splits import targets
from evaluation.scorer import Problem
from training.loaded import load_run


@pytest.fixture(scope="module", params=["category", "product"])
def problem(request, run):
    level = run.dataset.catalogue.interest if request.param == "category" else None
    return Problem(run.dataset, level, run.scorer.cutoff.time)


@pytest.fixture(scope="module")
def asked(problem):
    """The team's view of some users: their histories, candidates and features."""
    found = targets(problem.dataset, problem.level, problem.cutoff, 6)
    rows = found.users[:10]
    history, team = problem.history.of_users(rows), benchmark.Team(problem)
    user, item = team.candidates(history, found.unseen[rows])
    return rows, found, user, item, team.of(history, user, item)


def test_candidates_are_unseen(asked, problem):
    rows, found, user, item, _ = asked
    category = problem.membership[item].toarray() > 0
    assert not (category & ~found.unseen[rows][user]).any()
    assert category.any(axis=1).all()
    assert len(set(zip(user.tolist(), item.tolist(), strict=True))) == len(user)


def test_fewer_candidates_where_there_are_many(problem, monkeypatch):
    monkeypatch.setattr(benchmark, "CANDIDATES", 30)
    found = targets(problem.dataset, problem.level, problem.cutoff, 6)
    rows = found.users[:5]
    user, _ = benchmark.Team(problem).candidates(problem.history.of_users(rows), found.unseen[rows])
    sizes = np.bincount(user)
    assert (sizes == 30).all() if problem.level is None else (sizes <= len(problem)).all()


def test_the_team_sees_nothing_of_the_future(asked, problem):
    """With other purchases after the cut-off everything that it counts is the same."""
    rows, found, user, item, columns = asked
    log = problem.dataset.log
    later = log.time >= problem.cutoff
    product = log.product.copy()
    product[later] = product[later][::-1]
    other = Problem(replace(problem.dataset, log=replace(log, product=product)), problem.level, problem.cutoff)
    history, team = other.history.of_users(rows), benchmark.Team(other)
    again = team.candidates(history, found.unseen[rows])
    assert (again[0].tolist(), again[1].tolist()) == (user.tolist(), item.tolist())
    np.testing.assert_array_equal(team.of(history, user, item), columns)


def test_counts_by_hand(problem):
    history = problem.history
    figures = benchmark.item_figures(problem)
    nodes = problem.of_product.toarray()[history.product] > 0
    for item in range(0, len(problem), 31):
        mine = nodes[:, item]
        recent = mine & (history.time >= problem.cutoff - 4)
        assert np.expm1(figures[item, 1]) == pytest.approx(len(np.unique(history.user[recent])), abs=1e-4)
        last = history.time[mine].max() if mine.any() else 0
        assert np.expm1(figures[item, -1]) == pytest.approx(problem.cutoff - last, abs=1e-3)


def made_up(rng, informed, users=60, each=12):
    """Pairs one of which each user takes; one of the features knows which, if informed."""
    user, item = np.repeat(np.arange(users), each), np.tile(np.arange(each), users)
    taken = np.zeros(len(user), dtype=bool)
    taken[np.arange(users) * each + rng.integers(0, each, users)] = True
    noise = rng.normal(size=(3, len(user), 1)).astype(np.float32)
    features = noise[2] + (3 * taken[:, None] if informed else 0)
    columns = {"hand": noise[0], "embeddings": noise[1], "features": features.astype(np.float32)}
    return benchmark.Pairs(np.arange(users), user, item, taken, columns)


@pytest.mark.parametrize("informed", [True, False])
def test_a_lift_is_found_where_there_is_one(informed):
    """Both rankers get better by a feature that tells, and are not told to be by one that does not."""
    rng = np.random.default_rng(0)
    learn, test = made_up(rng, informed, 200), made_up(rng, informed)
    taken = np.zeros((60, 12), dtype=np.float32)
    taken[test.user, test.item] = test.taken
    found = benchmark.Targets(np.ones((60, 12), dtype=bool), benchmark.sp.csr_array(taken))
    rows = {(row[0], row[1]): row for row in benchmark.lifts(learn, test, found, 12, 1)}
    for ranker in ("LambdaRank", "HistGB"):
        low = float(rows[ranker, "+ features"][3].split("(")[1].split()[0])
        assert (low > 0.1) if informed else (low < 0.05)
    assert rows["LambdaRank", "by hand"][3] == ""


def test_rankings():
    pairs = benchmark.Pairs(
        np.array([4, 9]), np.array([0, 0, 0, 1]), np.array([7, 5, 6, 5]), np.array([0, 1, 0, 1], bool), {}
    )
    found = pairs.rankings(np.array([0.1, 0.3, 0.2, 0.9]), 10)
    assert found.items[:, :4].tolist() == [[5, 6, 7, -1], [5, -1, -1, -1]]
    assert found.users.tolist() == [4, 9]


@pytest.fixture(scope="module")
def later(finished, store, run):
    """The run at the end of its test horizon."""
    return load_run(finished.folder, store, run.scorer.cutoff.time + run.config.protocol.horizon)


def test_the_whole_on_next_to_nothing(finished, store, run, later, capsys, monkeypatch):
    moments = {None: run, later.scorer.cutoff.time: later}
    monkeypatch.setattr(benchmark, "load_run", lambda folder, store, cutoff=None: moments[cutoff])
    benchmark.show(finished.folder, ["Type"], (30, 40), 1, store)
    told = capsys.readouterr().out
    cutoff, horizon = run.scorer.cutoff.time, run.config.protocol.horizon
    assert f"users from {cutoff}, tested" in " ".join(told.split())
    assert f"from {cutoff + horizon};" in " ".join(told.split())
    assert told.count("LambdaRank") == told.count("HistGB") == 4


def test_a_run_at_a_later_moment_knows_more(later, run):
    assert later.scorer.cutoff.history.time.max() >= run.scorer.cutoff.time
    weights = (one.scorer.module.model.state_dict() for one in (run, later))
    assert all((a == b).all() for a, b in zip(*(found.values() for found in weights), strict=True))


@pytest.mark.parametrize("cutoff", [30, 99])
def test_a_run_at_no_moment_of_its_own(finished, store, cutoff):
    """Before its test cut-off the weights would know the answers."""
    with pytest.raises(Exception, match="no moment that the run can be asked at"):
        load_run(finished.folder, store, cutoff)
