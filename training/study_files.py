"""What a study leaves for people and programs: its best settings, its trials, and its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from data.dataset import Dataset
from data.splits import ProtocolConfig
from evaluation import study_page
from files import atomic, write_json
from training.job import resolved
from training.study_trial import SECONDS

if TYPE_CHECKING:
    from training.study import Study

BEST, CSV, JSON, MARKDOWN, HTML = "best.yaml", "trials.csv", "study.json", "study.md", "study.html"
ENOUGH = 8  # whole trials from which on it is told what matters


def write(study: Study, dataset: Dataset, protocols: Sequence[ProtocolConfig]) -> dict[str, Any]:
    """Write ``best.yaml`` (once a trial is whole), ``trials.csv``, ``study.json``, ``study.md`` and ``study.html``.

    Returns:
        Contents of ``study.json``, see `figures`.
    """
    found = figures(study, dataset, protocols)
    write_json(study.folder / JSON, found)
    texts = {CSV: study_page.csv(found), MARKDOWN: study_page.markdown(found), HTML: study_page.html(found)}
    if found["best"] is not None:
        texts[BEST] = _best(study, found)
    for name, text in texts.items():
        _write(study.folder / name, text)
    return found


def _write(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _best(study: Study, found: dict[str, Any]) -> str:
    """The settings of the best trial, as `train.py --config` reads them."""
    best = study.trials.best_trial
    head = f"# Trial {best.number} of {len(found['trials'])}: validation NDCG@20 {best.value:.4f}, mean over windows "
    return f"{head}{', '.join(found['windows'])}.\n{resolved(study.parser, study.changed(best.params))}"


def figures(study: Study, dataset: Dataset, protocols: Sequence[ProtocolConfig]) -> dict[str, Any]:
    """Contents of ``study.json``.

    ``windows``: {VALIDATION CUT-OFF: training cut-offs}; ``space``: the ranges; ``settings``: the values as given, by
    setting; ``trials``: [{number, state, value, epochs, seconds, settings}], ``value`` being the mean over windows of
    validation NDCG@20, null where the trial is not whole; ``best``, ``given``: numbers of the best trial and of the one
    with the settings as given, or null; ``importance``: {SETTING: share}, empty where too few trials are whole.
    """
    trials = study.trials.get_trials(deepcopy=False)
    whole = [one for one in trials if one.state == TrialState.COMPLETE]
    given = [one.number for one in trials if one.user_attrs.get("given")]
    return {
        "source": dataset.tables.name,
        "data_fingerprint": dataset.fingerprint,
        "time_unit": dataset.tables.time_unit,
        "horizon": protocols[0].horizon,
        "test_cutoff": protocols[0].test_cutoff,
        "windows": {str(one.validation_cutoff): one.train_cutoffs for one in protocols},
        "seed": study.settings.seed,
        "space": study.space.content,
        "settings": {name: _plain(study.settings[name]) for name in study.space.distributions},
        "trials": [_trial(study, one) for one in trials],
        "best": study.trials.best_trial.number if whole else None,
        "given": given[0] if given else None,
        "importance": _importance(study.trials) if len(whole) >= ENOUGH else {},
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - the value of any setting
    """As YAML would give it."""
    return list(value) if isinstance(value, tuple) else value


def _trial(study: Study, one: FrozenTrial) -> dict[str, Any]:
    return {
        "number": one.number,
        "state": one.state.name.lower(),
        "value": one.value if one.state == TrialState.COMPLETE else None,
        "epochs": len(one.intermediate_values),
        "seconds": one.user_attrs.get(SECONDS),
        "settings": study.space.changes(one.params),
    }


def _importance(study: optuna.Study) -> dict[str, float]:
    """Shares of the variance; none where all trials are alike."""
    if len({one.value for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return {
        name: float(share)
        for name, share in optuna.importance.get_param_importances(study, evaluator=evaluator).items()
    }
