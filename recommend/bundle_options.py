"""The options of ``crossaisle bundle``; imports nothing heavy, so that --help is quick."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser

from recommend.options import add_filters


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``crossaisle bundle`` to a parser that names a store."""
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--anchor", nargs="+", default=[], metavar="ID", help="products, each of which begins a bundle")
    parser.add_argument("--basket", default="", metavar="ID,ID", help="products that one bundle begins with")
    parser.add_argument("--size", type=int, default=4, help="products in a bundle, the given ones included")
    parser.add_argument("--budget", type=float | None, default=None, help="most that a bundle may cost")
    parser.add_argument("--per", default="", help="one product of each category (default), type, or none: no limit")
    parser.add_argument("--variety", type=float, default=0.2, help="0 to 1, of the products in a bundle")
    parser.add_argument("--popularity", type=float, default=1.0, help="0 to 1: how much what is in many baskets counts")
    told = "a period of the data (a week of Complete Journey): the bundle is for its time of year"
    parser.add_argument("--season", type=int | None, default=None, help=told)
    parser.add_argument("--out", type=Path | None, default=None, help=".csv, .json or .parquet; default: the terminal")
    add_filters(parser, owned=None)
