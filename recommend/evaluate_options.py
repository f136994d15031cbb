"""The options of ``crossaisle evaluate``; imports nothing heavy, so that --help is quick."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser

from recommend.options import add_emphasis, add_order


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``crossaisle evaluate`` to a parser that names a store."""
    parser.add_argument("run", type=Path, help="folder of a finished run")
    told = "what was bought from the run's test cut-off on, as --histories; default: what its data hold"
    parser.add_argument("--purchases", type=Path | None, default=None, help=told)
    parser.add_argument("--level", default="", help="category, product, or a level's own name; default: all")
    parser.add_argument("--k", type=int, default=20, help="length of a list")
    add_emphasis(parser)
    add_order(parser, 0.0, "mmr")
