"""The options of ``crossaisle search`` and ``tune-queries``; imports nothing heavy, so that --help is quick."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser

from recommend.options import add_filters, add_order


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``crossaisle search`` to a parser that names a store."""
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("query", nargs="+", help="texts, each in quotes")
    parser.add_argument("--user", type=str | None, default=None, help="whose interest counts; default: nobody's")
    parser.add_argument("--k", type=int, default=20, help="length of a list")
    parser.add_argument("--interest", type=float, default=0.2, help="weight of the user's interest; 0: none")
    parser.add_argument("--graph", type=float, default=0.2, help="0 to 1: weight of categories bought together")
    parser.add_argument(
        "--own", type=float | None, default=None, help="0 to 1: weight of a product's own text against its place's"
    )
    parser.add_argument("--queries", type=Path | None, default=None, help="folder that tune-queries made")
    add_order(parser, 0.5, "cap")
    add_filters(parser, owned=True)


def add_tuning_options(parser: ArgumentParser) -> None:
    """Add the options of ``crossaisle tune-queries``."""
    from training.query_config import QueryConfig

    parser.add_argument("pairs", type=Path, help="CSV or Parquet file: query, product_id and, if known, query_id")
    parser.add_argument(
        "--products", type=Path, required=True, help="CSV or Parquet file: product_id, text and, if known, category"
    )
    parser.add_argument("--to", type=Path, required=True, help="folder to make")
    parser.add_class_arguments(QueryConfig, as_group=False)
