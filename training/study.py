"""`crossaisle tune`: settings searched on several validation windows, never on the test.

Optuna (Akiba et al. 2019, arXiv 1907.10902) proposes by tree-structured Parzen estimators (Bergstra et al. 2011) and
ends a trial that is worse after an epoch than the median of the trials before it at that epoch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
import torch
import yaml
from jsonargparse import ArgumentParser, Namespace
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from console import say
from data.dataset import Dataset
from data.load import load
from data.splits import ProtocolConfig
from data.windows import validation_windows
from errors import InputError
from files import atomic
from training import build, study_files
from training.config import TrainConfig, from_parsed
from training.job import resolved
from training.ranks import device_count
from training.series import differing, locked, settings_of
from training.study_options import StudyConfig
from training.study_space import Space, read_space
from training.study_trial import Material, read_graphs_of, seeded

JOURNAL, MADE_FROM, TRIALS = "study.journal", "study.yaml", "trials"
NAME = "crossaisle"
STARTUP = 5  # whole trials before any is ended early, and trials drawn at random before any is proposed


@dataclass
class Study:
    """A study: where it is kept, what it searches, and how a trial's settings come about.

    Attributes:
        parser: of `train.py`.
        settings: resolved, of a single run; what the space names is changed in each trial.
        space: what is searched.
        folder: everything of the study.
        trials: by Optuna, kept in the folder.
    """

    parser: ArgumentParser
    settings: Namespace
    space: Space
    folder: Path
    trials: optuna.Study = field(init=False)

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.trials = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self.folder / JOURNAL))),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=1),
            study_name=NAME,
            direction="maximize",
            load_if_exists=True,
        )
        own = self.space.parameters(self.settings)
        if own is not None and not self.trials.get_trials(deepcopy=False):
            self.trials.enqueue_trial(own, user_attrs={"given": True})

    def changed(self, parameters: dict[str, Any]) -> Namespace:
        """The settings that a trial's parameters stand for."""
        found = self.settings.clone()
        for name, value in self.space.changes(parameters).items():
            found[name] = value
        return found

    def asked(self, most: int) -> Iterator[optuna.Trial]:
        """Trials to run until there are so many: first those that were interrupted, then new ones."""
        while len(done := self.trials.get_trials(deepcopy=False, states=_FINISHED)) < most:
            # seeded by the number of the trial, so that a study that went on proposes what one in one go does
            seed = 1000 * self.settings.seed + len(done)
            self.trials.sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=seed)
            begun = self.trials.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            yield optuna.Trial(self.trials, begun[0]._trial_id) if begun else self.trials.ask()


_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def tune(parser: ArgumentParser, parsed: Namespace, config: StudyConfig, to: Path) -> int:
    """Search the space, and write what was found after each trial.

    Args:
        parser: of `train.py`.
        parsed: resolved settings of the runs that the result is for.
        config: of the study.
        to: its folder; holds ``best.yaml`` for ``train.py --config``, ``trials.csv``, ``study.json`` and the page
            ``study.html``.

    Returns:
        0, or 130 after Ctrl-C; the same command then goes on where it was, in the midst of a trial.

    Raises:
        InputError: something given is wrong, or the study there was made from other settings or data.
    """
    settings = settings_of(parsed, {})
    run = from_parsed(parser, settings)
    _check_devices(run)
    _check_start(run)
    space = read_space(config.space, settings)
    _check_corners(parser, settings, space)
    dataset = load(run.data)
    protocols = validation_windows(run.protocol, config.validation_cutoffs, dataset.log)
    with locked(to, "--to"):
        try:
            _keep_or_refuse(to / MADE_FROM, _made_from(parser, settings, space, protocols, dataset))
            study = Study(parser, settings, space, to)
            _run(study, run, dataset, protocols, config.trials)
        except KeyboardInterrupt:
            say("interrupted", "the same command goes on where this one was")
            return 130
    say("done", f"{to / study_files.HTML}; train with: python train.py --config {to / study_files.BEST}")
    return 0


def _run(study: Study, run: TrainConfig, dataset: Dataset, protocols: list[ProtocolConfig], trials: int) -> None:
    seeded(run)
    said = ", ".join(str(one.validation_cutoff) for one in protocols)
    say("windows", f"validation from {dataset.tables.time_unit} {said} on; nothing from {run.protocol.test_cutoff} on")
    for done in study.trials.get_trials(deepcopy=False, states=_FINISHED):  # killed before its weights were removed
        shutil.rmtree(study.folder / TRIALS / str(done.number), ignore_errors=True)
    material: Material | None = None
    for trial in study.asked(trials):
        material = material or _material(run, dataset, protocols)
        _finish(study, material, trial)
        study_files.write(study, dataset, protocols)
    study_files.write(study, dataset, protocols)


def _material(run: TrainConfig, dataset: Dataset, protocols: list[ProtocolConfig]) -> Material:
    graphs = read_graphs_of(run, dataset, protocols)
    plan, texts = build.text_plan(dataset, run)
    return Material(run, dataset, protocols, graphs, plan, build.text_bank(run, texts))


def _finish(study: Study, material: Material, trial: optuna.Trial) -> None:
    """Run a trial to its end, and keep its figure; its weights are of no further use."""
    config = from_parsed(study.parser, study.changed(study.space.suggest(trial)))
    folder = study.folder / TRIALS / str(trial.number)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        figure = material.train(config, folder, trial)
    except optuna.TrialPruned:
        study.trials.tell(trial.number, state=TrialState.PRUNED)
        said = "ended early"
    except (FloatingPointError, torch.linalg.LinAlgError, torch.cuda.OutOfMemoryError) as error:
        trial.set_user_attr("failure", str(error))
        study.trials.tell(trial.number, state=TrialState.FAIL)
        said = f"failed: {error}"
    else:
        study.trials.tell(trial.number, figure)
        said = f"validation NDCG@20 {figure:.4f}, best {study.trials.best_value:.4f}"
    shutil.rmtree(folder)
    say("trial", f"{trial.number}: {said}")


def _check_devices(run: TrainConfig) -> None:
    on_gpu = torch.cuda.is_available() and run.optimiser.accelerator != "cpu"
    if device_count(run.optimiser.devices, on_gpu) > 1:
        raise InputError("a study trains on one device", where="optimiser.devices", remedy="Give 1.")


def _check_start(run: TrainConfig) -> None:
    if run.init_from is not None:
        remedy = "Leave it out, and give it to the training with the settings that were found."
        raise InputError("trials start from scratch", where="init_from", remedy=remedy)


def _check_corners(parser: ArgumentParser, settings: Namespace, space: Space) -> None:
    """Refuse a space with a value that its setting cannot take, before anything is trained.

    Raises:
        InputError: naming the setting and the value.
    """
    for name, values in space.corners().items():
        for value in values:
            changed = settings.clone()
            changed[name] = value
            try:
                parser.validate(changed)
                from_parsed(parser, changed)
            except (TypeError, ValueError) as error:
                what = f"{value!r} is no value of this setting: {' '.join(str(error).split())}"
                raise InputError(what, where=f"--space, {name}", remedy="Correct the space.") from None


def _made_from(
    parser: ArgumentParser,
    settings: Namespace,
    space: Space,
    protocols: list[ProtocolConfig],
    dataset: Dataset,
) -> dict[str, Any]:
    """All that a study depends on."""
    windows = [{k: v for k, v in asdict(one).items() if v is not None} for one in protocols]
    facts = {"data_fingerprint": dataset.fingerprint, "space": space.content, "windows": windows}
    return facts | {"settings": yaml.safe_load(resolved(parser, settings))}


def _keep_or_refuse(file: Path, made_from: dict[str, Any]) -> None:
    """Write down what the study is made from, or see that the one there is made from the same."""
    if file.is_file():
        there = yaml.safe_load(file.read_text(encoding="utf-8"))
        parts = ("space", "settings")
        other = [name for part in parts for name in differing(there[part], made_from[part])]
        other += [name for name in ("windows", "data_fingerprint") if there[name] != made_from[name]]
        if other:
            remedy = "Give the settings and data that it was begun with, or another --to."
            raise InputError(f"this study has another {other[0]}", where=str(file.parent), remedy=remedy)
        return
    with atomic(file) as temporary:
        temporary.write_text(yaml.safe_dump(made_from, sort_keys=False), encoding="utf-8")
