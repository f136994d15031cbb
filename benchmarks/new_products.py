"""How fast the vectors of new products are made, and where the time goes.

    python benchmarks/new_products.py runs/NAME
    python benchmarks/new_products.py runs/NAME --products 20000 --texts 4000 --threads 2

A sample of the run's products is treated as new ones: their texts go through the tokenizer and the language model,
their neighbours in the graph (taxonomy node, brand, …) are looked up and passed on, and the fusion joins both. All else
(the encoded graph without products) is there once for all. Products of a shop share texts (``distinct`` of them are
encoded); *own texts* is what it takes where every product has a text of its own.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from fusion.attention import ModalityFusion
from kg.config import StoreConfig
from train import explained
from training.build import text_plan
from training.loaded import LoadedRun, load_run

Found = TypeVar("Found")


@dataclass(frozen=True)
class Timed:
    """A step's work.

    Attributes:
        step: of the way from a product to its vector.
        products: that went through it.
        seconds: that it took.
    """

    step: str
    products: int
    seconds: float

    @property
    def each(self) -> float:
        """Seconds for each product."""
        return self.seconds / max(self.products, 1)


def timed(step: str, products: int, work: Callable[[], Found]) -> tuple[Timed, Found]:
    """Do a step."""
    started = perf_counter()
    found = work()
    return Timed(step, products, perf_counter() - started), found


@torch.inference_mode()
def steps(run: LoadedRun, products: int, texts: int, seed: int = 0) -> tuple[list[Timed], Timed, int]:
    """The steps of a sample of products, the language model on texts of their own, and the number of distinct texts.

    Args:
        run: a loaded run.
        products: size of the sample, at most.
        texts: products whose texts are encoded one by one, at most.
        seed: of the sample.
    """
    module, cutoff = run.scorer.module, run.scorer.cutoff
    encoder, plan = module.bank.encoder, module.plan
    first, last = plan.spans[plan.leaf]
    chosen = np.sort(np.random.default_rng(seed).permutation(last - first)[:products])
    every = text_plan(run.dataset, run.config)[1]
    own = [every[first + one] for one in chosen]
    distinct = sorted(set(own))
    nodes = module.nodes(cutoff)
    vectors = module.bank.embed(torch.from_numpy(chosen) + first)
    n = len(chosen)
    tokenizer, tokens = timed("text: tokenizer", n, lambda: encoder.tokenize(distinct))
    model, _ = timed("text: language model", n, lambda: encoder.encode(tokens, progress=False))
    alone, _ = timed("own texts", min(texts, n), lambda: encoder.encode(own[:texts], progress=False))
    looked, found = timed("graph: neighbours", n, lambda: cutoff.graph.rows(chosen))
    passed, hidden = timed("graph: messages", n, lambda: module.model.leaf_hidden(nodes, found))
    fuse = module.model.fusion[f"fuse_{plan.leaf}"]
    assert isinstance(fuse, ModalityFusion)
    joined, _ = timed(
        "fusion", n, lambda: fuse({name: {"graph": hidden, "text": vectors}[name] for name in fuse.names})
    )
    return [tokenizer, model, looked, passed, joined], alone, len(distinct)


def rows(found: list[Timed], alone: Timed) -> list[list[str]]:
    """The table: each step, all of them, and all with texts of their own."""
    whole = sum(one.each for one in found)
    cells = [[one.step, f"{1 / one.each:,.0f}", f"{one.each / whole:.1%}"] for one in found]
    rest = sum(one.each for one in found if not one.step.startswith("text"))
    cells.append(["all", f"{1 / whole:,.0f}", ""])
    cells.append(["text, own texts", f"{1 / alone.each:,.0f}", f"{alone.each / (alone.each + rest):.1%}"])
    return [*cells, ["all, own texts", f"{1 / (alone.each + rest):,.0f}", ""]]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--products", type=int, default=20_000, help="that are treated as new, at most")
    parser.add_argument("--texts", type=int, default=4000, help="products whose texts are encoded one by one, at most")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--store", type=Path, default=None, help="home of an embedded store, if not the run's")
    given = parser.parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    torch.set_num_threads(given.threads)
    run = load_run(given.run, None if given.store is None else StoreConfig(home=given.store))
    found, alone, distinct = steps(run, given.products, given.texts)
    title = f"{found[0].products:,} new products with {distinct:,} distinct texts, CPU, {given.threads} threads"
    table = Table("step", "products/s", "share of the time", title=title)
    for row in rows(found, alone):
        table.add_row(*row)
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
