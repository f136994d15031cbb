"""The command `crossaisle`; a thin door to what the rooms can do."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from train import build_parser, explained, keep_freed_memory, prepared, settings_parser

if TYPE_CHECKING:
    from kg.store import GraphStore

USAGE = """usage: crossaisle COMMAND [options]

commands:
  train            learn from purchases and report (the same as `python train.py`)
  ablate           train the model and variants with a part left out, and compare them
  tune             search settings on several validation windows, never on the test
  taxonomy         derive categories from what describes the products, for a shop that has none
  export           write what a run learnt for other programs: embeddings, retrieval vectors, features
  recommend RUN    the next categories of users, and the products in them
  search RUN TEXT  products from several categories for a text
  bundle RUN       products that go together, from a product or a basket
  explain RUN      why an item is suggested to a user
  evaluate RUN     what its lists are worth, against its test weeks or purchases since
  calibrate RUN    probabilities and expected spends for its lists, from the validation window
  tune-queries     tune the text encoder for search, from pairs of a query and a product
  kg VERB          the knowledge graph: load, sync, query, queries, schema, export, import, write-back

`crossaisle COMMAND --help` lists all settings."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        The command's exit code; 2 for an unknown command.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in COMMANDS:
        return COMMANDS[given[0]](given[1:])
    if given and given[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    print(f"crossaisle: {'no command' if not given else f'unknown command {given[0]!r}'}\n{USAGE}", file=sys.stderr)
    return 2


def _train(given: list[str]) -> int:
    import train

    return train.main(given)


# -- crossaisle ablate ---------------------------------------------------------------------------------------


def _ablate(given: list[str]) -> int:
    """Train the whole model and variants of it on the same data and settings, and compare them."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    keep_freed_memory()
    parser = settings_parser("crossaisle ablate", _ablate.__doc__ or "")
    parser.add_argument("--variants", type=str, default="", help="names with commas between; default: all")
    parser.add_argument("--to", type=Path, required=True, help="folder of the runs and the table")

    def run() -> int:
        parsed = parser.parse_args(prepared(given))
        asked = [parsed.pop(name) for name in ("variants", "to")]
        from training.ablation import ablate

        return ablate(build_parser(), parsed, _names(asked[0]), Path(asked[1]))

    return explained(run, "crossaisle ablate --help lists all settings.")


# -- crossaisle tune -----------------------------------------------------------------------------------------


def _tune(given: list[str]) -> int:
    """Search settings of the model, each trial judged on several validation windows, none on the test."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    keep_freed_memory()
    parser = settings_parser("crossaisle tune", _tune.__doc__ or "")
    from training.study_options import add_options, taken_out

    add_options(parser)

    def run() -> int:
        parsed = parser.parse_args(prepared(given))
        config, to = taken_out(parsed)
        from training.study import tune

        return tune(build_parser(), parsed, config, to)

    return explained(run, "crossaisle tune --help lists all settings.")


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


# -- crossaisle taxonomy -------------------------------------------------------------------------------------


def _taxonomy(given: list[str]) -> int:
    """Derive two levels of categories from what describes the products, for a shop that has none."""
    from taxonomy.config import TaxonomyConfig, add_options

    warnings.filterwarnings("ignore", category=FutureWarning)
    parser = ArgumentParser(prog="crossaisle taxonomy", description=_taxonomy.__doc__, exit_on_error=False)
    add_options(parser)

    def run() -> int:
        parsed = parser.instantiate(parser.parse_args(given))
        from taxonomy import derive

        config = TaxonomyConfig(**{name: parsed[name] for name in TaxonomyConfig.__dataclass_fields__})
        derive.run(parsed.mapping, parsed.root, parsed.to, parsed.overwrite, config)
        return 0

    return explained(run, "crossaisle taxonomy --help lists all settings.")


# -- crossaisle export ---------------------------------------------------------------------------------------


def _export_run(given: list[str]) -> int:
    """Write what a run learnt for other programs: vectors of nodes and users, a retrieval tower, features of pairs
    of a user and an item (--features, --pairs), the scorer as a program, a manifest."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    from export.config import ExportConfig

    parser = _store_parser("crossaisle export", _export_run.__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run; its store unless --store.… names another")
    parser.add_argument("--to", type=Path, required=True, help="folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there")
    parser.add_argument(
        "--changed_since", type=Path | None, default=None, help="manifest of an earlier export: write what differs"
    )
    parser.add_class_arguments(ExportConfig, as_group=False)

    def run() -> int:
        parsed = parser.instantiate(parser.parse_args(given))
        from export.commands import export
        from kg.config import StoreConfig

        config = ExportConfig(**{name: parsed[name] for name in ExportConfig.__dataclass_fields__})
        store = None if parsed.store == StoreConfig() else parsed.store
        export(parsed.run, parsed.to, config, parsed.overwrite, parsed.changed_since, store)
        return 0

    return explained(run, "crossaisle export --help lists all settings.")


# -- crossaisle recommend ------------------------------------------------------------------------------------


def _on_run(
    name: str,
    description: str | None,
    add_options: Callable[[ArgumentParser], None],
    work: Callable[[Namespace], None],
    given: list[str],
) -> int:
    """Put a trained run to use; what does the work is only imported once the options are read."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    keep_freed_memory()
    parser = _store_parser(name, description)
    add_options(parser)

    def run() -> int:
        work(parser.instantiate(parser.parse_args(given)))
        return 0

    return explained(run, f"{name} --help lists all settings.")


def _recommend(given: list[str]) -> int:
    """Lists of the categories that users have never bought from, and of the products in them, best first."""
    from recommend.options import add_options

    def work(parsed: Namespace) -> None:
        from recommend.commands import recommend

        recommend(parsed)

    return _on_run("crossaisle recommend", _recommend.__doc__, add_options, work, given)


def _search(given: list[str]) -> int:
    """Products from several categories for a text, blended with a user's interest."""
    from recommend.search_options import add_options

    def work(parsed: Namespace) -> None:
        from recommend.search_commands import search

        search(parsed)

    return _on_run("crossaisle search", _search.__doc__, add_options, work, given)


def _bundle(given: list[str]) -> int:
    """Products that go together across categories, from a product or a basket."""
    from recommend.bundle_options import add_options

    def work(parsed: Namespace) -> None:
        from recommend.bundle_commands import bundle

        bundle(parsed)

    return _on_run("crossaisle bundle", _bundle.__doc__, add_options, work, given)


def _explain(given: list[str]) -> int:
    """Why an item is suggested to a user: purchases, parts of the score, paths in the graph."""
    from recommend.explain_options import add_options

    def work(parsed: Namespace) -> None:
        from recommend.explain_commands import explain

        explain(parsed)

    return _on_run("crossaisle explain", _explain.__doc__, add_options, work, given)


def _evaluate(given: list[str]) -> int:
    """What a run's lists are worth, against its test horizon or against purchases since."""
    from recommend.evaluate_options import add_options

    def work(parsed: Namespace) -> None:
        from recommend.evaluate_commands import evaluate

        evaluate(parsed)

    return _on_run("crossaisle evaluate", _evaluate.__doc__, add_options, work, given)


def _calibrate(given: list[str]) -> int:
    """Fit probabilities and expected spends on a run's validation window; its lists of categories then tell them."""
    from recommend.calibrate import add_options, calibrate

    warnings.filterwarnings("ignore", category=FutureWarning)
    parser = _store_parser("crossaisle calibrate", _calibrate.__doc__)
    add_options(parser)

    def run() -> int:
        calibrate(parser.instantiate(parser.parse_args(given)))
        return 0

    return explained(run, "crossaisle calibrate --help lists all settings.")


def _tune_queries(given: list[str]) -> int:
    """Tune the text encoder for search, from pairs of a query and a product that answers it."""
    from recommend.search_options import add_tuning_options

    warnings.filterwarnings("ignore", category=FutureWarning)
    parser = ArgumentParser(prog="crossaisle tune-queries", description=_tune_queries.__doc__, exit_on_error=False)
    add_tuning_options(parser)

    def run() -> int:
        parsed = parser.parse_args(given)
        from recommend.query_commands import tune_queries

        tune_queries(parser.instantiate(parsed))
        return 0

    return explained(run, "crossaisle tune-queries --help lists all settings.")


# -- crossaisle kg -------------------------------------------------------------------------------------------


def _kg(given: list[str]) -> int:
    """A verb of the knowledge graph."""
    verb = VERBS.get(given[0]) if given else None
    if verb is None:
        wanted = given[0] if given else ""
        print(_kg_usage(), file=sys.stdout if wanted in ("-h", "--help") else sys.stderr)
        return 0 if wanted in ("-h", "--help") else 2
    parser = verb(f"crossaisle kg {given[0]}")

    def run() -> int:
        parsed = parser.parse_args(prepared(given[1:]))
        work: Callable[[ArgumentParser, Namespace], None] = RUN[given[0]]
        work(parser, parsed)
        return 0

    return explained(run, f"crossaisle kg {given[0]} --help lists all settings.")


def _kg_usage() -> str:
    first = {name: (make.__doc__ or "").splitlines()[0] for name, make in VERBS.items()}
    lines = [f"  {name:<12} {text[:1].lower()}{text[1:].rstrip('.')}" for name, text in first.items()]
    return "\n".join(["usage: crossaisle kg VERB [options]", "", "verbs:", *lines])


def _store_parser(prog: str, description: str | None) -> ArgumentParser:
    """A command line that names a store."""
    from kg.config import StoreConfig

    parser = ArgumentParser(
        prog=prog, description=description, default_env=True, env_prefix="CROSSAISLE", exit_on_error=False
    )
    parser.add_class_arguments(StoreConfig, "store")
    return parser


def _load_parser(prog: str) -> ArgumentParser:
    """Load a shop's catalogue and co-purchases, unless they are there already."""
    parser = settings_parser(prog, _load_parser.__doc__ or "")
    parser.add_argument("--replace", action="store_true", help="clear another shop's graph first")
    return parser


def _load(parser: ArgumentParser, parsed: Namespace) -> None:
    from console import say
    from data.load import load
    from kg.load import load_graph
    from kg.store import GraphStore
    from training.config import from_parsed

    config = from_parsed(parser, parsed)
    dataset = load(config.data)
    with GraphStore.open(config.store) as store:
        cutoffs = config.protocol.cutoffs
        report = load_graph(store, dataset, cutoffs, config.copurchase, replace_other=parsed.replace)
    said = "unchanged in the store" if report.skipped else f"{report.rows:,} nodes and relationships"
    say("load", f"{said}, {report.seconds:.1f} s")


def _sync_parser(prog: str) -> ArgumentParser:
    """Bring the graph in step with changed files, writing only what changed."""
    parser = settings_parser(prog, _sync_parser.__doc__ or "")
    parser.add_argument(
        "--vanished", choices=["remove", "end"], default="remove", help="what becomes of vanished things"
    )
    parser.add_argument("--dry_run", action="store_true", help="only print what would change")
    parser.add_argument("--recheck", action="store_true", help="compare with the whole graph, not with what was left")
    return parser


def _sync(parser: ArgumentParser, parsed: Namespace) -> None:
    from data.load import load
    from kg.store import GraphStore
    from kg.sync import show, sync_graph
    from training.config import from_parsed

    config = from_parsed(parser, parsed)
    dataset = load(config.data)
    with GraphStore.open(config.store) as store:
        report = sync_graph(
            store,
            dataset,
            config.protocol.cutoffs,
            config.copurchase,
            vanished=parsed.vanished,
            dry_run=parsed.dry_run,
            recheck=parsed.recheck,
        )
    show(report)


def _import_parser(prog: str) -> ArgumentParser:
    """Take a catalogue out of a Neo4j that keeps it under labels of its own, as files for training."""
    parser = _store_parser(prog, _import_parser.__doc__)
    parser.add_argument("--mapping", type=Path, required=True, help="YAML file: what its labels and properties mean")
    parser.add_argument("--to", type=Path, required=True, help="folder to make")
    return parser


def _import(parser: ArgumentParser, parsed: Namespace) -> None:
    from console import say
    from kg.foreign import import_graph

    given = parser.instantiate(parsed)
    store = given.store
    report = import_graph(given.mapping, given.to, store.uri, store.username, store.password, store.database)
    facts = sum(report.relations.values())
    say("import", f"{report.folder}: {report.products:,} products, {report.categories:,} categories, {facts:,} facts")
    for note in report.notes:
        say("", note)


def _write_back_parser(prog: str) -> ArgumentParser:
    """Write what a run learnt into the graph: vectors of the nodes, LEADS_TO between categories."""
    parser = _store_parser(prog, _write_back_parser.__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run; its store unless --store.… names another")
    parser.add_argument("--keep_old", action="store_true", help="keep what earlier runs wrote")
    parser.add_argument("--min_support", type=int, default=20, help="fewest users behind a LEADS_TO")
    parser.add_argument("--top_k", type=int, default=15, help="strongest LEADS_TO kept for each category")
    return parser


def _write_back(parser: ArgumentParser, parsed: Namespace) -> None:
    from console import say
    from kg.config import StoreConfig
    from kg.store import GraphStore
    from kg.writeback import write_back
    from training.learnt import learnt
    from training.loaded import load_run

    given = parser.instantiate(parsed)
    run = load_run(given.run, None if given.store == StoreConfig() else given.store)
    found = learnt(run.name, run.scorer, given.min_support, given.top_k)
    with GraphStore.open(run.config.store) as store:
        report = write_back(store, run.schema, found, given.keep_old)
    say("write back", report.told())


def _query_parser(prog: str) -> ArgumentParser:
    """Ask the graph: a query of the library, Cypher, or a Cypher file; nothing can be changed."""
    parser = _asking_parser(prog, _query_parser.__doc__)
    parser.add_argument("--out", type=Path | None, default=None, help="answer as .csv, .json or .parquet")
    parser.add_argument("--graph", type=Path | None, default=None, help="picture of it: .html, .png or .svg")
    parser.add_argument("--row_limit", type=int, default=1000, help="rows at most")
    parser.add_argument("--time_limit", type=float, default=30.0, help="seconds after which the query is ended")
    return parser


def _asking_parser(prog: str, description: str | None) -> ArgumentParser:
    parser = _store_parser(prog, description)
    parser.add_argument("text", nargs="?", default="", help="name of a query of the library, or Cypher")
    parser.add_argument("-f", "--file", type=Path | None, default=None, help="Cypher file instead")
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter's value")
    return parser


def _query(parser: ArgumentParser, parsed: Namespace) -> None:
    from kg import commands

    given = parser.instantiate(parsed)
    limits = (given.row_limit, given.time_limit)
    with _open(given) as store:
        commands.query(store, given.text, given.param, given.file, given.out, given.graph, *limits)


def _queries_parser(prog: str) -> ArgumentParser:
    """List the library of queries, or tell all about one."""
    parser = ArgumentParser(prog=prog, description=_queries_parser.__doc__, exit_on_error=False)
    parser.add_argument("name", nargs="?", default="", help="of a query")
    return parser


def _queries(parser: ArgumentParser, parsed: Namespace) -> None:
    from kg import commands

    commands.queries(parser.instantiate(parsed).name)


def _schema_parser(prog: str) -> ArgumentParser:
    """Show the graph's labels and relationships with their numbers."""
    parser = _store_parser(prog, _schema_parser.__doc__)
    parser.add_argument("--graph", type=Path | None, default=None, help="picture of it: .html, .png or .svg")
    parser.add_argument("--time_limit", type=float, default=30.0, help="seconds for each count")
    return parser


def _schema(parser: ArgumentParser, parsed: Namespace) -> None:
    from kg import commands

    given = parser.instantiate(parsed)
    with _open(given) as store:
        commands.schema(store, given.graph, given.time_limit)


def _export_parser(prog: str) -> ArgumentParser:
    """Write a part of the graph for other programs: .graphml or .gexf, or an answer's rows."""
    parser = _asking_parser(prog, _export_parser.__doc__)
    parser.add_argument("--to", type=Path, required=True, help=".graphml, .gexf, .csv, .json or .parquet")
    parser.add_argument("--row_limit", type=int, default=100_000, help="rows at most")
    parser.add_argument("--time_limit", type=float, default=60.0, help="seconds after which the query is ended")
    return parser


def _export(parser: ArgumentParser, parsed: Namespace) -> None:
    from kg import commands

    given = parser.instantiate(parsed)
    with _open(given) as store:
        limits = (given.row_limit, given.time_limit)
        commands.export(store, given.to, given.text, given.param, given.file, *limits)


def _open(given: Namespace) -> GraphStore:
    from kg.store import GraphStore

    return GraphStore.open(given.store)


VERBS: dict[str, Callable[[str], ArgumentParser]] = {
    "load": _load_parser,
    "sync": _sync_parser,
    "query": _query_parser,
    "queries": _queries_parser,
    "schema": _schema_parser,
    "export": _export_parser,
    "import": _import_parser,
    "write-back": _write_back_parser,
}
RUN: dict[str, Callable[[ArgumentParser, Namespace], None]] = {
    "load": _load,
    "sync": _sync,
    "query": _query,
    "queries": _queries,
    "schema": _schema,
    "export": _export,
    "import": _import,
    "write-back": _write_back,
}
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "ablate": _ablate,
    "tune": _tune,
    "taxonomy": _taxonomy,
    "export": _export_run,
    "recommend": _recommend,
    "search": _search,
    "bundle": _bundle,
    "explain": _explain,
    "evaluate": _evaluate,
    "calibrate": _calibrate,
    "tune-queries": _tune_queries,
    "kg": _kg,
}


if __name__ == "__main__":
    sys.exit(main())
