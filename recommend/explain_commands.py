"""``crossaisle explain`` as a plain function: a run, a user and an item in; tables, a picture or a file out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from jsonargparse import Namespace
from rich.console import Console

from console import say
from data.rejects import Rejects
from errors import InputError
from kg import output, picture
from kg.answer import Answer
from kg.config import StoreConfig
from recommend.commands import PIPE_WIDTH, tell_problems
from recommend.reasons import Reasons
from recommend.recommender import Recommender


def explain(given: Namespace) -> Reasons:
    """Say why an item is suggested to a user.

    Args:
        given: the options of `recommend.explain_options`, and ``store``.

    Raises:
        InputError: an option, a file or the run is wrong, or the user or the item is unknown.
    """
    _check(given)
    recommender = Recommender.load(given.run, None if given.store == StoreConfig() else given.store)
    problems = Rejects()
    if given.purchases is not None:
        recommender.update(given.purchases)
        problems.extend(recommender.problems)
    found = recommender.explain(
        given.user, given.item, given.histories, level=given.level, top=given.top, with_paths=not given.no_paths
    )
    problems.extend(recommender.problems)
    tell_problems(problems.frame(), given.out)
    if given.out is None:
        _show(found, given.top)
    else:
        _write(found, given.out)
    if given.graph is not None:
        picture.draw(found.graph, given.graph, title=found.sentence)
        say("picture", str(given.graph))
    return found


def _check(given: Namespace) -> None:
    """Say what is wrong before the run is loaded."""
    for path, formats in ((given.out, (".json",)), (given.graph, picture.FORMATS)):
        if path is not None and path.suffix not in formats:
            what = f"there is no format {path.suffix!r} for this"
            raise InputError(what, where=str(path), remedy=f"Use one of {', '.join(formats)}.")


def _write(found: Reasons, path: Path) -> None:
    text = json.dumps(output.plain(found.to_dict()), indent=2, ensure_ascii=False, allow_nan=False)
    output.save(path, lambda temporary: _text(temporary, text))
    say("reasons", str(path))


def _text(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


def _show(found: Reasons, top: int) -> None:
    terminal = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    terminal.print(found.sentence, markup=False, soft_wrap=True)
    shown = [found.purchases.head(top), found.parts, found.modalities, found.steps, found.paths.drop(columns="ids")]
    for table in shown:
        if len(table):
            terminal.print(output.table(_answer(table)))
    for note in found.notes:
        say("note", note)


def _answer(table: pd.DataFrame) -> Answer:
    return Answer(tuple(table.columns), list(table.itertuples(index=False, name=None)))
