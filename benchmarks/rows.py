"""How fast rows are written and read back, once their vectors are computed.

    python benchmarks/rows.py
    python benchmarks/rows.py --rows 1000000 --width 128 --folder /tmp/rows

Random vectors, made before the clock starts, go through the checks of an export into each format, with the checksums
that its manifest names, and are read back.
Peak memory is that of a process of its own for each row of the table, less what it held before writing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table as Printed

from export.manifest import sha256
from export.quantise import Dtype, encoded
from export.storage import format_of
from export.table import checked, table_of
from files import check_folder
from train import explained

CASES: list[tuple[str, Dtype]] = [
    ("parquet", "float32"),
    ("parquet", "float16"),
    ("parquet", "int8"),
    ("numpy", "float32"),
    ("safetensors", "float32"),
]
KIB_PER_MIB = 2**10


def measured(case: tuple[str, Dtype], rows: int, width: int, folder: str) -> list[str]:
    """One row of the table."""
    storage, dtype = case
    ids = np.char.add("product ", np.arange(rows).astype(str))
    vectors = np.random.default_rng(0).standard_normal((rows, width), dtype=np.float32)
    table = encoded(checked(table_of("Product", np.sort(ids), {"embedding": vectors})), dtype)
    held = peak()
    started = perf_counter()
    for name in format_of(storage).write(Path(folder), table):
        sha256(Path(folder) / name)
    written = perf_counter() - started
    more = peak() - held
    size = sum(path.stat().st_size for path in Path(folder).iterdir())
    started = perf_counter()
    format_of(storage).read(Path(folder), "Product", table.columns).whole()
    read = perf_counter() - started
    return [storage, dtype, f"{rows / written:,.0f}", f"{rows / read:,.0f}", f"{size / 2**20:,.0f}", f"{more:,.0f}"]


def peak() -> float:
    """Most memory that this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; default: a temporary folder")
    given = parser.parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    if given.folder:
        check_folder(given.folder)
    title = f"{given.rows:,} rows × {given.width}"
    table = Printed("format", "dtype", "rows/s written", "rows/s read", "MiB", "memory, MiB", title=title)
    spawn = multiprocessing.get_context("spawn")
    for case in CASES:
        folder = tempfile.mkdtemp(dir=given.folder)
        with spawn.Pool(1) as pool:
            table.add_row(*pool.apply(measured, (case, given.rows, given.width, folder)))
        shutil.rmtree(folder)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
