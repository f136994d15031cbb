"""Settings of a derived taxonomy; imports nothing heavy, so that --help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser

from errors import InputError


@dataclass
class TaxonomyConfig:
    """How products are grouped by their texts.

    Attributes:
        groups: nodes of the upper level, at most.
        categories: nodes of the lower level, the one to recommend at, at most.
        min_products: categories with fewer products are given up, their products going to the nearest one left.
        words: typical words in a name.
        model: Hugging Face name or local folder of the language model; empty: the MiniLM that is the default of
            ``text.model``.
        seed: of the clustering.
        text_cache: folder where encodings are kept, ``train.py`` uses the same; empty: nowhere.
    """

    groups: int = 10
    categories: int = 100
    min_products: int = 5
    words: int = 3
    model: str = ""
    seed: int = 0
    text_cache: str = ".crossaisle/text"

    def __post_init__(self) -> None:
        for name, least in (("groups", 1), ("categories", 2), ("min_products", 1), ("words", 1)):
            if getattr(self, name) < least:
                what = f"{getattr(self, name)} is too few"
                raise InputError(what, where=f"--{name}", remedy=f"Give {least} or more.")
        if self.groups > self.categories:
            what = f"{self.groups} groups of {self.categories} categories"
            raise InputError(what, where="--groups", remedy="Give fewer groups than categories.")


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``crossaisle taxonomy``."""
    parser.add_argument("--mapping", type=Path, required=True, help="YAML file: what the columns of the files mean")
    parser.add_argument("--root", type=Path | None, default=None, help="folder of the files; default: the mapping's")
    parser.add_argument(
        "--to", type=Path | None, default=None, help=".csv or .parquet; default: the mapping's taxonomy.table.file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_class_arguments(TaxonomyConfig, as_group=False)
