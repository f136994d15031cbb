"""``crossaisle calibrate``: probabilities and spends fitted on a run's validation window, written beside the run."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from console import say
from errors import InputError
from kg.config import StoreConfig
from recommend.strength import FILE, METHODS, Strength, fit, outcomes


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``crossaisle calibrate`` to a parser that names a store."""
    parser.add_argument("run", type=Path, help="folder of a finished run, with its checkpoints")
    parser.add_argument(
        "--out", type=Path | None, default=None, help=f"file to write; default: {FILE} in the run's folder"
    )


def calibrate(given: Namespace) -> Strength:
    """Fit and write; no purchase from the test cut-off on is looked at.

    Args:
        given: the options of `add_options`, and ``store``.

    Raises:
        InputError: the folder holds no whole run, its checkpoints are gone, or the file cannot be written.
    """
    found = calibrated(given.run, None if given.store == StoreConfig() else given.store)
    path = given.out or given.run / FILE
    try:
        found.write(path)
    except OSError as error:
        what = f"cannot write it: {error.strerror or error}"
        raise InputError(what, where=str(path), remedy="Name another place by --out.") from None
    losses = ", ".join(f"{method} {found.log_loss[method]:.5f}" for method in METHODS)
    say("calibrate", f"{found.method}, by log loss cross-validated over users: {losses}")
    say("", str(path))
    return found


def calibrated(run: Path, store: StoreConfig | None = None) -> Strength:
    """Fit on the validation window, with the weights that validation chose, which have not seen it.

    Raises:
        InputError: as of `training.loaded.load_chosen`, or too few bought anything new.
    """
    from training.loaded import load_chosen

    chosen = load_chosen(run, store)
    protocol = chosen.config.protocol
    seen = outcomes(chosen.scorer, protocol.horizon)
    return fit(seen, protocol.horizon, protocol.validation_cutoff)
