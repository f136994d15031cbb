"""Published models, as other libraries have them, on the split of a finished run: quality, time and memory beside ours.

    python benchmarks/peers/compare.py RUN --to DIR
    python benchmarks/peers/compare.py RUN --to DIR --peers LightGCN,EASE

RecBole's LightGCN, KGAT and CKE (the last two with the run's own graph) and LensKit's implicit-feedback models, at the
interest level. Each gets what was bought before a cut-off and nothing else, and ranks the same users' unseen
categories; what they answer is ranked and measured by our own code. As our baselines do, each chooses its settings (of
RecBole's models the number of epochs) on the validation window, and is trained once more on all that precedes the test.

Each library lives in an environment of its own in DIR/env, made by this command from the pins beside it: their pins do
not touch ours. RecBole's need Python 3.9 to 3.11 (--python). A finished peer is not trained again; an interrupted
command goes on with the next trial. Time is that of the last training, with its scores; memory the peak of its process.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table

from console import say
from data.dataset import Dataset
from data.load import load
from data.log import Log
from data.splits import Targets, targets
from errors import InputError
from evaluation.evaluate import Evaluation, compare, evaluate
from evaluation.ranking import Rankings, rank
from evaluation.report_words import duration, memory, signed
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer
from evaluation.summary_page import markdown_table
from files import atomic, read_json, write_json
from kg.config import StoreConfig
from kg.schema import level_labels
from training import build
from training.baselines import load_rankings, save_rankings
from training.config import TrainConfig
from training.folder import CONFIG
from training.loaded import read_config

HERE = Path(__file__).parent
OURS, METRIC = "crossaisle", "ndcg@20"
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Peer:
    """A model of another library.

    Attributes:
        library: whose environment it runs in; there are a script ``run_LIBRARY.py`` and pins ``LIBRARY.txt``.
        trials: settings to choose from, each a run of the script. ``epochs`` lists several at once: scores are written
            after each of them, and the last training goes to the chosen one.
    """

    library: str
    trials: Sequence[dict[str, Any]] = field(default_factory=tuple)


def _recbole(model: str, epochs: Sequence[int]) -> Peer:
    return Peer("recbole", ({"model": model, "epochs": list(epochs)},))


def _lenskit(model: str, name: str, values: Sequence[Any], **more: Any) -> Peer:  # noqa: ANN401
    return Peer("lenskit", tuple({"model": model, name: value, **more} for value in values))


PEERS = {
    "LightGCN": _recbole("LightGCN", (10, 20, 40, 60)),
    "KGAT": _recbole("KGAT", (10, 20, 40)),
    "CKE": _recbole("CKE", (10, 20, 40, 60)),
    "ImplicitMF": Peer(
        "lenskit",
        tuple(
            {"model": "ImplicitMFScorer", "embedding_size": width, "weight": weight}
            for width, weight in product((16, 32), (1.0, 10.0, 40.0))
        ),
    ),
    "FlexMF": _lenskit("FlexMFImplicitScorer", "embedding_size", (32, 64)),
    "EASE": _lenskit("EASEScorer", "regularization", (100.0, 500.0, 2000.0)),
    "ItemKNN": _lenskit("ItemKNNScorer", "max_nbrs", (20, 100), feedback="implicit"),
    "UserKNN": _lenskit("UserKNNScorer", "max_nbrs", (50, 200), feedback="implicit"),
}


class Given(Scorer):
    """Scores that another program made, by row of the population.

    Args:
        scores: shape (users, items).
    """

    name = "peer"

    def __init__(self, scores: FloatArray) -> None:
        self.scores = scores

    def fit(self, problem: Problem) -> Self:
        """Nothing to learn."""
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """The rows asked for, shape (b, items)."""
        return self.scores[rows]


@dataclass(frozen=True)
class Split:
    """A run's validation and test at the interest level, and what a peer is given of each."""

    config: TrainConfig
    dataset: Dataset
    folder: Path

    def problem(self, cutoff: int) -> Problem:
        """What is ranked at a cut-off."""
        return Problem(self.dataset, self.dataset.catalogue.interest, cutoff)

    def targets(self, cutoff: int) -> Targets:
        """What is looked for after it."""
        return targets(self.dataset, self.dataset.catalogue.interest, cutoff, self.config.protocol.horizon)

    def given(self, cutoff: int) -> Path:
        """The folder that a peer reads: who bought from which category before the cut-off, each pair once."""
        folder = self.folder / "given" / str(cutoff)
        if not (folder / "pairs.npz").exists():
            folder.mkdir(parents=True, exist_ok=True)
            user, item = self.problem(cutoff).interactions.nonzero()
            sizes = {"n_users": self.dataset.log.n_users, "n_items": len(self.problem(cutoff))}
            _save(folder / "pairs.npz", user=user, item=item, **{name: np.int64(n) for name, n in sizes.items()})
        return folder

    def write_triples(self) -> None:
        """Put the graph as known at either cut-off beside what is given: products contracted, categories first."""
        cutoffs = (self.config.protocol.validation_cutoff, self.config.protocol.test_cutoff)
        wanted = [cutoff for cutoff in cutoffs if not (self.given(cutoff) / "triples.npz").exists()]
        if not wanted:
            return
        _, graphs = build.load_and_read(self.config, self.dataset)
        for cutoff in wanted:
            contracted = build.model_graphs({cutoff: graphs[cutoff]})[cutoff].contracted
            interest = level_labels(self.dataset)[self.dataset.catalogue.interest_level]
            first, last = {interest: 0}, contracted.num_nodes[interest]
            for label, number in contracted.num_nodes.items():
                if label != interest:
                    first[label], last = last, last + number
            _save(self.given(cutoff) / "triples.npz", **triples(contracted.matrices, first))


def triples(matrices: dict[Any, Any], first: dict[str, int]) -> dict[str, Numbers]:
    """Heads, relations and tails of the edges, each relation in one direction.

    Args:
        matrices: by (source, relation, target) sparse CSR of shape (targets, sources).
        first: number of each label's first node.
    """
    parts = []
    kept = [edge for edge in sorted(matrices) if not edge[1].startswith("rev_")]
    for number, edge in enumerate(kept):
        target, source = matrices[edge].to_sparse_coo().coalesce().indices().numpy()
        relation = np.full(len(source), number)
        parts.append((source + first[edge[0]], relation, target + first[edge[2]]))
    head, relation, tail = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return {"head": head, "relation": relation, "tail": tail}


def _save(path: Path, **arrays: Any) -> None:  # noqa: ANN401
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


# -- running a peer ------------------------------------------------------------------------------------------


def environment(library: str, folder: Path, python: str) -> Path:
    """The interpreter of a library's own environment, which is made unless it is there with the same pins.

    Raises:
        InputError: it cannot be made.
    """
    home, pins = folder / "env" / library, HERE / f"{library}.txt"
    interpreter = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    made = home / "made_from.txt"
    if made.exists() and made.read_bytes() == pins.read_bytes():
        return interpreter
    shutil.rmtree(home, ignore_errors=True)
    say("environment", f"{library}: {home}")
    try:
        subprocess.run([python, "-m", "venv", str(home)], check=True)
        subprocess.run([str(interpreter), "-m", "pip", "install", "-q", "-r", str(pins)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        remedy = "See what pip says above; --python names another interpreter (RecBole: 3.9 to 3.11)."
        raise InputError(f"cannot be made: {error}", where=str(home), remedy=remedy) from error
    shutil.copy(pins, made)
    return interpreter


def scores(peer: Peer, interpreter: Path, given: Path, out: Path, settings: dict[str, Any], seed: int) -> Path:
    """Run a peer's script, unless it has left its cost in the folder already.

    Raises:
        InputError: it ended with an error, which stands in ``log.txt``.
    """
    if (out / "cost.json").exists():
        return out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    script = HERE / f"run_{peer.library}.py"
    command = [interpreter, script, given, out, json.dumps(settings), f"--seed={seed}"]
    with (out / "log.txt").open("wb") as log:
        done = subprocess.run([str(part) for part in command], stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode or not (out / "cost.json").exists():
        lines = (out / "log.txt").read_text(errors="replace").strip().splitlines() or ["no word"]
        remedy = f"All that it said: {out / 'log.txt'}."
        raise InputError(f"ended with an error: {lines[-1]}", where=f"{settings['model']}", remedy=remedy)
    return out


def run_peer(name: str, peer: Peer, split: Split, python: str) -> None:
    """Choose a peer's settings on validation, train it for the test, and keep its rankings and cost."""
    home, protocol = split.folder / "peers" / name, split.config.protocol
    if (home / "facts.json").exists():
        say(name, "finished already")
        return
    interpreter = environment(peer.library, split.folder, python)
    found: list[tuple[float, dict[str, Any]]] = []
    for number, settings in enumerate(peer.trials):
        out = scores(peer, interpreter, split.given(protocol.validation_cutoff), home / f"trial-{number}", settings, 0)
        for file in sorted(out.glob("scores*.npy")):
            found.append((_figure(file, split, protocol.validation_cutoff), _settings(settings, file)))
            say(name, f"{found[-1][1]}: validation NDCG@20 {found[-1][0]:.4f}")
    best = max(found, key=lambda one: one[0])[1]
    out = scores(peer, interpreter, split.given(protocol.test_cutoff), home / "test", best, split.config.seed)
    save_rankings(_rankings(next(iter(out.glob("scores*.npy"))), split, protocol.test_cutoff), home / "test.npz")
    trials = [{"settings": settings, METRIC: figure} for figure, settings in found]
    write_json(home / "facts.json", {"settings": best, "trials": trials, **read_json(out / "cost.json")})
    for trial in home.glob("trial-*"):
        shutil.rmtree(trial)


def _settings(settings: dict[str, Any], file: Path) -> dict[str, Any]:
    """The settings behind a file of scores: with several epochs, those of this one."""
    epoch = file.stem.partition("-")[2]
    return settings | ({"epochs": [int(epoch)]} if epoch else {})


def _rankings(file: Path, split: Split, cutoff: int) -> Rankings:
    made = np.load(file, allow_pickle=False)
    return rank(Given(made), split.problem(cutoff), split.targets(cutoff), seed=split.config.seed)


def _figure(file: Path, split: Split, cutoff: int) -> float:
    summary = evaluate(_rankings(file, split, cutoff), split.targets(cutoff), ks=(20,)).summary
    return float(summary[METRIC] or 0.0)


# -- the table -----------------------------------------------------------------------------------------------


def table(run: Path, split: Split, names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: ours, then the finished peers, the best first."""
    wanted = split.targets(split.config.protocol.test_cutoff)
    problem = split.problem(split.config.protocol.test_cutoff)
    frame = pd.read_parquet(run / "rankings" / f"{problem.name}.parquet")
    ours = evaluate(Rankings.from_frame(frame, split.dataset.user_ids, problem.item_ids), wanted)
    homes = {name: split.folder / "peers" / name for name in names}
    facts = {name: read_json(home / "facts.json") for name, home in homes.items() if (home / "facts.json").exists()}
    peers = {name: evaluate(load_rankings(homes[name] / "test.npz"), wanted) for name in facts}
    gaps = compare(ours, peers, (METRIC,))
    steps = read_json(run / "environment.json")["steps"]
    cost = {"seconds": sum(step["seconds"] for step in steps), "peak_mb": max(step["peak_mb"] for step in steps)}
    head = [
        "model",
        "NDCG@10",
        "recall@10",
        "NDCG@20",
        "recall@20",
        "ours − it (95% interval)",
        "time",
        "memory",
        "chosen",
    ]
    rows = [["CrossAisle (all of its run)", *_cells(ours), "–", *_cost(cost), "–"]]
    for name in sorted(peers, key=lambda one: -(peers[one].summary[METRIC] or 0.0)):
        gap = gaps[name][METRIC]
        told = f"{signed(gap['mean'])} ({signed(gap['low'])} to {signed(gap['high'])})"
        chosen = ", ".join(f"{key} {value}" for key, value in facts[name]["settings"].items() if key != "model")
        library = PEERS[name].library.replace("recbole", "RecBole").replace("lenskit", "LensKit")
        rows.append([f"{name} ({library})", *_cells(peers[name]), told, *_cost(facts[name]), chosen])
    return head, rows


def _cells(one: Evaluation) -> list[str]:
    return [f"{one.summary[name]:.4f}" for name in ("ndcg@10", "recall@10", "ndcg@20", "recall@20")]


def _cost(of: dict[str, float]) -> list[str]:
    return [duration(of["seconds"]), memory(of["peak_mb"] * 2**20)]


def write(run: Path, split: Split, names: Sequence[str]) -> None:
    """Print the table, and write it as ``peers.md``."""
    head, rows = table(run, split, names)
    printed = Table(*head)
    for row in rows:
        printed.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 180).print(printed)
    protocol = split.config.protocol
    said = (
        f"Data: {split.dataset.tables.name}, {split.dataset.catalogue.interest_level} level. Test from "
        f"{protocol.test_cutoff} on, validation from {protocol.validation_cutoff} on, {protocol.horizon} periods each."
    )
    with atomic(split.folder / "peers.md") as temporary:
        temporary.write_text(f"# Peers\n\n{said}\n\n{markdown_table(head, rows)}\n", encoding="utf-8")


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/peers/compare.py", description=__doc__, formatter_class=form)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--to", type=Path, required=True, help="folder of the environments and of what peers leave")
    parser.add_argument("--peers", default=",".join(PEERS), help="names with commas between; default: all")
    parser.add_argument("--python", default=sys.executable, help="interpreter to make environments with")
    parser.add_argument("--store", type=Path, help="folder for the graph; default: the run's own store")
    return parser


def peers_of(given: str) -> list[str]:
    """The peers that are asked for.

    Raises:
        InputError: there is no such peer.
    """
    names = [name.strip() for name in given.split(",") if name.strip()]
    unknown = [name for name in names if name not in PEERS]
    if unknown or not names:
        what = f"there is no peer {unknown[0]!r}" if unknown else "no peer is named"
        raise InputError(what, where="--peers", remedy=f"Give some of {', '.join(PEERS)}.")
    return names


def main(arguments: list[str] | None = None) -> int:
    """Run the peers and compare them; a peer that fails is told, and the others go on.

    Returns:
        0, 1 when a peer has failed, 2 when something given is wrong, 130 after Ctrl-C.
    """
    given = build_arguments().parse_args(arguments)
    failed = []
    try:
        names = peers_of(given.peers)
        split = split_of(given.run, given.to, given.store)
        if any(PEERS[name].library == "recbole" for name in names):
            split.write_triples()
        for name in names:
            try:
                run_peer(name, PEERS[name], split, given.python)
            except InputError as error:
                failed.append(name)
                say(name, str(error))
        write(given.run, split, names)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("interrupted", "the same command goes on where this one was")
        return 130
    return 1 if failed else 0


def split_of(run: Path, to: Path, store: Path | None) -> Split:
    """A run's split.

    Raises:
        InputError: no finished run, other data than the run's, or a folder of peers of another run.
    """
    config = read_config(run / CONFIG)
    config = config if store is None else replace(config, store=StoreConfig(uri="embedded", home=store))
    dataset = load(config.data)
    facts = read_json(run / "environment.json")
    if facts["data_fingerprint"] != dataset.fingerprint:
        raise InputError("the data have changed since this run", where=str(run), remedy="Give the data of the run.")
    protocol = config.protocol
    made_from = {
        "data_fingerprint": dataset.fingerprint,
        "cutoffs": [protocol.validation_cutoff, protocol.test_cutoff, protocol.horizon],
    }
    to.mkdir(parents=True, exist_ok=True)
    if (to / "made_from.json").exists() and read_json(to / "made_from.json") != made_from:
        raise InputError("peers of another split are here", where=str(to), remedy="Give another --to.")
    write_json(to / "made_from.json", made_from)
    return Split(config, dataset, to)


if __name__ == "__main__":
    sys.exit(main())
