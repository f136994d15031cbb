"""The options of ``crossaisle explain``; imports nothing heavy, so that --help is quick."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``crossaisle explain`` to a parser that names a store."""
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--user", required=True, metavar="ID", help="user of the run, of --histories or of --purchases")
    parser.add_argument("--item", required=True, metavar="ID", help="what is suggested, as `recommend` prints it")
    parser.add_argument("--level", type=str | None, default=None, help="of the item, where several levels have the id")
    parser.add_argument(
        "--histories", type=Path | None, default=None, help="CSV or Parquet file with the user's history instead"
    )
    parser.add_argument(
        "--purchases", type=Path | None, default=None, help="purchases since, as --histories; they count in the answer"
    )
    parser.add_argument("--top", type=int, default=5, help="purchases and paths shown")
    parser.add_argument("--no_paths", action="store_true", help="do not ask the graph store for paths")
    parser.add_argument("--graph", type=Path | None, default=None, help="picture of the reasons: .html, .png or .svg")
    parser.add_argument("--out", type=Path | None, default=None, help=".json; default: the terminal")
