"""What a finished run tells: metrics.json, rankings, and the content of the report."""

from __future__ import annotations

import csv
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.dataset import Dataset
from data.rejects import count_rejects
from evaluation.distance import distances
from evaluation.evaluate import basket_counts, by_activity, by_distance, by_popularity, results
from evaluation.ranking import Rankings
from evaluation.report_content import (
    Cost,
    Customer,
    DataFacts,
    LossPoint,
    Recommendation,
    ReportContent,
    Surroundings,
    TextTuning,
    ValidationPoint,
    Weight,
)
from evidence.popularity import buyers
from files import atomic
from training.config import TrainConfig
from training.cost import StepCost
from training.run import OURS, LevelResult, Trained

PHASES = {"choose": "choose", "text": "tune text", "final": "refit", "final-text": "refit, tune text"}


def metrics(levels: dict[str, LevelResult], trained: Trained, attention: dict[str, Any]) -> dict[str, Any]:
    """Contents of metrics.json.

    ``test``: {LEVEL: {MODEL: {METRIC: value}}}; ``difference``: {LEVEL: {BASELINE: {METRIC: {mean, low, high}}}} with
    95% intervals; ``by_activity``, ``by_popularity`` and ``by_distance``: the same figures for parts of users and of
    targets; ``validation``: what each choice was made by; ``text``; ``attention``; ``baselines``: settings and trials.
    """
    found: dict[str, Any] = results({name: level.evaluations for name, level in levels.items()}, OURS)
    found["by_activity"] = {name: _activity(level) for name, level in levels.items()}
    found["by_popularity"] = {name: _popularity(level) for name, level in levels.items()}
    found["by_distance"] = {name: _distance(level) for name, level in levels.items()}
    found["validation"] = {phase.name: phase.validation for phase in trained.phases}
    found["epochs"] = {phase.name: phase.epochs for phase in trained.phases}
    found["text"] = trained.text
    found["reranking"] = {label: asdict(result) for label, result in trained.reranking.items()}
    found["attention"] = attention
    found["baselines"] = {name: level.baselines for name, level in levels.items()}
    return found


def _activity(level: LevelResult) -> dict[str, Any]:
    baskets = basket_counts(level.problem.history)
    return {model: by_activity(evaluation, baskets) for model, evaluation in level.evaluations.items()}


def _popularity(level: LevelResult) -> dict[str, Any]:
    problem = level.problem
    popularity = buyers(problem.history, problem.of_product, problem.cutoff)
    return {model: by_popularity(r, level.targets, popularity) for model, r in level.rankings.items()}


def _distance(level: LevelResult) -> dict[str, Any]:
    steps = distances(level.problem, level.targets)
    return {model: by_distance(rankings, steps) for model, rankings in level.rankings.items()}


def write_rankings(folder: Path, dataset: Dataset, levels: dict[str, LevelResult]) -> None:
    """Write our top 100 unseen candidates of each test user as ``rankings/LEVEL.parquet``, atomically."""
    folder = folder / "rankings"
    folder.mkdir(exist_ok=True)
    for name, level in levels.items():
        frame = level.rankings[OURS].to_frame(dataset.user_ids, level.problem.item_ids)
        with atomic(folder / f"{name}.parquet") as temporary:
            frame.to_parquet(temporary, index=False)


def report_content(
    name: str,
    config: TrainConfig,
    dataset: Dataset,
    levels: dict[str, LevelResult],
    trained: Trained,
    figures: dict[str, Any],
    logs: Path,
    steps: list[StepCost],
    environment: dict[str, Any],
) -> ReportContent:
    """Everything that the report tells, from a run's parts.

    Args:
        name: of the run.
        config: resolved configuration.
        dataset: the shop's data.
        levels: test results.
        trained: the outcome of the training.
        figures: from `metrics`.
        logs: folder of the training's logs.
        steps: cost of each step.
        environment: from `training.folder.environment`.
    """
    text, reader = trained.text, config.text.model or "MiniLM-L6"
    started = environment["initial"]
    return ReportContent(
        run=name,
        source=dataset.tables.name,
        created=datetime.now(UTC),
        facts=_facts(config, dataset, levels),
        test=figures["test"],
        difference=figures["difference"],
        losses=_losses(logs, [phase.name for phase in trained.phases]),
        validation=_validation(trained),
        text=TextTuning(text["strategy"], text["frozen"], text["tuned"], text["kept"], reader),
        activity=figures["by_activity"],
        popularity=figures["by_popularity"],
        distance=figures["by_distance"],
        attention={
            label: {modality: Weight(w["mean"], w["std"]) for modality, w in weights.items()}
            for label, weights in figures["attention"].items()
        },
        customers=customers(dataset, next(iter(levels.values()))),
        costs=[Cost(step.name, step.seconds, step.peak_mb * 2**20) for step in steps],
        surroundings=Surroundings(
            versions=environment["versions"],
            device=f"{environment['device']}, {environment['cores']} cores",
            seed=environment["seed"],
            fingerprint=environment["data_fingerprint"],
            git_revision=environment["git_revision"] or "",
            initial="" if started is None else f"{started['run']} ({started['fingerprint'][:12]})",
        ),
    )


def _facts(config: TrainConfig, dataset: Dataset, levels: dict[str, LevelResult]) -> DataFacts:
    rejected = count_rejects(dataset.tables)
    reasons = rejected["table"] + ": " + rejected["reason"]
    return DataFacts(
        users=len(dataset.user_ids),
        products=len(dataset.catalogue.product_ids),
        interactions=len(dataset.log),
        categories=len(dataset.catalogue.interest),
        test_cutoff=config.protocol.test_cutoff,
        validation_cutoff=config.protocol.validation_cutoff,
        horizon=config.protocol.horizon,
        period=dataset.tables.time_unit,
        interest=dataset.catalogue.interest_level,
        test_users={name: len(level.targets.users) for name, level in levels.items()},
        last_period=int(dataset.log.time[-1]),
        rejected=dict(zip(reasons, rejected["rows"].astype(int), strict=True)),
    )


def _validation(trained: Trained) -> list[ValidationPoint]:
    return [
        ValidationPoint(PHASES[phase.name], int(row["epoch"]), row["ndcg@20"], int(row["epoch"]) == phase.epochs)
        for phase in trained.phases
        for row in phase.validation
    ]


def _losses(logs: Path, phases: list[str]) -> list[LossPoint]:
    """The training losses that the CSV logs hold."""
    found = []
    for phase in phases:
        for file in sorted((logs / "csv" / phase).glob("**/metrics.csv")):
            with file.open(encoding="utf-8", newline="") as rows:
                for row in csv.DictReader(rows):
                    parts = {k.removeprefix("loss/"): float(v) for k, v in row.items() if k.startswith("loss/") and v}
                    if parts:
                        found.append(LossPoint(PHASES[phase], int(row["step"]), parts))
    return found


def customers(dataset: Dataset, level: LevelResult, n: int = 5) -> list[Customer]:
    """Three test users told as examples: one well served, one in the middle, one missed; chosen by NDCG@20 alone.

    Args:
        dataset: the shop's data.
        level: results at the interest level.
        n: entries of each list.
    """
    score = level.evaluations[OURS].per_user["ndcg@20"]
    order = np.argsort(score, kind="stable")
    picks = {"served well (the best tenth)": 0.9, "in the middle": 0.5, "missed (the worst tenth)": 0.1}
    return [
        _customer(dataset, level, int(order[int(share * (len(order) - 1))]), f"{why}: NDCG@20 {{:.2f}}", n)
        for why, share in picks.items()
    ]


def _customer(dataset: Dataset, level: LevelResult, place: int, why: str, n: int) -> Customer:
    rankings: Rankings = level.rankings[OURS]
    user = int(rankings.users[place])
    names = level.problem.dataset.catalogue.interest.names
    counts = level.problem.interactions[[user]].toarray()[0]
    new = level.targets.hits[[user]].indices
    most: npt.NDArray[np.int64] = np.argsort(-counts, kind="stable")[:n]
    listed = [int(item) for item in rankings.items[place, : 2 * n] if item >= 0]
    baskets = int(basket_counts(level.problem.history)[user])
    return Customer(
        name=f"{dataset.user_ids[user]} ({baskets} baskets)",
        bought=[(names[item], int(counts[item])) for item in most if counts[item] > 0],
        recommended=[Recommendation(names[item], item in new) for item in listed],
        new=[names[item] for item in new],
        note=why.format(float(level.evaluations[OURS].per_user["ndcg@20"][place])),
    )
