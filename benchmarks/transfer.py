"""Starting on another shop's data from a trained run, against starting from scratch: Amazon Beauty at 1%, 10%, 100%.

    python benchmarks/transfer.py RUN --amazon DIR        RUN: a finished run of another shop, such as Complete Journey
    python benchmarks/transfer.py RUN --amazon DIR --quick    the whole way on next to nothing; its figures mean nothing

For each share of the shop's users and each seed a sample of them is drawn, and the model is trained on it from scratch
and from all that RUN has to give, with ``--without_heads`` also from its language model and encoders alone
(``--init_parts [text,encoders]``), with the same settings otherwise. A training on a share knows these users' purchases
alone: examples, evidence, graph and validation are made from them. The smaller the share, the more epochs are allowed,
in all arms alike; validation chooses among them.

Asked are the same users in all arms: everybody in the whole data who has a target after the test cut-off. A user is
their history, so what those who are not in a sample bought before the cut-off is what the model is asked about, and
nothing that it was trained on. EASE and popularity, tuned and fitted on the same sample, are asked the same.

NDCG@20, the mean over seeds; differences to scratch, each user's averaged over the seeds, with 95% intervals by paired
bootstrap over users, and their range over the seeds. An interrupted command goes on where it was.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.shops import EXAMPLES, ROOT, ended
from console import say
from data.dataset import Dataset
from data.load import load
from data.log import Log
from data.lookup import positions
from data.splits import ProtocolConfig, targets
from errors import InputError
from evaluation.baselines import default_grids
from evaluation.bootstrap import bootstrap
from evaluation.evaluate import accuracy
from evaluation.ranking import rank
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer
from evaluation.summary_page import markdown_table
from evaluation.tuning import tune
from files import atomic
from train import explained
from training.initial import Source
from training.loaded import LoadedRun, load_run, read_config
from training.run import levels_of

SCRATCH, WHOLE, WITHOUT_HEADS = "scratch", "transfer", "transfer without heads"
ARMS = {
    SCRATCH: (),
    WHOLE: ("--init_from={run}",),
    WITHOUT_HEADS: ("--init_from={run}", "--init_parts=[text,encoders]"),
}
BASELINES = ("popularity", "ease")
EPOCHS = {0.01: 20, 0.1: 12, 1.0: 4}
SEEDS = {0.01: 3, 0.1: 2, 1.0: 1}
QUICK, QUICK_SHARES = ("--text.max_tokens=8", "--text.sample=4", "--copurchase.min_support=2"), [0.01, 0.02]
QUICK_TOLD = "**Quick: a trial of the command. These figures mean nothing.**"
DOCUMENT, K = "transfer.md", 20
METRIC = f"ndcg@{K}"


@dataclass(frozen=True)
class Part:
    """A share of the users, a seed of their sample and of the trainings.

    Attributes:
        share: of the shop's users, in (0, 1].
        users: their number; None: all.
        seed: of the sample and of the trainings.
        epochs: that a training may take.
    """

    share: float
    users: int | None
    seed: int
    epochs: int

    def name(self, arm: str) -> str:
        """Of an arm's run folder and figures."""
        return f"{self.share:g}-{self.seed}-{arm.replace(' ', '-')}"

    def command(self, arm: str, run: Path, data: Path, out: Path, more: Sequence[str] = ()) -> list[str]:
        """The training of an arm; ``more``: further flags of `train.py`."""
        shop = [f"--config={EXAMPLES / 'amazon_beauty.yaml'}", f"--data.root={data}"]
        shop += [f"--data.mapping={EXAMPLES / 'amazon_beauty.mapping.yaml'}", "--baselines.names=[]"]
        sample = [f"--data.max_users={self.users}"] if self.users is not None else []
        sample += [f"--data.seed={self.seed}", f"--seed={self.seed}"]
        length = [f"--optimiser.epochs={self.epochs}", f"--optimiser.patience={max(2, self.epochs // 4)}"]
        places = ["--store.uri=embedded", f"--store.home={out / 'graph'}", f"--text_cache={out / 'text'}"]
        start = [flag.format(run=run) for flag in ARMS[arm]]
        return ["train.py", *shop, *sample, *length, *more, *start, *places, f"--out={out / self.name(arm)}"]


def parts(n_users: int, shares: Sequence[float], seeds: Sequence[int], epochs: Sequence[int]) -> list[Part]:
    """All samples, the smallest first.

    Args:
        n_users: of the shop.
        shares: of them.
        seeds: number of seeds for each share.
        epochs: for each share.
    """
    plan = sorted(zip(shares, seeds, epochs, strict=True))
    return [
        Part(share, None if share == 1 else max(1, round(share * n_users)), seed, most)
        for share, number, most in plan
        for seed in range(number)
    ]


# -- measuring -----------------------------------------------------------------------------------------------


class Asked(Scorer):
    """A scorer fitted on a sample of users, asked about users of the whole shop.

    Args:
        scorer: fitted on the sample.
        sample: the shop as the scorer knows it.
        whole: the whole shop.
    """

    def __init__(self, scorer: Scorer, sample: Dataset, whole: Dataset) -> None:
        self.scorer, self.name = scorer, scorer.name
        self._row = positions(pd.Series(whole.user_ids), sample.user_ids)

    def fit(self, problem: Problem) -> Self:
        """Nothing is learnt from those who are asked about."""
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """As the scorer; whoever is not in its sample is a stranger to it."""
        return self.scorer.score(history, np.where(rows >= 0, self._row[rows], -1))


def measured(scorer: Scorer, sample: Dataset, whole: Dataset, protocol: ProtocolConfig, level: str) -> pd.DataFrame:
    """Figures of everybody in the whole shop who has a target: ``user_id``, ``level``, NDCG@20 and recall@20.

    Args:
        scorer: fitted on the sample at the level.
        sample: the shop as the scorer knows it.
        whole: the whole shop, with the same products.
        protocol: of the test.
        level: name of the level.

    Raises:
        InputError: the sample has other products than the whole shop.
    """
    if not np.array_equal(sample.catalogue.product_ids, whole.catalogue.product_ids):
        remedy = "Leave data.max_products out: it keeps what the sample buys most."
        raise InputError("the sample has other products than the shop", where="--more", remedy=remedy)
    problem = Problem(whole, levels_of(whole)[level], protocol.test_cutoff)
    wanted = targets(whole, problem.level, protocol.test_cutoff, protocol.horizon)
    rankings = rank(Asked(scorer, sample, whole), problem, wanted, K)
    figures = accuracy(rankings, wanted.hits[rankings.users], (K,))
    columns = {name: figures[name] for name in (METRIC, f"recall@{K}")}
    return pd.DataFrame({"user_id": whole.user_ids[rankings.users], "level": level, **columns})


def of_run(run: LoadedRun, whole: Dataset) -> pd.DataFrame:
    """Figures of a run at all levels."""
    protocol, found = run.config.protocol, []
    for level, nodes in levels_of(run.dataset).items():
        scorer = run.scorer.fit(Problem(run.dataset, nodes, protocol.test_cutoff))
        found.append(measured(scorer, run.dataset, whole, protocol, level))
    return pd.concat(found, ignore_index=True)


def of_baseline(name: str, sample: Dataset, whole: Dataset, protocol: ProtocolConfig) -> pd.DataFrame:
    """Figures of a baseline, tuned on the sample's validation window and fitted on it, where it fits the level."""
    found = []
    for level, nodes in levels_of(sample).items():
        test = Problem(sample, nodes, protocol.test_cutoff)
        grids = default_grids(test)
        wanted = targets(sample, nodes, protocol.validation_cutoff, protocol.horizon)
        if name in grids and len(wanted.users):
            tuned = tune(grids[name], test.at(protocol.validation_cutoff), wanted, test)
            found.append(measured(tuned.scorer, sample, whole, protocol, level))
    return pd.concat(found, ignore_index=True)


# -- the table -----------------------------------------------------------------------------------------------


def table(found: dict[str, list[pd.DataFrame]], level: str) -> list[list[str]]:
    """A row for each arm: NDCG@20, less scratch with its interval, and its range over the seeds.

    Args:
        found: figures by arm, one frame for each seed, scratch among them.
        level: name of the level.
    """
    there = {arm: frames for arm, frames in found.items() if all((one["level"] == level).any() for one in frames)}
    by_arm = {arm: _of_seeds(frames, level) for arm, frames in there.items()}
    scratch, rows = by_arm[SCRATCH], []
    for arm, figures in by_arm.items():
        told = ["", ""]
        if arm != SCRATCH:
            (gain,) = bootstrap((figures - scratch).mean(axis=1))
            by_seed = (figures - scratch).mean(axis=0)
            told = [f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"]
            told += [f"{by_seed.min():+.4f} to {by_seed.max():+.4f}" if len(by_seed) > 1 else ""]
        rows.append([arm, f"{figures.mean():.4f}", *told])
    return rows


def _of_seeds(frames: Sequence[pd.DataFrame], level: str) -> npt.NDArray[np.float64]:
    """NDCG@20 at a level, shape (users, seeds)."""
    columns = [frame[frame["level"] == level].set_index("user_id")[METRIC] for frame in frames]
    return pd.concat(columns, axis=1).to_numpy(dtype=np.float64)


def write(out: Path, plan: Sequence[Part], arms: Sequence[str], quick: bool) -> str:
    """Write the document from the figures that are there, of these arms and the baselines, and give it."""
    rows = [*arms, *BASELINES]
    blocks = ["# Transfer", *([QUICK_TOLD] if quick else [])]
    for share in sorted({part.share for part in plan}):
        done = [part for part in plan if part.share == share and all(_file(out, part, arm).exists() for arm in rows)]
        if done:
            found = {arm: [pd.read_parquet(_file(out, part, arm)) for part in done] for arm in rows}
            blocks += _section(share, done, found)
    text = "\n\n".join(blocks) + "\n"
    with atomic(out / DOCUMENT) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def _section(share: float, done: Sequence[Part], found: dict[str, list[pd.DataFrame]]) -> list[str]:
    users = "all users" if done[0].users is None else f"{done[0].users:,} users"
    seeds, most = f"{len(done)} seed{'s'[: len(done) != 1]}", f"at most {done[0].epochs} epochs"
    blocks = [f"## {share:.0%}: {users}, {seeds}, {most}"]
    for level in found[SCRATCH][0]["level"].unique():
        asked = int((found[SCRATCH][0]["level"] == level).sum())
        head = [f"{level}, {asked:,} users asked", "NDCG@20", "less scratch (95%)", "range over seeds"]
        blocks.append(markdown_table(head, table(found, level)))
    return blocks


def _file(out: Path, part: Part, arm: str) -> Path:
    return out / "measured" / f"{part.name(arm)}.parquet"


# -- the command ---------------------------------------------------------------------------------------------


def trained(command: Sequence[str], to: Path) -> None:
    """Run a training, unless it is there; one that was interrupted goes on.

    Raises:
        InputError: it did not end well.
    """
    if to.exists():
        return
    partial = to.with_name(to.name + ".partial")
    if (partial / "config.yaml").exists():
        command = ["train.py", f"--resume={partial}"]
    else:
        shutil.rmtree(partial, ignore_errors=True)
    say("train", f"python {' '.join(command)}")
    code = ended([sys.executable, str(ROOT / command[0]), *command[1:]])
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise InputError(f"a training ended with exit code {code}", where=str(to), remedy="Its own message is above.")


def measure(out: Path, part: Part, arm: str, whole: Dataset) -> None:
    """Put the figures of an arm, or of the baselines, into their file, unless they are there."""
    to = _file(out, part, arm)
    if to.exists():
        return
    if arm in ARMS:
        figures = of_run(load_run(out / part.name(arm)), whole)
    else:
        config = read_config(out / part.name(SCRATCH) / "config.yaml")
        figures = of_baseline(arm, load(config.data), whole, config.protocol)
    with atomic(to) as temporary:
        figures.to_parquet(temporary, index=False)


def run(given: argparse.Namespace, out: Path) -> None:
    """Train and measure all arms of all samples, the smallest samples first, and write the document after each.

    Raises:
        InputError: RUN is no finished run, or a training did not end well.
    """
    Source.read(given.run)
    (out / "measured").mkdir(parents=True, exist_ok=True)
    more = [*(QUICK if given.quick else ()), *given.more]
    data, whole = given.amazon.resolve(), whole_shop(given, out, more)
    arms = [SCRATCH, WHOLE, *([WITHOUT_HEADS] if given.without_heads else [])]
    plan = parts(len(whole.user_ids), given.shares, given.seeds, given.epochs)
    for part in plan:
        for arm in arms:
            trained(part.command(arm, given.run.resolve(), data, out, more), out / part.name(arm))
            measure(out, part, arm, whole)
        for name in BASELINES:
            measure(out, part, name, whole)
        text = write(out, plan, arms, given.quick)
    print(text)


def whole_shop(given: argparse.Namespace, out: Path, more: Sequence[str]) -> Dataset:
    """The shop with all users."""
    import train
    from training.config import from_parsed

    parser = train.build_parser()
    command = Part(1.0, None, 0, 1).command(SCRATCH, given.run, given.amazon.resolve(), out, more)
    config = from_parsed(parser, train.parse(command[1:], parser))
    return load(replace(config.data, max_users=None))


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/transfer.py", description=__doc__, formatter_class=form)
    parser.add_argument("run", type=Path, help="folder of a finished run of another shop")
    parser.add_argument("--amazon", type=Path, required=True, help="folder of the files of Amazon Beauty")
    parser.add_argument("--shares", type=float, nargs="+", help="of the users; default: 0.01 0.1 1")
    parser.add_argument("--seeds", type=int, nargs="+", help="number of seeds of each share; default: 3 2 1")
    parser.add_argument("--epochs", type=int, nargs="+", help="most epochs of each share; default: 20 12 4")
    parser.add_argument("--without_heads", action="store_true", help="a third arm: without the heads")
    parser.add_argument("--out", type=Path, help="folder of the runs; default: runs/transfer, or runs/transfer-quick")
    parser.add_argument("--more", nargs="*", default=[], help="further flags of train.py, for all arms")
    parser.add_argument("--quick", action="store_true", help="1%% and 2%%, one seed, one epoch; means nothing")
    return parser


def complete(given: argparse.Namespace) -> argparse.Namespace:
    """Fill in the number of seeds and epochs of each share.

    Raises:
        InputError: shares that are none, or another number of seeds or epochs than of shares.
    """
    given.shares = given.shares or (QUICK_SHARES if given.quick else list(SEEDS))
    bad = [share for share in given.shares if not 0 < share <= 1]
    if bad:
        raise InputError(f"{bad[0]:g} is no share", where="--shares", remedy="Give 0 < share <= 1.")
    one = [1] * len(given.shares)
    given.seeds = given.seeds or (one if given.quick else [SEEDS.get(share, 1) for share in given.shares])
    given.epochs = given.epochs or (one if given.quick else [EPOCHS.get(share, 4) for share in given.shares])
    for flag in ("seeds", "epochs"):
        if len(getattr(given, flag)) != len(given.shares):
            raise InputError(f"{len(given.shares)} shares", where=f"--{flag}", remedy="Give one number for each.")
    return given


def main(arguments: list[str] | None = None) -> int:
    """Train, measure and print.

    Returns:
        0, 2 when something given is wrong, or 130 after Ctrl-C.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    given = build_arguments().parse_args(arguments)
    return explained(lambda: begun(given), "--help lists all options.")


def begun(given: argparse.Namespace) -> int:
    """Run the command; after Ctrl-C tell that it can go on.

    Returns:
        0, or 130 after Ctrl-C.
    """
    try:
        run(complete(given), given.out or Path("runs") / ("transfer-quick" if given.quick else "transfer"))
    except KeyboardInterrupt:
        say("interrupted", "the same command goes on where this one was")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
