"""The same model on other shops, by the same commands: a table for each beside all baselines, in shops.md.

    python benchmarks/shops.py --amazon DIR --retail DIR --ta_feng DIR
    python benchmarks/shops.py --amazon DIR --quick          the whole way on next to nothing; its figures mean nothing

DIR holds the files of a shop; docs/shops.md tells where they come from. Each shop is run with the settings in
docs/examples, Amazon Beauty twice, without its `related` edges and with them. shops.md, in the folder of the runs, is
written anew after each; an interrupted command goes on where it was, and a finished run is never trained twice.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console import say
from errors import InputError
from evaluation.summary_page import markdown_table
from files import atomic, read_json
from train import explained

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
DOCUMENT = "shops.md"
QUICK = "**Quick: a trial of the command on a small part of the data. These figures mean nothing.**"
SMALL = ("--data.max_users=600", "--data.max_products=1500", "--optimiser.epochs=1", "--text.sample=4")
MORE = ("user_knn", "bpr")  # baselines beside the default ones


@dataclass(frozen=True)
class Shop:
    """A data set with its settings in ``docs/examples``.

    Attributes:
        name: of the folder of its runs.
        title: of its section.
        settings: name of the file of settings, and of the mapping where the shop has no other.
        flag: of this command, for the folder of its files.
        file: one of the files that must be there.
        mapping: name of the mapping.
        derived: whether its taxonomy is to be derived first.
        alone: whether no baseline is trained beside it, since what it differs in is seen by none.
    """

    name: str
    title: str
    settings: str
    flag: str
    file: str
    mapping: str = ""
    derived: bool = False
    alone: bool = False

    def commands(self, data: Path, out: Path, more: Sequence[str]) -> list[list[str]]:
        """The commands that it takes: deriving a taxonomy where there is none yet, and training.

        Args:
            data: folder of its files.
            out: folder of all runs.
            more: flags of `train.py` beside those of the shop.
        """
        mapping = f"{EXAMPLES / (self.mapping or self.settings)}.mapping.yaml"
        first = ["cli.py", "taxonomy", f"--mapping={mapping}", f"--root={data}"]
        made = self.derived and not (data / "taxonomy.csv").exists()
        names = ["--baselines.names=[popularity]"] if self.alone else [f"--baselines.names+={name}" for name in MORE]
        flags = [f"--config={EXAMPLES / self.settings}.yaml", f"--data.mapping={mapping}", f"--data.root={data}"]
        places = ["--store.uri=embedded", f"--store.home={out / 'graph' / self.name}", f"--out={out / self.name}"]
        return [*([first] if made else []), ["train.py", *flags, *names, *more, "--seeds=0", *places]]


SHOPS = [
    Shop("amazon_beauty", "Amazon Beauty", "amazon_beauty", "amazon", "items.parquet"),
    Shop(
        "amazon_beauty_related",
        "Amazon Beauty with its related edges, which may leak",
        "amazon_beauty",
        "amazon",
        "related.parquet",
        mapping="amazon_beauty_related",
        alone=True,
    ),
    Shop("online_retail", "Online Retail", "online_retail", "retail", "online_retail.parquet", derived=True),
    Shop("ta_feng", "Ta-Feng", "ta_feng", "ta_feng", "ta_feng_all_months_merged.csv"),
]


def run(folders: dict[str, Path], out: Path, quick: bool) -> int:
    """Run the shops whose folders are given, unless they are there, and write the document after each.

    Returns:
        0, or the exit code of the command that did not end well.

    Raises:
        InputError: no folder, or one without the shop's files.
    """
    shops = [shop for shop in SHOPS if shop.flag in folders]
    if not shops:
        flags = ", ".join(dict.fromkeys(f"--{shop.flag}" for shop in SHOPS))
        raise InputError("no shop is named", where="benchmarks/shops.py", remedy=f"Give some of {flags} with a folder.")
    for shop in shops:
        if not (folders[shop.flag] / shop.file).is_file():
            where, remedy = str(folders[shop.flag]), "docs/shops.md tells where the files come from."
            raise InputError(f"there is no {shop.file}", where=where, remedy=remedy)
    for shop in shops:
        for command in shop.commands(folders[shop.flag], out, SMALL if quick else ()):
            say("shops", f"{shop.name}: python {' '.join(command)}")
            code = ended([sys.executable, str(ROOT / command[0]), *command[1:]])
            if code:
                return code
        write(out, shops, quick)
    say("done", str(out / DOCUMENT))
    return 0


def ended(command: list[str]) -> int:
    """Run a command to its end; after Ctrl-C, which it has seen too, it is left to end by itself."""
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def write(out: Path, shops: Sequence[Shop], quick: bool) -> None:
    """Write the document from the summaries that are there."""
    parts = ["# Other shops", *([QUICK] if quick else [])]
    for shop in shops:
        path = out / shop.name / "summary.md"
        if path.exists():
            _, *lines = path.read_text(encoding="utf-8").strip().splitlines()
            body = "\n".join(f"#{line}" if line.startswith("#") else line for line in lines).strip()
            parts += [f"## {shop.title}", *_against(out, shop), body]
    with atomic(out / DOCUMENT) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _against(out: Path, shop: Shop) -> list[str]:
    """Where a shop was run alone: its figures beside those of the run that it differs from."""
    other = out / shop.settings / "summary.json"
    if not shop.alone or not other.exists():
        return []
    tests = [read_json(path)["test"] for path in (other, out / shop.name / "summary.json")]
    rows = [
        [
            level,
            *(f"{of[level]['crossaisle'][metric]['mean']:.4f}" for of in tests for metric in ("ndcg@20", "recall@20")),
        ]
        for level in tests[0]
    ]
    head = ["level", "NDCG@20 without", "recall@20 without", "NDCG@20 with", "recall@20 with"]
    return [markdown_table(head, rows)]


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/shops.py", description=__doc__, formatter_class=form)
    for flag, title in {shop.flag: shop.title for shop in reversed(SHOPS)}.items():
        parser.add_argument(f"--{flag}", type=Path, help=f"folder of the files of {title}")
    parser.add_argument("--out", type=Path, help="folder of the runs; default: runs/shops, or runs/shops-quick")
    parser.add_argument("--quick", action="store_true", help="small data, one epoch; means nothing")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run and write.

    Returns:
        0, 2 when something given is wrong, or 130 after Ctrl-C.
    """
    given = build_arguments().parse_args(arguments)
    folders = {shop.flag: folder for shop in SHOPS if (folder := getattr(given, shop.flag)) is not None}
    out = given.out or Path("runs") / ("shops-quick" if given.quick else "shops")
    return explained(lambda: run(folders, out, given.quick), "--help lists all options.")


if __name__ == "__main__":
    sys.exit(main())
