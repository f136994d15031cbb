"""The main job, step by step, in one folder."""

from __future__ import annotations

import copy
import gc
import os
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from console import say
from data.catalogue import Level
from data.dataset import Dataset
from data.load import load
from data.rejects import count_rejects, write_rejects
from data.splits import Targets, targets
from encoders.text_bank import TextBank
from errors import InputError
from evaluation.evaluate import Evaluation, co_purchase_vectors, evaluate
from evaluation.ranking import Rankings, rank
from evaluation.scorer import Problem
from files import read_json
from fusion.cold import ColdHead
from fusion.model import CrossAisle
from training import baselines, build, ranks
from training.cold_fit import cold_cutoffs, fit_heads
from training.config import TrainConfig
from training.cost import CostLog
from training.cutoffs import Chain, CutOff
from training.graphs import ModelGraph
from training.module import InterestModule, TextPlan
from training.phases import PhaseResult, Phases, text_stage
from training.rerank import Reranking, RerankResult
from training.scorer import CrossAisleScorer

OURS = "crossaisle"


@dataclass(frozen=True)
class Trained:
    """The outcome of the training phases.

    Attributes:
        module: the final module.
        phases: what each phase found.
        text: what became of the language model's tuning, JSON-ready.
        reranking: what became of the re-rankings, by label of the level.
        cold: heads for items that nobody has bought, by label of the level.
    """

    module: InterestModule
    phases: list[PhaseResult]
    text: dict[str, Any]
    reranking: dict[str, RerankResult]
    cold: dict[str, ColdHead] = field(default_factory=dict)


@dataclass(frozen=True)
class LevelResult:
    """Test results at one level.

    Attributes:
        problem: the test problem.
        targets: its targets.
        rankings: by model, ours first.
        evaluations: by model.
        baselines: settings, trials and seconds of each baseline.
    """

    problem: Problem
    targets: Targets
    rankings: dict[str, Rankings]
    evaluations: dict[str, Evaluation]
    baselines: dict[str, dict[str, Any]]


class Job:
    """One run of the main job.

    Args:
        config: resolved configuration.
        folder: work folder of the run; finished parts that lie there already are used.
        baselines: folder of the baselines' results; default: ``baselines`` in the work folder.
    """

    def __init__(self, config: TrainConfig, folder: Path, baselines: Path | None = None) -> None:
        self.config, self.folder = config, folder
        self.baselines = baselines or folder / "baselines"
        self.cost = CostLog()
        pl.seed_everything(config.seed, verbose=False)
        beside = config.baselines.threads if config.baselines.names else 0
        threads = config.optimiser.threads or max(1, (os.cpu_count() or 2) - beside)
        self._use(threads)
        self._beside: BaseProcess | None = None

    # -- steps -------------------------------------------------------------------------------------------

    def read_data(self) -> Dataset:
        """Read, validate and encode the data; write the rejected rows."""
        with self.cost.step("data") as line:
            dataset = load(self.config.data)
            self.config.protocol.check(dataset.log)
            notes = [*dataset.tables.notes, *self.config.protocol.notes(dataset.log), *check_levels(dataset)]
            write_rejects(dataset.tables, self.folder / "rejects.csv")
            catalogue = dataset.catalogue
            sizes = [f"{len(dataset.log):,} interactions", f"{len(dataset.user_ids):,} users"]
            sizes += [f"{len(catalogue.product_ids):,} products", f"{len(catalogue.interest):,} categories"]
            line.append(", ".join(sizes))
            rejected = count_rejects(dataset.tables)
            line.append(f"{int(rejected['rows'].sum()):,} rows rejected (rejects.csv)")
        for note in notes:
            say("", note)
        return dataset

    def start_baselines(self, dataset: Dataset) -> BaseProcess | None:
        """Begin the baselines beside the training; None where there are none."""
        config = self.config
        if not config.baselines.names:
            return None
        evidence = build.evidence_config(config)
        self._beside = baselines.start(
            baselines.Job(config.data, config.protocol, evidence, config.baselines, self.baselines, config.seed)
        )
        return self._beside

    def _use_all_cores(self) -> None:
        """Take the baselines' cores once they are done, waiting for that: the number of threads decides on the last
        digits, so it must not depend on who was quicker."""
        if self._beside is not None and not self.config.optimiser.threads:
            self._beside.join()
            self._use(os.cpu_count() or 2)

    @staticmethod
    def _use(threads: int) -> None:
        torch.set_num_threads(threads)
        threadpool_limits(threads)

    def read_graph(self, dataset: Dataset) -> dict[int, ModelGraph]:
        """Load the graph into the store and read it back."""
        with self.cost.step("graph") as line:
            report, graphs = build.load_and_read(self.config, dataset)
            data = graphs[self.config.protocol.test_cutoff].data
            edges = sum(len(data[t].edge_index[0]) for t in data.edge_types if not t[1].startswith("rev_"))
            loaded = "unchanged in the store" if report.skipped else f"loaded at {report.rows_per_second:,.0f} rows/s"
            line.append(f"{data.num_nodes:,} nodes, {edges:,} relations, {loaded}")
            if report.unmatched:
                line.append(f"{sum(report.unmatched.values()):,} relations left out: an end is not in the catalogue")
            line.append(f"read back for {len(graphs)} cut-offs")
            return build.model_graphs(graphs, self.config)

    def encode_texts(self, dataset: Dataset) -> tuple[TextPlan, TextBank]:
        """Encode every distinct text once."""
        with self.cost.step("text") as line:
            plan, texts = build.text_plan(dataset, self.config)
            bank = build.text_bank(self.config, texts)
            line.append(f"{len(bank.texts):,} distinct texts of {len(texts):,} nodes in {bank.dim} dimensions")
            return plan, bank

    def train(
        self, dataset: Dataset, graphs: dict[int, ModelGraph], plan: TextPlan, bank: TextBank
    ) -> tuple[Trained, CutOff]:
        """Choose by validation, tune the language model, train again on all cut-offs before the test."""
        chain = Chain.of(dataset)
        trained = self._fit(dataset, chain, graphs, plan, bank)
        gc.collect()  # Lightning's trainer and the examples that it holds refer to each other
        trained = replace(trained, cold=self._fit_cold(trained.module.eval(), dataset, graphs))
        return trained, self._cutoff(dataset, chain, self.config.protocol.test_cutoff, graphs)

    def _fit(
        self, dataset: Dataset, chain: Chain, graphs: dict[int, ModelGraph], plan: TextPlan, bank: TextBank
    ) -> Trained:
        """All but the heads for what was never sold; the examples are let go when this returns."""
        config = self.config
        with self.cost.step("evidence") as line:
            validation = self._cutoff(dataset, chain, config.protocol.validation_cutoff, graphs)
            store = build.ExampleStore(config, dataset, chain, graphs, validation)
            users = [len(one.users) for one in store.get(config.protocol.train_cutoffs)[0]]
            line.append(f"{sum(users):,} users at {len(users)} cut-offs")
        model = self._model(bank, validation, store)
        start = copy.deepcopy(model.state_dict())
        phases = Phases(self.folder, config.optimiser, config.seed, store)
        judge = Judge(dataset, validation, config.protocol.horizon)
        chosen, text = self._choose(phases, model, bank, plan, judge)
        found = chosen
        module = InterestModule(model, bank, plan, [], config.optimiser, False, None)
        reranking = self._rerank(module, store, validation)
        if config.protocol.refit_cutoffs:
            self._use_all_cores()
            model.load_state_dict(start)
            found = found + self._refit(phases, model, bank, plan, store, chosen, text)
        if text["kept"]:
            bank.refresh()
        if config.protocol.refit_cutoffs:
            store.keep_for_reranking(config.protocol.refit_cutoffs)
            self._refit_reranking(module, store, reranking)
        return Trained(module, found, text, reranking)

    def _model(self, bank: TextBank, validation: CutOff, store: build.ExampleStore) -> CrossAisle:
        """Not trained yet; scaled by the examples to learn from."""
        config = self.config
        torch.manual_seed(config.seed)
        model = CrossAisle(build.shape_of(store.dataset, bank, validation, config.model), config.model)
        build.fit_scales(model, *store.get(config.protocol.train_cutoffs), config.seed)
        return model

    def _cutoff(self, dataset: Dataset, chain: Chain, moment: int, graphs: dict[int, ModelGraph]) -> CutOff:
        return build.cutoff(self.config, dataset, chain, moment, graphs[moment])

    def _choose(
        self, phases: Phases, model: CrossAisle, bank: TextBank, plan: TextPlan, judge: Judge
    ) -> tuple[list[PhaseResult], dict[str, Any]]:
        """The best epoch with a frozen language model, then whether tuning it keeps up with that."""
        config, times = self.config, self.config.protocol.train_cutoffs
        with self.cost.step("training") as line:
            frozen = phases.run("choose", model, bank, plan, times, validate=judge)
            line.append(f"epoch {frozen.epochs} of {len(frozen.validation)}, validation NDCG@20 {frozen.best:.4f}")
        text: dict[str, Any] = {"strategy": config.text.strategy, "frozen": frozen.best, "tuned": None, "kept": False}
        read = "text" in config.model.modalities
        if not read or not bank.encoder.tunable or not config.optimiser.text_epochs:
            return [frozen], text
        before = copy.deepcopy(bank.encoder.trainable_state())
        weights = copy.deepcopy(model.state_dict())
        with self.cost.step("text tuning") as line:
            stage = text_stage(config.optimiser)
            tuned = phases.run("text", model, bank, plan, times, config=stage, tune_text=True, validate=judge)
            assert tuned.best is not None
            assert frozen.best is not None
            text |= {"tuned": tuned.best, "kept": tuned.best >= frozen.best}
            kept = "kept" if text["kept"] else "not kept"
            line.append(
                f"{config.text.strategy}: validation NDCG@20 {tuned.best:.4f}, frozen {frozen.best:.4f}: {kept}"
            )
        if config.protocol.refit_cutoffs or not text["kept"]:
            bank.encoder.load_trainable_state(before)
            bank.reset()
            model.load_state_dict(weights)
        return [frozen, tuned], text

    def _refit(
        self,
        phases: Phases,
        model: CrossAisle,
        bank: TextBank,
        plan: TextPlan,
        store: build.ExampleStore,
        chosen: list[PhaseResult],
        text: dict[str, Any],
    ) -> list[PhaseResult]:
        """Train from the start on all cut-offs before the test, as long as validation found best."""
        config, times = self.config, self.config.protocol.refit_cutoffs
        with self.cost.step("final fit") as line:
            examples, items = store.get(times)
            build.fit_scales(model, examples, items, config.seed)
            found = [phases.run("final", model, bank, plan, times, stop_after=chosen[0].epochs)]
            if text["kept"]:
                stage, epochs = text_stage(config.optimiser), chosen[1].epochs
                found.append(
                    phases.run("final-text", model, bank, plan, times, config=stage, tune_text=True, stop_after=epochs)
                )
            line.append(f"{len(times)} cut-offs, {found[0].epochs} epochs")
        return found

    def _rerank(self, module: InterestModule, store: build.ExampleStore, validation: CutOff) -> dict[str, RerankResult]:
        """Fit the heads that rank candidates again; those are kept that validation finds better with."""
        if ranks.is_helper() or not len(module.model.rerank):
            return {}
        with self.cost.step("re-ranking") as line:
            look = Reranking(self.config, store.dataset, module)
            found = look.choose(store.kept(self.config.protocol.train_cutoffs), validation)
            for label, result in found.items():
                kept = f"{max(result.after):.4f}" if result.epochs else "not kept"
                line.append(f"{label}: validation NDCG@20 {result.before:.4f} -> {kept}")
        return found

    def _refit_reranking(
        self, module: InterestModule, store: build.ExampleStore, chosen: dict[str, RerankResult]
    ) -> None:
        """Fit them again on the latest cut-offs before the test, as long as validation found best."""
        if not chosen:
            return
        with self.cost.step("re-ranking") as line:
            look = Reranking(self.config, store.dataset, module)
            cutoffs = store.kept(self.config.protocol.refit_cutoffs)
            look.fit(cutoffs, {label: result.epochs for label, result in chosen.items()})
            line.append(f"{len(cutoffs)} cut-offs")

    def _fit_cold(self, module: InterestModule, dataset: Dataset, graphs: dict[int, ModelGraph]) -> dict[str, ColdHead]:
        """Heads for items that nobody has bought, from the latest cut-offs before the test."""
        times = cold_cutoffs(self.config)
        if ranks.is_helper() or not times:
            return {}
        with self.cost.step("cold start") as line:
            found = fit_heads(self.config, module, dataset, graphs, times)
            line.append(f"{', '.join(found) or 'no level'}: heads for what was never sold")
        return found

    def test(
        self, dataset: Dataset, trained: Trained, cutoff: CutOff, process: BaseProcess | None
    ) -> dict[str, LevelResult]:
        """Rank the test users at every level, and measure our rankings and the baselines'."""
        scorer = CrossAisleScorer(trained.module, cutoff)
        with self.cost.step("ranking") as line:
            ours = {level: self._rank(dataset, scorer, cutoff, level) for level in levels_of(dataset)}
            users = len(next(iter(ours.values()))[1].users)
            line.append(f"{len(ours)} levels, all unseen candidates of {users:,} users")
        if process is not None:
            with self.cost.step("baselines") as line:
                self._wait(process)
                names = self.config.baselines.names
                line.append(f"{len(names)} models, tuned on validation (begun beside the training)")
        with self.cost.step("evaluation") as line:
            results = {level: self._measure(*parts) for level, parts in ours.items()}
            reached = {name: result.evaluations[OURS].summary["ndcg@20"] for name, result in results.items()}
            line.append("NDCG@20 " + ", ".join(f"{name} {value:.4f}" for name, value in reached.items()))
        return results

    def _rank(
        self, dataset: Dataset, scorer: CrossAisleScorer, cutoff: CutOff, name: str
    ) -> tuple[Problem, Targets, Rankings]:
        level = levels_of(dataset)[name]
        problem = Problem(dataset, level, cutoff.time)
        found = targets(dataset, level, cutoff.time, self.config.protocol.horizon)
        return problem, found, rank(scorer.fit(problem), problem, found, seed=self.config.seed)

    def _wait(self, process: BaseProcess) -> None:
        process.join()
        failure = self.baselines / "error.json"
        if failure.exists():
            raise InputError(read_json(failure)["message"])
        if process.exitcode:
            raise RuntimeError(f"the baselines' process ended with exit code {process.exitcode}")

    def _measure(self, problem: Problem, found: Targets, ours: Rankings) -> LevelResult:
        there = baselines.collect(self.baselines / problem.name, self.config.baselines.names)
        rankings = {OURS: ours} | {name: ranking for name, (ranking, _) in there.items()}
        vectors = co_purchase_vectors(problem.interactions)
        evaluations = {name: evaluate(ranking, found, vectors=vectors) for name, ranking in rankings.items()}
        return LevelResult(problem, found, rankings, evaluations, {name: facts for name, (_, facts) in there.items()})


class Judge:
    """Gives a module's validation figures; the evidence of the validation users is made once.

    Args:
        dataset: the shop's data.
        cutoff: the validation cut-off.
        horizon: of the targets.
    """

    def __init__(self, dataset: Dataset, cutoff: CutOff, horizon: int) -> None:
        self.cutoff = cutoff
        self.cutoff.remember()
        self.problem = Problem(dataset, dataset.catalogue.interest, cutoff.time)
        self.targets = targets(dataset, dataset.catalogue.interest, cutoff.time, horizon)
        if not len(self.targets.users):
            raise InputError(
                f"nobody buys from a new category in the {horizon} periods from {cutoff.time}",
                where="protocol.validation_cutoff",
                remedy="Give an earlier cut-off or a longer horizon.",
            )

    def __call__(self, module: InterestModule) -> dict[str, float]:
        """Validation NDCG and recall at 20, at the interest level."""
        rankings = rank(CrossAisleScorer(module, self.cutoff).fit(self.problem), self.problem, self.targets, 20)
        summary = evaluate(rankings, self.targets, ks=(20,)).summary
        return {name: float(summary[name] or 0.0) for name in ("ndcg@20", "recall@20")}


def levels_of(dataset: Dataset) -> dict[str, Level | None]:
    """The levels that are ranked, by name: interest, the one below it (where there is one), products."""
    catalogue = dataset.catalogue
    named = [level for level in (catalogue.interest, catalogue.below) if level is not None]
    return {level.name: level for level in named} | {"product": None}


def check_levels(dataset: Dataset) -> list[str]:
    """What to tell of levels where there is nothing to choose between, one line each.

    Raises:
        InputError: the interest level is one.
    """
    found = []
    for name, level in levels_of(dataset).items():
        filled = len(dataset.catalogue.product_ids) if level is None else len(np.unique(level.of_product.indices))
        what = f"the {name} level has {filled} node{'s'[: filled != 1]} with products: every ranking of it is right"
        if filled < 2 and level is dataset.catalogue.interest:
            known = ", ".join(dataset.catalogue.levels)
            raise InputError(what, where="data.interest_level", remedy=f"Give a level of several nodes, of {known}.")
        found += [what] * (filled < 2)
    return found


def attention_by_label(trained: Trained, cutoff: CutOff) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and spread over the nodes of each modality's weight, by label; nothing where the fusion weighs none."""
    model = trained.module.model
    if model.config.fusion.kind == "concatenation":
        return {}
    with torch.inference_mode():
        nodes = trained.module.nodes(cutoff)
    found = {}
    for label, weights in nodes.attention.items():
        values = weights.float().cpu().numpy()
        names = model.get_submodule(f"fusion.fuse_{label}").names
        assert isinstance(names, list)
        found[label] = {
            name: {"mean": float(np.mean(values[:, i])), "std": float(np.std(values[:, i]))}
            for i, name in enumerate(names)
        }
    return found
