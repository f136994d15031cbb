"""What the store held after our last write, kept beside it so that an update need not read the whole graph back.

Only a cache: it counts when its revision is the one in the store's state node, and is made anew whenever it is
missing. One Arrow stream per store, in the folder ``home``: a batch of fingerprints (``kg.digest``) per kind.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from console import say
from kg.config import StoreConfig
from kg.digest import Digests

FORMAT = "2"
FIELDS = [("key", pa.uint64()), ("digest", pa.uint64()), ("first", pa.large_string()), ("second", pa.large_string())]


def snapshot_path(config: StoreConfig) -> Path:
    """Where the snapshot of a (resolved) configuration's store lies; each store and database has its own."""
    store = "embedded" if config.is_embedded else f"{config.uri} {config.database}"
    return config.home / f"snapshot-{hashlib.sha256(store.encode()).hexdigest()[:12]}.arrow"


def read_snapshot(path: Path, revision: str) -> dict[str, Digests] | None:
    """The fingerprints by kind; None when there is no whole snapshot of this revision."""
    found = {}
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            if not revision or stream.schema.metadata != _about(revision):
                return None
            with contextlib.suppress(StopIteration):
                while True:
                    batch, kind = stream.read_next_batch_with_custom_metadata()
                    found[kind[b"kind"].decode()] = _digests(batch)
    except (OSError, pa.ArrowInvalid):
        return None
    return found


class Draft:
    """A snapshot being written kind by kind beside the old one, whose place it takes when it is kept.

    A folder that cannot be written, or a full disk, costs the snapshot and not the load.

    Args:
        path: of the snapshot.
        revision: of the graph that it describes.
    """

    def __init__(self, path: Path, revision: str) -> None:
        self.path, self._part = path, path.with_name(f".{path.name}.{os.getpid()}.part")
        self._schema = pa.schema(FIELDS, metadata=_about(revision))
        self._files = contextlib.ExitStack()
        self._lost = False
        self._try(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._files.close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def add(self, kind: str, found: Digests) -> None:
        """Append the fingerprints of one kind."""
        columns = [pa.array(found.key), pa.array(found.digest), found.first, found.second]
        batch = pa.record_batch(columns, schema=self._schema)
        self._try(lambda: self._writer.write_batch(batch, custom_metadata={"kind": kind}))

    def keep(self) -> None:
        """Put it in the place of the old one."""
        self._try(self._replace)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        sink = self._files.enter_context(pa.OSFile(str(self._part), "wb"))
        self._writer = self._files.enter_context(pa.ipc.new_stream(sink, self._schema))

    def _replace(self) -> None:
        self._files.close()
        os.replace(self._part, self.path)

    def _try(self, step: Callable[[], None]) -> None:
        if self._lost:
            return
        try:
            step()
        except OSError as error:
            self._lost = True
            say("", f"no snapshot ({error}): the next update reads the whole graph back")


def _about(revision: str) -> dict[bytes, bytes]:
    """What a snapshot says of itself; the format counts up when fingerprints are made in another way."""
    return {b"revision": revision.encode(), b"format": FORMAT.encode()}


def _digests(batch: pa.RecordBatch) -> Digests:
    key, digest = (np.asarray(batch.column(name), dtype=np.uint64) for name in ("key", "digest"))
    return Digests(key, digest, batch.column("first"), batch.column("second"))
