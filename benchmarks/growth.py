"""How each step's cost grows with the catalogue and with the users, on synthetic data.

    python benchmarks/growth.py                          10,000, 100,000 and 1,000,000 products, 1,000 users each,
                                                         then 10 × the users with the smallest catalogue
    python benchmarks/growth.py --sizes 2000 10000       other catalogues
    python benchmarks/growth.py --users 500 --times 0    other numbers of users; no run with more of them

Each shop is made and measured in a process of its own, in a temporary folder, with an embedded store of its own, so
that one shop's memory is not counted for the next. The steps: write the files; read and validate them; load the
graph; read it back; encode the texts; evidence and training examples at one cut-off; one training epoch; rank all
unseen candidates of all test users at all levels. Taxonomy and the shop's periods stay the same (see --categories),
so what grows is the number of products, or of users with their baskets. Of synthetic texts about as many are distinct
whatever the size; ``benchmarks/steps.py`` tells what texts cost on real data.

The columns hold seconds and peak memory (child processes included). The last ones tell by what power of the size a
step's seconds grew between the first and the last shop of the kind: 0 not at all, 1 in proportion, 2 with its square.
A shop that takes longer than --limit seconds is given up; what it had measured by then is shown.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from data.config import DataConfig, SyntheticConfig
from data.load import load
from data.sources import synthetic
from data.splits import ProtocolConfig, targets
from files import check_folder
from train import explained
from training.cost import CostLog

if TYPE_CHECKING:
    from data.dataset import Dataset
    from training.config import TrainConfig
    from training.cutoffs import CutOff
    from training.graphs import ModelGraph
    from training.module import InterestModule

PERIODS, TRAIN, VALIDATION, TEST, HORIZON = 40, 19, 26, 33, 7


@dataclass(frozen=True)
class Shop:
    """What is measured.

    Attributes:
        products: number of products.
        users: number of users.
        categories: number of categories.
    """

    products: int
    users: int
    categories: int

    @property
    def title(self) -> str:
        """Heading of its column."""
        return f"{self.products:,} products\n{self.users:,} users"


def config_of(shop: Shop, folder: Path, heap: str) -> TrainConfig:
    """The main job's settings for a shop whose files are in the folder: one epoch at one cut-off, nothing tuned."""
    from kg.config import StoreConfig
    from training.config import TrainConfig

    config = TrainConfig(
        data=DataConfig(source="tabular", mapping=folder / "shop" / "mapping.yaml"),
        store=StoreConfig(uri="embedded", home=folder / "graph", heap=heap),
        protocol=ProtocolConfig(TEST, VALIDATION, [TRAIN], [], HORIZON),
        text_cache="",
    )
    config.text.strategy = "frozen"
    config.optimiser.epochs = 1
    return config


def made_up(shop: Shop) -> SyntheticConfig:
    """The synthetic shop of that size."""
    departments = max(1, min(30, shop.categories // 8))
    sizes = {"products": shop.products, "users": shop.users, "categories": shop.categories}
    return SyntheticConfig(**sizes, departments=departments, periods=PERIODS)


def measure(shop: Shop, folder: Path, heap: str, report: Path) -> None:
    """Run all steps on one shop; the report is written anew after each."""
    import pytorch_lightning as pl

    config, cost = config_of(shop, folder, heap), Told(file=report)
    pl.seed_everything(config.seed, verbose=False)
    with cost.step("write files"):
        synthetic.write(made_up(shop), folder / "shop")
    with cost.step("read, validate") as line:
        dataset = load(config.data)
        line.append(f"{len(dataset.log):,} lines")
    _train_and_rank(config, cost, dataset, _graphs(config, cost, dataset), folder / "run")


def _graphs(config: TrainConfig, cost: CostLog, dataset: Dataset) -> dict[int, ModelGraph]:
    """Load the graph, and read it back as known at the training and the test cut-off."""
    from kg.load import load_graph
    from kg.readback import read_graphs
    from kg.store import GraphStore
    from training import build

    with GraphStore.open(config.store) as store:
        with cost.step("graph load") as line:
            loaded = load_graph(store, dataset, [TRAIN, TEST], config.copurchase)
            line.append(f"{loaded.rows:,} rows")
        with cost.step("read-back"):
            return build.model_graphs(read_graphs(store, [TRAIN, TEST]))


def _train_and_rank(
    config: TrainConfig, cost: CostLog, dataset: Dataset, graphs: dict[int, ModelGraph], folder: Path
) -> None:
    """Encode the texts, gather evidence, train one epoch, rank the test users."""
    from fusion.model import CrossAisle
    from training import build
    from training.cutoffs import Chain
    from training.module import InterestModule
    from training.phases import Phases

    with cost.step("texts") as line:
        plan, texts = build.text_plan(dataset)
        bank = build.text_bank(config, texts)
        line.append(f"{len(bank.texts):,} distinct")
    chain = Chain.of(dataset)
    with cost.step("evidence"):
        store = build.ExampleStore(config, dataset, chain, graphs)
        examples, items = store.get([TRAIN])
        test = build.cutoff(config, dataset, chain, TEST, graphs[TEST])
    model = CrossAisle(build.shape_of(dataset, bank, test, config.model), config.model)
    build.fit_scales(model, examples, items, config.seed)
    with cost.step("one epoch"):
        Phases(folder, config.optimiser, config.seed, store).run("growth", model, bank, plan, [TRAIN])
    with cost.step("ranking") as line:
        module = InterestModule(model, bank, plan, [], config.optimiser, False, None).eval()
        line.append(f"{_rank_all(dataset, module, test):,} users")


def _rank_all(dataset: Dataset, module: InterestModule, test: CutOff) -> int:
    """Rank at every level; the number of users of the last one."""
    from evaluation.ranking import rank
    from evaluation.scorer import Problem
    from training.run import levels_of
    from training.scorer import CrossAisleScorer

    scorer, users = CrossAisleScorer(module, test), 0
    for level in levels_of(dataset).values():
        problem = Problem(dataset, level, TEST)
        found = targets(dataset, level, TEST, HORIZON)
        users = len(rank(scorer.fit(problem), problem, found).users)
    return users


@dataclass
class Told(CostLog):
    """A cost log that is written to a file, as JSON, whenever a step is done.

    Attributes:
        file: where.
    """

    file: Path = Path("steps.json")

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Measure a step; one that fails is not written."""
        with super().step(name) as texts:
            yield texts
        self.file.write_text(json.dumps(self.to_json()), encoding="utf-8")


def run(shop: Shop, heap: str, limit: float) -> list[dict[str, Any]]:
    """Measure one shop in a fresh process; the steps it got through."""
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "steps.json"
        command = [sys.executable, __file__, "--one", temporary, "--heap", heap, "--users", str(shop.users)]
        command += ["--sizes", str(shop.products), "--categories", str(shop.categories)]
        try:
            done = subprocess.run(command, check=False, timeout=limit)
        except subprocess.TimeoutExpired:
            print(f"given up after {limit:.0f} s: {shop}", file=sys.stderr)
        else:
            if done.returncode:
                print(f"ended with exit code {done.returncode}: {shop}", file=sys.stderr)
        found: list[dict[str, Any]] = json.loads(report.read_text("utf-8")) if report.exists() else []
        return found


def power(costs: list[float | None], sizes: list[int]) -> str:
    """By what power of the size the costs grew, first to last; "–" where that cannot be told."""
    known = [(size, cost) for size, cost in zip(sizes, costs, strict=True) if cost]
    if len(known) < 2 or known[0][0] == known[-1][0]:
        return "–"
    (small, little), (large, much) = known[0], known[-1]
    return f"{math.log(much / little) / math.log(large / small):.2f}"


def show(shops: list[Shop], costs: list[list[dict[str, Any]]], grown: Shop | None) -> None:
    """Print seconds and peak memory by step and shop, and the powers.

    Args:
        shops: measured, the one with more users last.
        costs: their steps.
        grown: that last one, if any.
    """
    table = Table("step", title="Seconds (peak GiB)")
    for shop in shops:
        table.add_column(shop.title, justify="right")
    table.add_column("power of\nproducts", justify="right")
    table.add_column("power of\nusers", justify="right")
    of = [{step["name"]: step for step in steps} for steps in costs]
    names = dict.fromkeys(step["name"] for steps in costs for step in steps)
    by_products = len(shops) - (grown is not None)
    for name in names:
        seconds = [steps[name]["seconds"] if name in steps else None for steps in of]
        cells = [_cell(steps.get(name)) for steps in of]
        products = power(seconds[:by_products], [shop.products for shop in shops[:by_products]])
        users = power([seconds[0], seconds[-1]], [shops[0].users, grown.users]) if grown else "–"
        table.add_row(name, *cells, products, users)
    Console(highlight=False, width=None if sys.stdout.isatty() else 140).print(table)


def _cell(step: dict[str, Any] | None) -> str:
    return "–" if step is None else f"{step['seconds']:.1f} ({step['peak_mb'] / 1024:.1f})"


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/growth.py", description=__doc__, formatter_class=form)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="numbers of products"
    )
    parser.add_argument("--users", type=int, default=1000, help="number of users; default 1000")
    parser.add_argument("--times", type=int, default=10, help="how many times the users in the last shop; 0: no such")
    parser.add_argument("--categories", type=int, default=300, help="number of categories; default 300")
    parser.add_argument("--heap", default="2g", help="largest Java heap of the store; default 2g")
    parser.add_argument(
        "--limit", type=float, default=1800, help="seconds after which a shop is given up; default 1800"
    )
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure every shop and print.

    Returns:
        0, 1 where something could not be measured, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    given = build_arguments().parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    if given.json:
        check_folder(given.json.parent)
    shops = [Shop(size, given.users, min(given.categories, size)) for size in sorted(given.sizes)]
    if given.one:
        measure(shops[0], given.one, given.heap, given.one / "steps.json")
        return 0
    grown = replace(shops[0], users=shops[0].users * given.times) if given.times else None
    shops += [grown] if grown else []
    costs = [run(shop, given.heap, given.limit) for shop in shops]
    show(shops, costs, grown)
    if given.json:
        figures = [vars(shop) | {"steps": steps} for shop, steps in zip(shops, costs, strict=True)]
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0 if all(costs) else 1


if __name__ == "__main__":
    sys.exit(main())
