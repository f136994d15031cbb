"""What the trials of a study share, and one trial: training alone, judged on every validation window."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import optuna
import pytorch_lightning as pl
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from console import say
from data.dataset import Dataset
from data.splits import ProtocolConfig
from encoders.text_bank import TextBank
from fusion.model import CrossAisle
from kg.load import load_graph
from kg.readback import GraphData, read_graphs
from kg.store import GraphStore
from training import build
from training.config import TrainConfig
from training.cutoffs import Chain, CutOff
from training.module import InterestModule, TextPlan
from training.phases import MONITOR, Phases
from training.run import Judge

FIGURE = MONITOR.rpartition("/")[2]
SECONDS = "seconds"
STEPS = 1000  # more than the epochs of a window, so that an epoch of a window is the same step in every trial


def before_test(dataset: Dataset, protocol: ProtocolConfig) -> Dataset:
    """The same shop without an interaction from the test cut-off on."""
    return replace(dataset, log=dataset.log.before(protocol.test_cutoff))


@dataclass(frozen=True)
class Window:
    """A validation window: its protocol, its validation cut-off, its training examples, and its judge."""

    protocol: ProtocolConfig
    cutoff: CutOff
    store: build.ExampleStore
    judge: Judge


class Material:
    """All that does not depend on the settings that a study searches, made once for all trials.

    Args:
        config: settings of the study.
        dataset: the shop's data; nothing from the test cut-off on is looked at.
        protocols: one for each validation window.
        graphs: as known at each cut-off of the windows (see `read_graphs_of`).
        plan: where the texts are.
        bank: the texts, encoded by the untuned language model.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        protocols: Sequence[ProtocolConfig],
        graphs: dict[int, GraphData],
        plan: TextPlan,
        bank: TextBank,
    ) -> None:
        self.dataset, self.plan, self.bank = before_test(dataset, config.protocol), plan, bank
        self.config = _without_reranking(config)
        self.graphs = build.model_graphs(graphs, config)
        self.chain = Chain.of(self.dataset)
        room = config.examples.cache_mb // len(protocols)
        shared = replace(self.config, examples=replace(config.examples, cache_mb=room))
        self.windows = [self._window(replace(shared, protocol=protocol)) for protocol in protocols]

    def _window(self, config: TrainConfig) -> Window:
        protocol = config.protocol
        moment = protocol.validation_cutoff
        cutoff = build.cutoff(config, self.dataset, self.chain, moment, self.graphs[moment])
        store = build.ExampleStore(config, self.dataset, self.chain, self.graphs)
        store.get(protocol.train_cutoffs)
        return Window(protocol, cutoff, store, Judge(self.dataset, cutoff, protocol.horizon))

    def train(self, config: TrainConfig, folder: Path, trial: optuna.Trial) -> float:
        """A trial's figure: the mean over the windows of the best epoch's NDCG@20 at the interest level.

        Args:
            config: the trial's settings.
            folder: of its checkpoints; finished parts that lie there already are used.
            trial: is told after each epoch the sum of the best figures so far, over this window and those before.

        Raises:
            optuna.TrialPruned: at that step it is worse than the trials before it.
        """
        config, clock = _without_reranking(config), Clock(trial)
        found: list[float] = []
        try:
            for number, window in enumerate(self.windows):
                report = _Report(trial, number, found, clock)
                found.append(self._train(config, window, folder / str(window.protocol.validation_cutoff), report))
        finally:
            clock.note()
        return sum(found) / len(found)

    def _train(self, config: TrainConfig, window: Window, folder: Path, report: _Report) -> float:
        times = window.protocol.train_cutoffs
        examples, items = window.store.get(times)
        shape = build.shape_of(self.dataset, self.bank, window.cutoff, config.model)
        torch.manual_seed(config.seed)
        model = CrossAisle(shape, config.model)
        build.fit_scales(model, examples, items, config.seed)
        phases = Phases(folder, config.optimiser, config.seed, window.store)

        def judged(module: InterestModule) -> dict[str, float]:
            if not all(bool(weights.isfinite().all()) for weights in module.model.parameters()):
                raise FloatingPointError("the weights are not finite")  # else the judge refuses the scores as bad input
            figures = window.judge(module)
            report(module.current_epoch, figures[FIGURE])
            return figures

        best = phases.run("choose", model, self.bank, self.plan, times, validate=judged).best
        assert best is not None
        return best


class Clock:
    """Seconds that a trial was worked on, kept with it under ``SECONDS``; pauses do not count.

    Args:
        trial: begun or gone on with.
    """

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial, self.before, self.begin = trial, trial.user_attrs.get(SECONDS, 0.0), perf_counter()

    def note(self) -> None:
        """Write down the seconds so far."""
        self.trial.set_user_attr(SECONDS, self.before + perf_counter() - self.begin)


class _Report:
    """Tells a trial how it stands after an epoch, and ends one that is worse than those before it.

    What is told is a sum over windows, not their mean: it can only rise, and a pruner looks at a trial's best value.

    Args:
        trial: the trial.
        window: number of the window that it trains.
        before: figures of the windows before.
        clock: notes the seconds after each epoch, so that a killed trial loses no more than one.
    """

    def __init__(self, trial: optuna.Trial, window: int, before: list[float], clock: Clock) -> None:
        self.trial, self.first, self.before, self.clock = trial, STEPS * window, sum(before), clock
        told = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        self.told = {step: value for step, value in told.items() if self.first <= step < self.first + STEPS}

    def __call__(self, epoch: int, figure: float) -> None:
        step = self.first + epoch
        if step not in self.told:  # else the trial was interrupted between this epoch's figure and its checkpoint
            self.told[step] = max([self.before + figure, *self.told.values()])
            self.trial.report(self.told[step], step)
        self.clock.note()
        if self.trial.should_prune():
            raise optuna.TrialPruned


def read_graphs_of(config: TrainConfig, dataset: Dataset, protocols: Sequence[ProtocolConfig]) -> dict[int, GraphData]:
    """Bring the graph of the windows into the store, unless it is there, and read it back at each of their cut-offs."""
    times = sorted({time for one in protocols for time in (*one.train_cutoffs, one.validation_cutoff)})
    with GraphStore.open(config.store) as store:
        report = load_graph(store, before_test(dataset, config.protocol), times, config.copurchase)
        say("graph", "unchanged in the store" if report.skipped else f"loaded, {report.seconds:.1f} s")
        return read_graphs(store, times)


def seeded(config: TrainConfig) -> None:
    """Fix what is drawn, and take the threads that the settings give."""
    pl.seed_everything(config.seed, verbose=False)
    threads = config.optimiser.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    threadpool_limits(threads)


def _without_reranking(config: TrainConfig) -> TrainConfig:
    """Candidates are not ranked again: the figure is the interest level's."""
    return replace(config, model=replace(config.model, rerank=replace(config.model.rerank, candidates=0)))
