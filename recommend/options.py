"""The options of ``crossaisle recommend``; imports nothing heavy, so that --help is quick."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``crossaisle recommend`` to a parser that names a store."""
    parser.add_argument("run", type=Path, help="folder of a finished run")
    _add_users(parser)
    _add_lists(parser)
    add_filters(parser)


def _add_users(parser: ArgumentParser) -> None:
    parser.add_argument("--user", nargs="+", default=[], metavar="ID", help="users of the run")
    parser.add_argument(
        "--histories", type=Path | None, default=None, help="CSV or Parquet file: user_id, product_id, time, …"
    )
    parser.add_argument(
        "--people",
        type=Path | None,
        default=None,
        help="CSV or Parquet file: user_id and attributes (age, …), which count for users without a history",
    )
    parser.add_argument("--all", action="store_true", help="all users of the run")
    parser.add_argument(
        "--purchases", type=Path | None, default=None, help="purchases since, as --histories; they count in the answer"
    )
    parser.add_argument(
        "--products",
        type=Path | None,
        default=None,
        help="products since, CSV or Parquet: product_id, text, the node they sit in, attributes",
    )


def _add_lists(parser: ArgumentParser) -> None:
    parser.add_argument("--level", default="category", help="category, product, or a level's own name")
    parser.add_argument("--k", type=int, default=20, help="length of a list")
    parser.add_argument("--within", type=int | None, default=None, help="only in each user's so many best categories")
    add_emphasis(parser)
    add_order(parser, 0.0, "mmr")


def add_emphasis(parser: ArgumentParser) -> None:
    """Options named as the fields of `recommend.emphasis.Emphasis`."""
    told = "0 to 1: how much the answer to late purchases counts beside that to the whole history"
    parser.add_argument("--recent", type=float, default=0.0, help=told)
    parser.add_argument("--half_life", type=int, default=4, help="periods after which late purchases count half")
    parser.add_argument("--last_basket", type=float, default=0.0, help="0 to 1: the same of the last basket alone")


def add_order(parser: ArgumentParser, diversity: float, by: str) -> None:
    """Add what orders a list, and where it goes."""
    parser.add_argument("--diversity", type=float, default=diversity, help="0 (plain order) to 1")
    parser.add_argument("--reranker", default=by, help="mmr, dpp, calibrated or cap")
    parser.add_argument("--out", type=Path | None, default=None, help=".csv, .json or .parquet; default: the terminal")


def add_filters(parser: ArgumentParser, owned: bool | None = False) -> None:
    """Add what may stand in a list.

    Args:
        parser: of the command.
        owned: whether categories already bought from may, unless told otherwise; None: there is no user.
    """
    parser.add_argument("--stock", type=Path | None, default=None, help="CSV or Parquet file with column product_id")
    parser.add_argument("--price_from", type=float | None, default=None, help="lowest unit price")
    parser.add_argument("--price_to", type=float | None, default=None, help="highest unit price")
    parser.add_argument("--brands", nargs="+", default=[], help="only these brands")
    parser.add_argument("--categories", nargs="+", default=[], help="only in these categories")
    parser.add_argument("--forbidden", nargs="+", default=[], help="not in these categories")
    if owned:
        parser.add_argument("--unseen", dest="owned", action="store_false", help="only categories never bought from")
    elif owned is not None:
        parser.add_argument("--owned", action="store_true", help="categories already bought from may stand in the list")
