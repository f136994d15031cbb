"""A study's space, its order of trials, and that nothing from the test cut-off on moves a trial."""

from __future__ import annotations

import optuna
import pytest
import torch
import yaml
from optuna.trial import TrialState

from data.windows import validation_windows
from errors import InputError
from train import build_parser, parse
from training import study_files
from training.build import fit_scales
from training.series import settings_of
from training.study import Study, _finish
from training.study_space import SPACES, read_space
from training.study_trial import STEPS, Clock, Material, _Report, before_test

SPACE = {
    "optimiser.lr": {"low": 1e-3, "high": 1e-2, "log": True},
    "optimiser.epochs": {"low": 2, "high": 6, "step": 2},
    "model.dropout": {"low": 0.1, "high": 0.4},
    "model.head.hidden": {"choices": [[32, 16], [64, 32]]},
}


@pytest.fixture(scope="module")
def settings():
    return settings_of(parse([], build_parser()), {"optimiser.epochs": 4})


def space_of(tmp_path, settings, content):
    file = tmp_path / "space.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return read_space(str(file), settings)


def study_of(tmp_path, settings, name):
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    return Study(build_parser(), settings, space_of(tmp_path, settings, SPACE), folder)


# -- the space -----------------------------------------------------------------------------------------------


def test_every_built_in_space_can_be_read(settings):
    names = [path.stem for path in SPACES.glob("*.yaml")]
    assert "default" in names
    for name in names:
        space = read_space(name, settings)
        assert space.parameters(settings) is not None, "the settings as given lie inside"
        assert set(space.corners()) == set(space.content)


def test_a_trial_changes_what_the_space_names(tmp_path, settings):
    study = study_of(tmp_path, settings, "one")
    trial = next(study.asked(1))
    assert study.space.suggest(trial) == study.space.parameters(settings), "the first trial is the settings as given"
    changed = study.changed({"model.head.hidden": "[32, 16]", "optimiser.lr": 0.002})
    assert changed["model.head.hidden"] == [32, 16]
    assert changed["optimiser.lr"] == 0.002
    assert settings["optimiser.lr"] == 0.003, "the study's own settings stay"


def test_settings_outside_the_space_are_no_trial(tmp_path, settings):
    outside = settings_of(settings, {"optimiser.epochs": 3})  # steps of 2
    study = study_of(tmp_path, outside, "outside")
    assert study.space.parameters(outside) is None
    assert not study.trials.get_trials()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}", "no setting to search"),
        ("a: [", "not a YAML file"),
        ({"optimiser.rate": {"low": 1, "high": 2}}, "there is no such setting"),
        ({"model": {"choices": [1, 2]}}, "there is no such setting"),
        ({"evidence.neighbours": {"low": 50, "high": 200}}, "made once for all trials"),
        ({"model.graph.shuffled": {"choices": [True, False]}}, "made once for all trials"),
        ({"optimiser.text_lr": {"low": 1e-5, "high": 1e-3}}, "no trial would feel this"),
        ({"model.rerank.hidden": {"low": 8, "high": 64}}, "no trial would feel this"),
        ({"optimiser.threads": {"low": 1, "high": 2}}, "the machine's, not the model's"),
        ({"optimiser.lr": 0.1}, "a plain value is not understood"),
        ({"optimiser.lr": {"low": 0.1}}, "neither a range nor choices"),
        ({"optimiser.lr": {"low": 0.1, "high": 0.2, "by": 3}}, "by is not understood"),
        ({"optimiser.lr": {"low": 0.1, "high": 0.2, "choices": [1, 2]}}, "neither a range nor choices"),
        ({"optimiser.lr": {"low": "1e-3", "high": 0.2}}, "are no numbers"),
        ({"optimiser.lr": {"low": 0.2, "high": 0.1}}, "a range from 0.2 to 0.1"),
        ({"optimiser.lr": {"low": 0.0, "high": 0.1, "log": True}}, "on a logarithmic scale"),
        ({"optimiser.epochs": {"low": 1.5, "high": 3}}, "no whole number"),
        ({"model.fusion.kind": {"low": 1, "high": 3}}, "has no range"),
        ({"model.dim": {"choices": [32]}}, "is no choice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_spaces_that_mean_nothing_are_refused(tmp_path, settings, content, told):
    with pytest.raises(InputError, match=told):
        space_of(tmp_path, settings, content)


def test_a_space_that_is_not_there(settings):
    with pytest.raises(InputError, match="no such file\n  Give a YAML file, or one of default"):
        read_space("nowhere", settings)


# -- the order of the trials ---------------------------------------------------------------------------------


def figure(parameters):
    """A made-up objective with one best point."""
    return -((parameters["model.dropout"] - 0.3) ** 2) - abs(parameters["optimiser.epochs"] - 4)


def run(study, most):
    """Trials until there are so many, their figures made up."""
    for trial in study.asked(most):
        study.trials.tell(trial.number, figure(study.space.suggest(trial)))
    return [one.params for one in study.trials.get_trials()]


def test_a_study_that_was_interrupted_proposes_the_same(tmp_path, settings):
    whole = run(study_of(tmp_path, settings, "whole"), 9)
    run(study_of(tmp_path, settings, "parts"), 6)
    begun = study_of(tmp_path, settings, "parts")
    trial = next(begun.asked(9))
    begun.space.suggest(trial)  # and the program ends here, in the midst of it
    assert [one.state for one in begun.trials.get_trials()].count(TrialState.RUNNING) == 1
    again = study_of(tmp_path, settings, "parts")
    assert run(again, 9) == whole
    assert {one.state for one in again.trials.get_trials()} == {TrialState.COMPLETE}


def test_more_trials_go_on_with_those_that_are_there(tmp_path, settings):
    assert len(run(study_of(tmp_path, settings, "more"), 2)) == 2
    assert len(run(study_of(tmp_path, settings, "more"), 3)) == 3
    assert len(run(study_of(tmp_path, settings, "more"), 3)) == 3


# -- ended early ---------------------------------------------------------------------------------------------


def trained(study, figures):
    """A trial that reports these figures by window and epoch; whether it was ended early, and after which step."""
    trial = study.trials.ask()
    before: list[float] = []
    clock = Clock(trial)
    try:
        for window, of in enumerate(figures):
            report = _Report(trial, window, before, clock)
            for epoch, value in enumerate(of):
                report(epoch, value)
            before.append(max(of))
    except optuna.TrialPruned:
        study.trials.tell(trial.number, state=TrialState.PRUNED)
    else:
        study.trials.tell(trial.number, sum(before) / len(before))
    return study.trials.get_trials()[trial.number]


def test_a_trial_that_lags_behind_is_ended_in_the_window_where_it_does(tmp_path, settings):
    study = study_of(tmp_path, settings, "early")
    for more in range(6):
        good = trained(study, [[0.30, 0.31 + more / 1000, 0.25], [0.20, 0.21]])
        assert good.state == TrialState.COMPLETE
    assert good.value == pytest.approx((0.315 + 0.21) / 2)
    assert good.intermediate_values[2] == good.intermediate_values[1], "a worse epoch takes nothing away"
    slow = trained(study, [[0.1, 0.32], [0.2, 0.22]])
    assert slow.state == TrialState.COMPLETE, "the first epoch alone ends no trial"
    assert list(trained(study, [[0.3, 0.2, 0.2], [0.2, 0.2]]).intermediate_values) == [0, 1]
    late = trained(study, [[0.3, 0.32], [0.1, 0.1]])
    assert late.state == TrialState.PRUNED
    assert list(late.intermediate_values) == [0, 1, STEPS]


def test_an_epoch_that_is_judged_again_counts_once(tmp_path, settings):
    study = study_of(tmp_path, settings, "again")
    trial = study.trials.ask()
    _Report(trial, 0, [], Clock(trial))(0, 0.2)
    resumed = optuna.Trial(study.trials, trial._trial_id)
    report = _Report(resumed, 0, [], Clock(resumed))
    report(0, 0.2)
    report(1, 0.1)
    assert study.trials.get_trials()[trial.number].intermediate_values == {0: 0.2, 1: 0.2}


def test_a_pause_is_no_time_of_a_trial(tmp_path, settings, monkeypatch):
    """Begun at 100 s, killed after an epoch; gone on with at 1000 s, stopped by Ctrl-C, and again at 2000 s."""
    moments = iter([100.0, 103.0, 1000.0, 1004.0, 2000.0, 2005.0])
    monkeypatch.setattr("training.study_trial.perf_counter", lambda: next(moments))
    study = study_of(tmp_path, settings, "paused")
    trial = study.trials.ask()
    study.space.suggest(trial)
    _Report(trial, 0, [], Clock(trial))(0, 0.2)
    for _ in range(2):
        Clock(optuna.Trial(study.trials, trial._trial_id)).note()
    study.trials.tell(trial.number, 0.2)
    assert study_files._trial(study, study.trials.get_trials()[0])["seconds"] == 12


# -- no leak -------------------------------------------------------------------------------------------------


def test_another_future_moves_no_trial(run, other_future, tmp_path, settings):
    """Two futures after the test cut-off, each with the graph that was loaded and read back from it."""
    other, raw, _ = other_future
    protocols = validation_windows(run.config.protocol, [22], run.dataset.log)
    found = []
    for name, dataset, graphs in (("one", run.dataset, run.raw), ("other", other, raw)):
        study = study_of(tmp_path, settings, name)
        material = Material(run.config, dataset, protocols, graphs, run.plan, run.bank)
        assert material.dataset.log.time.max() < run.config.protocol.test_cutoff <= dataset.log.time.max()
        trial = next(study.asked(1))
        found.append(material.train(run.config, tmp_path / name / "trial", trial))
        found.append(study.trials.get_trials()[0].intermediate_values)
    assert found[:2] == found[2:]
    assert found[0] > 0


def test_a_trial_whose_weights_are_not_finite_fails_and_blocks_no_other(run, tmp_path, settings, monkeypatch):
    def broken(model, *rest):
        fit_scales(model, *rest)
        torch.nn.init.constant_(model.head.linear.weight, torch.nan)

    monkeypatch.setattr("training.build.fit_scales", broken)
    protocols = validation_windows(run.config.protocol, [22], run.dataset.log)
    study = study_of(tmp_path, settings, "broken")
    material = Material(run.config, run.dataset, protocols, run.raw, run.plan, run.bank)
    _finish(study, material, next(study.asked(1)))
    assert [one.state for one in study.trials.get_trials()] == [TrialState.FAIL]
    assert next(study.asked(2)).number == 1


def test_what_lies_before_the_test_moves_a_trial_s_data(run):
    """What the test above compares does hold what was bought."""
    seen = before_test(run.dataset, run.config.protocol).log
    assert 0 < len(seen) < len(run.dataset.log)
    assert len(seen) == (run.dataset.log.time < run.config.protocol.test_cutoff).sum()
