"""The whole model and its variants, each a run of its own in one folder, and the table that compares them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from console import say
from errors import InputError
from training import ablation_table, ranks
from training.config import from_parsed
from training.folder import RunFolder
from training.series import Planned, help_out, locked, seeds_of, settings_of, train_all
from training.variants import WHOLE, chosen


def ablate(parser: ArgumentParser, parsed: Namespace, variants: Sequence[str], to: Path) -> int:
    """Train the whole model and its variants, unless they are there, and compare them.

    Args:
        parser: of `train.py`.
        parsed: resolved settings of the whole model; each variant is trained once with each of its ``seeds``.
        variants: names; none: all that change something.
        to: folder; each run is a folder ``VARIANT-SEED`` in it.

    Returns:
        0, or 130 after Ctrl-C; the same command then goes on where it was.

    Raises:
        InputError: something given is wrong, or a run there has other settings or other data.
    """
    if ranks.is_helper():
        return help_out(parser)
    if parsed.protocol.test_cutoffs is not None:
        remedy = "Give --protocol.test_cutoff, and the other cut-offs with it."
        raise InputError("an ablation has one test window", where="protocol.test_cutoffs", remedy=remedy)
    changes = chosen(variants, parsed)
    plan = [
        Planned(name, seed, RunFolder(to / f"{name}-{seed}"), _settings(parsed, changed, seed))
        for seed in seeds_of(parsed)
        for name, changed in changes.items()
    ]
    with locked(to, "--to"):
        code = train_all(parser, plan, "variant")
        if code:
            return code
        runs = {name: {one.seed: one.folder.final for one in plan if one.name == name} for name in changes}
        ablation_table.write(to, from_parsed(parser, plan[0].settings), runs, changes, WHOLE)
    say("done", f"{to / ablation_table.MARKDOWN}")
    return 0


def _settings(parsed: Namespace, changes: dict[str, Any], seed: int) -> Namespace:
    """A variant's settings; baselines are not trained beside it."""
    return settings_of(parsed, {"seed": seed, "baselines.names": []} | changes)
