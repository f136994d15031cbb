"""What an ablation's runs are worth, computed from their rankings: ``ablation.json``, ``ablation.md`` and a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from data.dataset import Dataset
from data.load import load
from data.splits import targets
from evaluation.evaluate import Evaluation, basket_counts, by_activity, compare, evaluate
from evaluation.pooled import METRICS, mean_over_seeds
from evaluation.ranking import Rankings
from evaluation.scorer import Problem
from evaluation.summary_page import markdown_table
from files import atomic, write_json
from training.config import TrainConfig
from training.run import levels_of
from training.series import check_data
from training.variants import VARIANTS

JSON, MARKDOWN = "ablation.json", "ablation.md"
HEADS = {"ndcg@20": "NDCG@20", "recall@20": "recall@20"}
PIPE_WIDTH = 160

Runs = Mapping[str, Mapping[int, Path]]


def write(to: Path, config: TrainConfig, runs: Runs, changes: Mapping[str, Any], whole: str) -> dict[str, Any]:
    """Compare the variants, print one table, and write ``ablation.json`` and ``ablation.md``.

    Args:
        to: folder for the files.
        config: of one of the runs; data and protocol are those of all.
        runs: {VARIANT: {SEED: folder of the finished run}}, the same seeds for each.
        changes: {VARIANT: settings that it changes}.
        whole: name of the whole model.

    Returns:
        Contents of ``ablation.json``, see `figures`.

    Raises:
        InputError: the data have changed since one of the runs.
    """
    found = figures(config, runs, changes, whole)
    write_json(to / JSON, found)
    with atomic(to / MARKDOWN) as temporary:
        temporary.write_text(markdown(found), encoding="utf-8")
    Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table(found))
    return found


def figures(config: TrainConfig, runs: Runs, changes: Mapping[str, Any], whole: str) -> dict[str, Any]:
    """Contents of ``ablation.json``; arguments as of `write`.

    ``test``: {LEVEL: {VARIANT: {METRIC: mean over users and seeds}}}; ``by_seed``: {LEVEL: {VARIANT: {SEED: …}}};
    ``difference``: {LEVEL: {VARIANT: {METRIC: {mean, low, high}}}}, whole − variant per user (each user's figures
    averaged over the seeds first) with its 95% interval by paired bootstrap of the users; ``by_activity``: {LEVEL:
    {VARIANT: {BASKETS IN THE HISTORY: {users, METRIC}}}}.
    """
    dataset = load(config.data)
    for folder in (folder for by_seed in runs.values() for folder in by_seed.values()):
        check_data(dataset.fingerprint, folder)
    found: dict[str, Any] = {
        "whole": whole,
        "seeds": list(runs[whole]),
        "data_fingerprint": dataset.fingerprint,
        "cutoff": config.protocol.test_cutoff,
        "horizon": config.protocol.horizon,
        "variants": {name: {"told": _told(name), "settings": changes[name]} for name in runs},
    }
    parts = ("users", "test", "by_seed", "difference", "by_activity")
    found |= {part: {} for part in parts}
    for name in levels_of(dataset):
        measured = _level(config, dataset, name, runs, whole)
        for part in parts:
            found[part][name] = measured[part]
    return found


def _told(name: str) -> str:
    return VARIANTS[name].told if name in VARIANTS else "all parts"


def _level(config: TrainConfig, dataset: Dataset, name: str, runs: Runs, whole: str) -> dict[str, Any]:
    """One level's part of `figures`."""
    problem = Problem(dataset, levels_of(dataset)[name], config.protocol.test_cutoff)
    wanted = targets(dataset, problem.level, problem.cutoff, config.protocol.horizon)
    baskets = basket_counts(problem.history)
    by_seed: dict[str, dict[int, Evaluation]] = {}
    for variant, folders in runs.items():
        by_seed[variant] = {}
        for seed, folder in folders.items():
            frame = pd.read_parquet(folder / "rankings" / f"{name}.parquet")
            rankings = Rankings.from_frame(frame, dataset.user_ids, problem.item_ids)
            by_seed[variant][seed] = evaluate(rankings, wanted, ks=(20,))
    means = {variant: mean_over_seeds(list(evaluations.values())) for variant, evaluations in by_seed.items()}
    others = {variant: evaluation for variant, evaluation in means.items() if variant != whole}
    return {
        "users": len(wanted.users),
        "test": {variant: evaluation.summary for variant, evaluation in means.items()},
        "by_seed": {
            variant: {str(seed): {metric: one.summary[metric] for metric in METRICS} for seed, one in of.items()}
            for variant, of in by_seed.items()
        },
        "difference": compare(means[whole], others, METRICS),
        "by_activity": {variant: by_activity(evaluation, baskets) for variant, evaluation in means.items()},
    }


# -- as a table ----------------------------------------------------------------------------------------------


def table(found: Mapping[str, Any]) -> Table:
    """Rows: variants; for each level NDCG@20 and recall@20, each with whole − variant and its interval."""
    seeds = ", ".join(map(str, found["seeds"]))
    out = Table(title=f"Test, seed {seeds}: value, and whole − variant (95% interval)", show_lines=True)
    out.add_column("variant")
    for level in found["test"]:
        out.add_column(f"{level}\nNDCG@20, recall@20", justify="right", no_wrap=True)
    for name in found["variants"]:
        cells = ["\n".join(_cell(found, level, name, metric) for metric in METRICS) for level in found["test"]]
        out.add_row(name, *cells, style="bold" if name == found["whole"] else "")
    return out


def _cell(found: Mapping[str, Any], level: str, name: str, metric: str) -> str:
    value = f"{found['test'][level][name][metric]:.4f}"
    if name == found["whole"]:
        return value
    gap = found["difference"][level][name][metric]
    return f"{value}  {gap['mean']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})"


def markdown(found: Mapping[str, Any]) -> str:
    """The same table for a document, what each variant is, and NDCG@20 by length of the history."""
    levels = list(found["test"])
    users = ", ".join(f"{level} {found['users'][level]:,}" for level in levels)
    seeds = ", ".join(map(str, found["seeds"]))
    columns = [f"{level} {HEADS[metric]}" for level in levels for metric in METRICS]
    rows = [
        [name, *(_cell(found, level, name, metric) for level in levels for metric in METRICS)]
        for name in found["variants"]
    ]
    settings = [[name, *_settings(facts)] for name, facts in found["variants"].items()]
    blocks = [
        "# Ablation",
        f"Test cut-off {found['cutoff']}, horizon {found['horizon']}; seeds {seeds}; users: {users}. Behind each "
        "figure: whole − variant per user (averaged over the seeds), with its 95% interval by paired bootstrap of the "
        "users, 10,000 resamples. Where an interval holds 0 the two cannot be told apart.",
        markdown_table(["variant", *columns], rows),
        "## The variants",
        markdown_table(["variant", "what", "settings"], settings),
        "## NDCG@20 by number of baskets in the history",
        *(part for level in levels for part in (f"### {level}", _by_activity(found, level))),
    ]
    return "\n\n".join(blocks) + "\n"


def _settings(facts: Mapping[str, Any]) -> tuple[str, str]:
    """What a variant is, and the flags that give it."""
    told = ", ".join(f"`{name}={value}`" for name, value in facts["settings"].items())
    return facts["told"], told or "–"


def _by_activity(found: Mapping[str, Any], level: str) -> str:
    by = found["by_activity"][level]
    buckets = {label: int(part["users"]) for label, part in by[found["whole"]].items() if part["users"]}
    rows = [[name, *(f"{by[name][label]['ndcg@20']:.4f}" for label in buckets)] for name in found["variants"]]
    return markdown_table(["variant", *(f"{label} ({users:,} users)" for label, users in buckets.items())], rows)
