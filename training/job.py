"""From a parsed command line to a finished run folder."""

from __future__ import annotations

import multiprocessing
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import filelock
import torch
from jsonargparse import ArgumentParser, Namespace

from console import console, say
from data.dataset import Dataset
from encoders.text_cache import FrozenCache
from evaluation.report import write_report
from files import atomic, write_json
from kg.schema import level_labels, schema_of
from kg.store import GraphStore
from kg.writeback import write_back
from training import initial, ranks, summary
from training.config import TrainConfig, from_parsed
from training.folder import CONFIG, TEXT, RunFolder, environment
from training.learnt import learnt
from training.run import Job, LevelResult, Trained, attention_by_label
from training.saved import save_cold, save_model
from training.scorer import CrossAisleScorer


def run_job(parser: ArgumentParser, parsed: Namespace, baselines: Path | None = None) -> int:
    """Run the main job in its folder.

    Args:
        parser: made the command line; it also writes ``config.yaml``.
        parsed: resolved settings, with ``out`` and ``resume``.
        baselines: folder of baselines that several runs share; None: in the run's folder, gone when it is finished.

    Returns:
        0, or 130 after Ctrl-C, when the work folder is left for ``--resume``.

    Raises:
        InputError: something given is wrong. A folder that was made for the run and holds nothing yet is removed.
    """
    config = from_parsed(parser, parsed)
    if ranks.is_helper():
        return _help(config)
    folder = RunFolder.new(parsed.out) if parsed.resume is None else RunFolder.resume(parsed.resume)
    with folder.locked():
        try:
            if parsed.resume is None:
                _write_config(parser, parsed, folder.work / CONFIG)
            final = _run(config, folder, baselines)
        except KeyboardInterrupt:
            stop_children()
            say("interrupted", f"go on with: python train.py --resume {folder.work}")
            return 130
        except BaseException:
            stop_children()
            if not _removed_if_empty(folder.work):
                say("stopped", f"what is done so far is kept; go on with: python train.py --resume {folder.work}")
            raise
    say("done", f"{final / 'report.html'}")
    return 0


def _write_config(parser: ArgumentParser, parsed: Namespace, path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text(resolved(parser, parsed), encoding="utf-8")


def resolved(parser: ArgumentParser, parsed: Namespace) -> str:
    """The resolved settings as YAML, without passwords and with whole paths; read back they give the same run."""
    kept = parsed.clone()
    for name in ("config", "out", "resume"):
        kept.pop(name, None)
    kept.store.password = ""
    for name in ("mapping", "root"):
        if kept.data[name] is not None:
            kept.data[name] = Path(kept.data[name]).resolve()
    if kept.init_from is not None:
        kept.init_from = Path(kept.init_from).resolve()
    found: str = parser.dump(kept, skip_validation=True)
    return found


def _run(config: TrainConfig, folder: RunFolder, baselines: Path | None) -> Path:
    initial.begin(config, folder.work)
    job = Job(config, folder.work, baselines)
    ranks.lead(folder.work)
    dataset = job.read_data()
    process = job.start_baselines(dataset)
    graphs = job.read_graph(dataset)
    plan, bank = job.encode_texts(dataset)
    trained, cutoff = job.train(dataset, graphs, plan, bank)
    levels = job.test(dataset, trained, cutoff, process)
    with job.cost.step("run folder") as line:
        attention = attention_by_label(trained, cutoff)
        figures = summary.metrics(levels, trained, attention)
        facts = environment(config.seed, dataset.fingerprint) | {"initial": initial.started_from(folder.work)}
        write_json(folder.work / "metrics.json", figures)
        summary.write_rankings(folder.work, dataset, levels)
        _save(config, folder, trained, facts, dataset)
        line.append("model, metrics, rankings")
    write_json(folder.work / "environment.json", facts | {"steps": job.cost.to_json()})
    content = summary.report_content(
        folder.final.name, config, dataset, levels, trained, figures, folder.work / "logs", job.cost.steps, facts
    )
    write_report(content, folder.work / "report.html")
    _print_results(levels)
    final = folder.finish()
    if config.kg.write_back:
        _write_back(config, final.name, dataset, job, CrossAisleScorer(trained.module, cutoff))
    return final


def _write_back(config: TrainConfig, run: str, dataset: Dataset, job: Job, scorer: CrossAisleScorer) -> None:
    """Write what was learnt into the graph."""
    with job.cost.step("write back") as line:
        found = learnt(run, scorer, config.kg.min_support, config.kg.top_k)
        with GraphStore.open(config.store) as store:
            report = write_back(store, schema_of(dataset), found, config.kg.keep_old)
        line.append(report.told())


def _help(config: TrainConfig) -> int:
    """Train beside the process that started this one; it does everything else."""
    console.quiet = True
    work = ranks.work_folder()
    job = Job(config, work)
    dataset = job.read_data()
    with filelock.FileLock(work / "graph.lock"):
        graphs = job.read_graph(dataset)
    job.train(dataset, graphs, *job.encode_texts(dataset))
    return 0


def _save(config: TrainConfig, folder: RunFolder, trained: Trained, facts: dict[str, Any], dataset: Dataset) -> None:
    described = {
        "protocol": {name: value for name, value in asdict(config.protocol).items() if value is not None},
        "levels": level_labels(dataset),
        "interest_level": dataset.catalogue.interest_level,
        "data_fingerprint": facts["data_fingerprint"],
    }
    trained.module.bank.keep(FrozenCache(folder.work / TEXT))
    save_model(folder.work, trained.module.model, trained.module.bank.encoder, described)
    save_cold(folder.work, trained.cold)


def _print_results(levels: dict[str, LevelResult]) -> None:
    """A short table of the test figures."""
    from rich.table import Table

    table = Table(title="Test: NDCG@20 (recall@20)")
    table.add_column("model")
    for name in levels:
        table.add_column(name, justify="right")
    models = dict.fromkeys(model for level in levels.values() for model in level.evaluations)
    for model in models:
        cells = [_cell(level, model) for level in levels.values()]
        table.add_row(model, *cells, style="bold" if model == "crossaisle" else "")
    console.print(table)


def _cell(level: LevelResult, model: str) -> str:
    if model not in level.evaluations:
        return "–"
    found = level.evaluations[model].summary
    return f"{found['ndcg@20']:.4f} ({found['recall@20']:.4f})"


def stop_children() -> None:
    """End the processes that a run has started, and its process group."""
    for child in multiprocessing.active_children():
        child.terminate()
        child.join(5)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _removed_if_empty(work: Path) -> bool:
    """Remove a work folder in which nothing was worked out yet; whether it was."""
    if (work / "checkpoints").exists() or (work / "baselines").exists():
        return False
    shutil.rmtree(work)
    return True
