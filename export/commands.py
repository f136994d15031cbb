"""``crossaisle export`` as a plain function."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from console import say
from errors import InputError
from export.card import meanings_of, model_card
from export.config import ExportConfig
from export.delta import write_delta
from export.faiss_format import faiss
from export.folder import made, refuse_existing
from export.levels import fit_towers, item_levels
from export.manifest import CARD, NAME, Manifest, check_files, described, read_manifest, seal, sha256
from export.pairs import FeatureTables
from export.people import everybody
from export.program import need_onnx, write_programs
from export.quantise import SCALE, encoded
from export.sources import node_tables, people, user_table
from export.storage import format_of
from export.table import Table, checked
from files import PARTIAL, read_json
from kg.config import StoreConfig
from training.loaded import LoadedRun, load_run


def export(
    folder: Path,
    to: Path,
    config: ExportConfig | None = None,
    overwrite: bool = False,
    changed_since: Path | None = None,
    store: StoreConfig | None = None,
) -> Manifest:
    """Write what a run learnt for other programs.

    Args:
        folder: of a finished run.
        to: folder to make.
        config: what is written, and how.
        overwrite: replace an export that is there.
        changed_since: manifest of an earlier export: only what differs from it is written (see `export.delta`).
        store: where the run's graph is kept, when not where the run kept it.

    Returns:
        The manifest that was written.

    Raises:
        InputError: no finished run, a target that is there, a missing library, a file of users or histories that is
            wrong, a vector with a number that is none; nothing is left half-written.
    """
    config = config or ExportConfig()
    metrics = _metrics(folder)
    refuse_existing(to, overwrite)
    if config.format == "faiss":
        faiss()
    if "onnx" in config.scorer:
        need_onnx()
    old = None if changed_since is None else _folder_of(changed_since)
    run = load_run(folder, store)
    if old is None:
        with made(to, overwrite) as work:
            manifest = _write(run, folder, config, metrics, work)
    else:
        with made(to, overwrite) as work, tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as whole:
            _write(run, folder, config, metrics, Path(whole))
            manifest = write_delta(old, Path(whole), work)
    _tell(to, manifest)
    return manifest


def _metrics(folder: Path) -> dict[str, Any]:
    """A run's figures.

    Raises:
        InputError: the run is not finished, or there is none.
    """
    if folder.name.endswith(PARTIAL):
        remedy = f"Finish it first: python train.py --resume {folder}"
        raise InputError("this run is not finished", where=str(folder), remedy=remedy)
    try:
        found: dict[str, Any] = read_json(folder / "metrics.json")
        return found
    except (OSError, ValueError) as error:
        remedy = "Give the folder of a finished run."
        raise InputError("this is no finished run", where=str(folder), remedy=remedy) from error


def _folder_of(manifest: Path) -> Path:
    """The folder of an earlier export, whole and unchanged.

    Raises:
        InputError: it is not.
    """
    folder = manifest.parent if manifest.name == NAME else manifest
    check_files(folder, read_manifest(folder))
    return folder


def _write(run: LoadedRun, folder: Path, config: ExportConfig, metrics: Mapping[str, Any], to: Path) -> Manifest:
    """Write a whole export into a folder that is there."""
    found = people(run, config)
    levels = item_levels(run)
    features = FeatureTables(run, levels, found or everybody(run.dataset, run.scorer.cutoff.time), config)
    towers, agreements = fit_towers(run, levels, config.tower) if config.tower.rank else ({}, {})
    entries = _write_tables(node_tables(run, levels, towers, config), config, to)
    if found is not None:
        entries += _write_tables([user_table(run, found, levels, towers, config)], config, to)
    entries += _write_tables(features.tables(), config, to)
    write_programs(run, config.scorer, to)
    facts = _facts(run, folder, config) | {"retrieval": agreements, "tables": entries}
    names = {column["name"] for entry in entries for column in entry["columns"]}
    facts["columns"] = meanings_of({name for name in names if not name.endswith(SCALE)}, features.meanings)
    (to / CARD).write_text(model_card(facts, metrics), encoding="utf-8")
    return seal(to, facts)


def _write_tables(tables: Iterable[Table], config: ExportConfig, to: Path) -> list[Manifest]:
    entries = []
    for table in tables:
        written = encoded(checked(table), config.dtype)
        entries.append(described(written, format_of(config.format).write(to, written)))
    return entries


def _facts(run: LoadedRun, folder: Path, config: ExportConfig) -> Manifest:
    """Where an export comes from."""
    history, protocol = run.scorer.cutoff.history, run.config.protocol
    first, last = (int(history.time[at]) for at in (0, -1))
    window = {"first": first, "last": last, "cut_off": run.scorer.cutoff.time, "horizon": protocol.horizon}
    return {
        "kind": "export",
        "storage": config.format,
        "dtype": config.dtype,
        "features": config.features or ("" if config.pairs is None else "pairs"),
        "run": run.name,
        "model": {"sha256": sha256(folder / "model.safetensors"), "width": run.scorer.module.model.config.dim},
        "source": run.dataset.tables.name,
        "data_fingerprint": run.dataset.fingerprint,
        "window": window | {"unit": run.dataset.tables.time_unit},
    }


def _tell(to: Path, manifest: Manifest) -> None:
    rows = sum(entry["rows"] for entry in manifest["tables"])
    size = sum(file["bytes"] for file in manifest["files"].values())
    what = "rows" if manifest["kind"] == "export" else "changed rows"
    say("export", f"{to}: {rows:,} {what} in {len(manifest['tables'])} tables, {size / 2**20:,.1f} MiB")
    for label, fact in manifest.get("retrieval", {}).items():
        say("", f"{label}: retrieval by dot product finds {fact['overlap']:.1%} of the full model's {fact['k']} best")
