"""Training of the heads for items that nobody has bought.

Nobody can learn what becomes of unsold items from what the sold ones look like. There are two kinds of examples at a
cut-off. *Pretended*: a share of a level's items is taken out of what is counted before it (histories, popularity,
co-occurrence, their own co-purchases in the graph; those of the nodes above stay), as if nobody had bought them.
*Unsold*: what really nobody had bought. In both the head learns to rank the items among themselves by what was bought
of them after the cut-off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.catalogue import Level
from data.dataset import Dataset
from data.splits import targets
from errors import InputError
from evaluation.cold import ColdTask
from evaluation.ranking import batches
from evaluation.scorer import Problem
from evidence.popularity import buyers
from fusion.cold import ColdHead
from fusion.losses import unseen_softmax
from training import build
from training.cold import ColdView
from training.config import ColdKind, ColdStartConfig, TrainConfig
from training.cutoffs import Chain
from training.graphs import ModelGraph
from training.module import InterestModule

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """Users who bought items that are, or were made to look, unsold.

    Attributes:
        parent: log p of the items' parents, −∞ where an item is no candidate, shape (n, m).
        evidence: shape (n, m, features).
        bought: shape (n, m), bool.
        share: of all that was bought at the level in the horizon, what fell on the items.
    """

    parent: Tensor
    evidence: Tensor
    bought: Tensor
    share: float

    @classmethod
    def of(cls, view: ColdView, task: ColdTask, share: float, most: int) -> Examples:
        """Of at most so many users."""
        places = np.sort(np.random.default_rng(task.problem.cutoff).permutation(len(task.users))[:most])
        history, cells = task.problem.history, len(view.items) * (len(view.names) + 1)
        parts = [view.of(history.of_users(rows), rows) for rows in batches(task.users[places], None, cells)]
        log_p, evidence = (np.concatenate(column) for column in zip(*parts, strict=True))
        log_p[~task.candidates[places]] = -np.inf
        wanted = torch.from_numpy(task.wanted[places])
        return cls(torch.from_numpy(log_p), torch.from_numpy(evidence), wanted, share)


def fit_heads(
    config: TrainConfig,
    module: InterestModule,
    dataset: Dataset,
    graphs: Mapping[int, ModelGraph],
    times: Sequence[int],
) -> dict[str, ColdHead]:
    """A head for each level below the interest level; a level of whose items too few are bought gets none.

    Args:
        config: the run's.
        module: trained; its weights stay as they are.
        dataset: the shop's data.
        graphs: by cut-off.
        times: cut-offs to learn from; their horizons end before what the head is asked about.
    """
    found = {}
    for step, described in enumerate(module.model.shape.steps):
        moments = [(time, graphs[time]) for time in times]
        tried = [
            _tried(kind, config, module, dataset, moment, step) for kind in config.cold.kinds for moment in moments
        ]
        examples = [one for one in tried if one is not None]
        if examples:
            found[described.label] = fit_head(examples, config.cold, config.seed)
    return found


def _tried(
    kind: ColdKind,
    config: TrainConfig,
    module: InterestModule,
    dataset: Dataset,
    moment: tuple[int, ModelGraph],
    step: int,
) -> Examples | None:
    """Examples of a kind; None where nobody bought one of the items."""
    try:
        return examples_at(config, module, dataset, moment, step, kind)
    except InputError:
        return None


def cold_cutoffs(config: TrainConfig) -> list[int]:
    """The latest cut-offs before the test that the heads learn from."""
    times = sorted(config.protocol.refit_cutoffs or config.protocol.train_cutoffs)
    return times[-config.cold.cutoffs :] if config.cold.cutoffs else []


def examples_at(
    config: TrainConfig,
    module: InterestModule,
    dataset: Dataset,
    moment: tuple[int, ModelGraph],
    step: int,
    kind: ColdKind = "pretended",
) -> Examples:
    """What a step's head learns from at a cut-off (its time and graph).

    Raises:
        InputError: nobody bought one of the items that were chosen.
    """
    view, task = (pretend if kind == "pretended" else unsold)(config, module, dataset, moment, step)
    whole = targets(dataset, task.problem.level, moment[0], config.protocol.horizon).hits
    return Examples.of(view, task, task.wanted.sum() / max(whole.nnz, 1), config.cold.users)


def fit_head(examples: Sequence[Examples], config: ColdStartConfig, seed: int) -> ColdHead:
    """A trained head, its scores put on the scale of log-probabilities.

    A ranking says nothing of the scores' level: b is chosen so that the mean over users of Σ exp(t_ui) over the items
    is the share of purchases that fell on them.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = ColdHead(examples[0].evidence.shape[-1], config.hidden)
        for _ in epochs_of(head, examples, config, seed):
            pass
    with torch.inference_mode():
        mass = torch.cat([head(one.parent, one.evidence).exp().sum(dim=1) for one in examples]).mean()
        share = float(np.mean([one.share for one in examples]))
        head.linear.bias.add_(float(np.log(max(share, 1e-9))) - mass.log())
    return head.eval()


def epochs_of(head: ColdHead, examples: Sequence[Examples], config: ColdStartConfig, seed: int) -> Iterator[None]:
    """Train a head; comes back after each epoch."""
    head.scale.fit([one.evidence[one.parent.isfinite()] for one in examples])
    optimiser = torch.optim.AdamW(head.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(config.epochs):
        orders = [torch.randperm(len(one.parent), generator=generator).split(config.batch_size) for one in examples]
        plan = [(one, places) for one, order in zip(examples, orders, strict=True) for places in order]
        head.train()
        for number in torch.randperm(len(plan), generator=generator).tolist():
            one, places = plan[number]
            parent = one.parent[places]
            bought = one.bought[places] & parent.isfinite()
            loss = unseen_softmax(head(parent, one.evidence[places]), parent.isfinite(), bought.float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        head.eval()
        yield


def pretend(
    config: TrainConfig,
    module: InterestModule,
    dataset: Dataset,
    moment: tuple[int, ModelGraph],
    step: int,
    fold: int = 0,
) -> tuple[ColdView, ColdTask]:
    """A seeded share of a step's items made to look unsold at a cut-off, and who bought them after it.

    Args:
        config: the run's.
        module: trained.
        dataset: with the items' purchases, which are the targets.
        moment: time and graph of the cut-off.
        step: whose children are chosen from.
        fold: number of the choice.

    Raises:
        InputError: nobody bought one of the items.
    """
    (time, graph), chain = moment, Chain.of(dataset)
    level = chain.levels[step]
    items = chosen(chain.parents[step], config.cold, [config.seed, time, step, fold])
    without = without_items(dataset, level, items)
    task = ColdTask.of(Problem(without, level, time), items, config.protocol.horizon, dataset)
    above = Chain(chain.levels[:step], chain.parents[:step])
    hidden = graph.without_purchases(module.model.shape.steps[step].label, items)
    cutoff = build.cutoff(config, without, above, time, hidden)
    return ColdView(module, cutoff, chain, step, items, config), task


def unsold(
    config: TrainConfig, module: InterestModule, dataset: Dataset, moment: tuple[int, ModelGraph], step: int
) -> tuple[ColdView, ColdTask]:
    """A seeded choice of a step's items that nobody bought before a cut-off, and who bought them after it.

    Args:
        config: the run's.
        module: trained.
        dataset: the shop's data.
        moment: time and graph of the cut-off.
        step: whose children are chosen from.

    Raises:
        InputError: nobody bought one of the items.
    """
    (time, graph), chain = moment, Chain.of(dataset)
    problem = Problem(dataset, chain.levels[step], time)
    never = np.flatnonzero((buyers(problem.history, problem.of_product, time) == 0) & (chain.parents[step] >= 0))
    order = np.random.default_rng([config.seed, time, step]).permutation(never)
    items = np.sort(order[: config.cold.most_items])
    task = ColdTask.of(problem, items, config.protocol.horizon)
    above = Chain(chain.levels[:step], chain.parents[:step])
    return ColdView(module, build.cutoff(config, dataset, above, time, graph), chain, step, items, config), task


def chosen(parent: IntArray, config: ColdStartConfig, seed: Sequence[int]) -> IntArray:
    """A seeded choice of items that have a parent, sorted."""
    there = np.flatnonzero(parent >= 0)
    n = min(max(1, round(config.share * len(there))), config.most_items)
    return np.sort(np.random.default_rng(list(seed)).permutation(there)[:n])


def without_items(dataset: Dataset, level: Level | None, items: IntArray) -> Dataset:
    """The data set without the purchases of some items of a level."""
    lost = np.zeros(len(dataset.catalogue.product_ids), dtype=bool)
    lost[items if level is None else np.unique(level.of_product.tocsc()[:, items].indices)] = True
    return replace(dataset, log=dataset.log.where(~lost[dataset.log.product]))
