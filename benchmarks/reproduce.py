"""Make docs/results.md, with its pictures, from runs: every figure in it comes from one that this command trained.

    python benchmarks/reproduce.py                       all of it: up to three hours on two cores
    python benchmarks/reproduce.py --amazon DIR          with Amazon Beauty, whose files are in DIR
    python benchmarks/reproduce.py --quick               the whole way on next to nothing; its figures mean nothing

The most telling comes first, and the document is written anew after each step, so a command that is interrupted leaves
what is known by then; given again, it goes on where it was. A finished run is never trained twice.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console import say
from errors import InputError
from evaluation import plots
from evaluation.report_words import duration, memory, named
from evaluation.summary_page import markdown_table
from files import atomic, read_json
from train import explained

ROOT = Path(__file__).parents[1]
DOCUMENT, PICTURES, ABLATION = "results.md", "images", "ablation"
QUICK = "**Quick: a trial of the command on a small part of the data. These figures mean nothing.**"
MISSING = "Not run yet."


@dataclass(frozen=True)
class Shop:
    """A data set.

    Attributes:
        name: of its folder of runs.
        title: of its section.
        flags: of `train.py`, that name data and settings.
    """

    name: str
    title: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All that is to be run.

    Attributes:
        out: folder of the runs.
        docs: folder of the document.
        shops: the first one with all windows and seeds and the ablation, the others with one window and seed.
        windows: test cut-offs of the first shop.
        seeds: of its trainings.
        variants: of the ablation; none: all.
        quick: the figures mean nothing.
    """

    out: Path
    docs: Path
    shops: Sequence[Shop]
    windows: Sequence[int]
    seeds: Sequence[int]
    variants: Sequence[str]
    quick: bool

    def commands(self) -> list[list[str]]:
        """The commands, the most telling ones first; later ones take up the runs of earlier ones."""
        first, *others = self.shops
        latest, seed = self.windows[-1:], self.seeds[:1]
        found = [self.train(first, latest, seed), *(self.train(shop, (), seed) for shop in others)]
        found += [
            self.train(first, latest, self.seeds),
            self.ablate(first),
            self.train(first, self.windows, self.seeds),
        ]
        return [command for at, command in enumerate(found) if command not in found[:at]]

    def train(self, shop: Shop, windows: Sequence[int], seeds: Sequence[int]) -> list[str]:
        """The command for windows and seeds of a shop; no windows: its own one."""
        chosen = [f"--protocol.test_cutoffs={_listed(windows)}"] if windows else []
        return ["train.py", *self._flags(shop), *chosen, f"--seeds={_listed(seeds)}", f"--out={self.out / shop.name}"]

    def ablate(self, shop: Shop) -> list[str]:
        """The command for the ablation, on the latest window with the first seed."""
        chosen = [f"--variants={','.join(self.variants)}"] if self.variants else []
        cutoff = f"--seeds={self.seeds[0]}"
        return ["cli.py", "ablate", *self._flags(shop), *chosen, cutoff, f"--to={self.out / ABLATION}"]

    def _flags(self, shop: Shop) -> list[str]:
        return [*shop.flags, "--store.uri=embedded", f"--store.home={self.out / 'graph' / shop.name}"]


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def reproduce(plan: Plan) -> int:
    """Run all that is not there, and write the document after each step.

    Returns:
        0, or the exit code of the command that did not end well.
    """
    commands = plan.commands()
    for number, command in enumerate(commands, 1):
        say("reproduce", f"{number} of {len(commands)}: python {' '.join(command)}")
        code = _ended([sys.executable, str(ROOT / command[0]), *command[1:]])
        write(plan)
        if code:
            say("stopped", f"{plan.docs / DOCUMENT} holds what is known so far; the same command goes on")
            return code
    say("done", str(plan.docs / DOCUMENT))
    return 0


def _ended(command: list[str]) -> int:
    """Run a command to its end; after Ctrl-C, which it has seen too, it is left to end by itself."""
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def write(plan: Plan) -> None:
    """Write the document and its pictures from what is there."""
    (plan.docs / PICTURES).mkdir(parents=True, exist_ok=True)
    parts = ["# Results", *([QUICK] if plan.quick else []), _origin(plan)]
    for number, shop in enumerate(plan.shops):
        parts += _shop(plan, shop)
        if not number:
            parts += _ablation(plan)
    parts += _cost(plan)
    with atomic(plan.docs / DOCUMENT) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _origin(plan: Plan) -> str:
    command = "python benchmarks/reproduce.py" + " --quick" * plan.quick + " --amazon DIR" * (len(plan.shops) > 1)
    revisions = sorted({str(facts["git_revision"]) for _, facts in _environments(plan)})
    code = f" Revision of the code: {', '.join(revisions)}." if revisions else ""
    return f"Written by `{command}` from its runs, not by hand.{code}"


def _shop(plan: Plan, shop: Shop) -> list[str]:
    """A shop's section: the summary of its runs, and pictures."""
    folder = plan.out / shop.name
    if not (folder / "summary.json").exists():
        return [f"## {shop.title}", MISSING]
    found = read_json(folder / "summary.json")
    return [*_section(shop.title, folder / "summary.md"), *_pictures(plan, shop, found)]


def _section(title: str, path: Path) -> list[str]:
    """A document as a section: with another title, and its headings one deeper."""
    _, *lines = path.read_text(encoding="utf-8").strip().splitlines()
    return [f"## {title}", "\n".join(f"#{line}" if line.startswith("#") else line for line in lines).strip()]


def _pictures(plan: Plan, shop: Shop, found: dict[str, Any]) -> list[str]:
    parts = ["### Pictures"]
    for level in found["test"]:
        name = f"results-{shop.name}-{level}.png"
        models = plots.history_length(found, level, plan.docs / PICTURES / name)
        told = f"{named(level).capitalize()} level: NDCG@20 by length of the history ({', '.join(map(named, models))})"
        parts.append(f"![{told}]({PICTURES}/{name})")
    name = f"results-{shop.name}-reliability.png"
    plots.reliability(found["reliability"], plan.docs / PICTURES / name)
    return [*parts, f"![Told and found shares of the targets]({PICTURES}/{name})"]


def _ablation(plan: Plan) -> list[str]:
    title, path = f"What each part is worth: {plan.shops[0].title}", plan.out / ABLATION / "ablation.md"
    return _section(title, path) if path.exists() else [f"## {title}", MISSING]


def _cost(plan: Plan) -> list[str]:
    """Wall time and memory of every run."""
    rows = []
    for folder, facts in _environments(plan):
        steps = facts["steps"]
        peak = max(step["peak_mb"] for step in steps) * 2**20
        seconds = sum(step["seconds"] for step in steps)
        rows.append([str(folder.relative_to(plan.out)), duration(seconds), memory(peak), f"{facts['cores']}"])
    told = "Wall times are the machine's as it was: what else ran on it, and pauses, are in them."
    return (
        ["## What the runs cost", told, markdown_table(["run", "wall time", "peak memory", "cores"], rows)]
        if rows
        else []
    )


def _environments(plan: Plan) -> list[tuple[Path, dict[str, Any]]]:
    """Folder and environment of each finished run."""
    files = sorted(plan.out.glob("*/*/environment.json"))
    return [(file.parent, read_json(file)) for file in files if not file.parent.name.endswith(".partial")]


def plan_of(given: argparse.Namespace) -> Plan:
    """What is to be run.

    Raises:
        InputError: the files of a shop are not there.
    """
    out = given.out or Path("runs") / ("results-quick" if given.quick else "results")
    example = ROOT / "docs" / "examples" / "amazon_beauty"
    amazon = ["--config", f"{example}.yaml", f"--data.mapping={example}.mapping.yaml", f"--data.root={given.amazon}"]
    small = ["--data.max_users=600", "--data.max_products=1500", "--optimiser.epochs=1", "--text.sample=4"]
    shops = [Shop("complete_journey", "Complete Journey", ("--config", "smoke") if given.quick else ())]
    if given.amazon is not None:
        if not (given.amazon / "items.parquet").is_file():
            remedy = "Give the folder of items.parquet and interactions.parquet."
            raise InputError("there is no items.parquet", where=str(given.amazon), remedy=remedy)
        shops.append(Shop("amazon_beauty", "Amazon Beauty", (*amazon, *(small if given.quick else ()))))
    return Plan(
        out,
        given.docs or (out / "docs" if given.quick else ROOT / "docs"),
        shops,
        [47] if given.quick else [33, 40, 47],
        [0] if given.quick else [0, 1, 2],
        ["no_graph", "no_text"] if given.quick else [],
        given.quick,
    )


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/reproduce.py", description=__doc__, formatter_class=form)
    parser.add_argument("--quick", action="store_true", help="small data, one window, one seed; means nothing")
    parser.add_argument("--amazon", type=Path, help="folder of Amazon Beauty's files")
    parser.add_argument("--out", type=Path, help="folder of the runs; default: runs/results, or runs/results-quick")
    parser.add_argument("--docs", type=Path, help="folder of results.md; default: docs, with --quick in --out")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run and write.

    Returns:
        0, 2 when something given is wrong, or 130 after Ctrl-C.
    """
    given = build_arguments().parse_args(arguments)
    return explained(lambda: reproduce(plan_of(given)), "--help lists all options.")


if __name__ == "__main__":
    sys.exit(main())
