"""Settings of an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from errors import InputError
from export.formats import Storage
from export.quantise import Dtype
from export.tower import TowerConfig

Part = Literal["graph", "text"]


@dataclass
class ExportConfig:
    """What is written, and how.

    Attributes:
        format: files: ``parquet``, ``numpy``, ``safetensors`` or ``faiss`` (flat indexes; needs faiss-cpu).
        dtype: of vectors: ``float32``, ``float16`` or ``int8`` (with a scale for each row); figures stay as they are.
        parts: what is written beside the fused vectors: the ``graph`` encoder's output, the ``text`` encoder's.
        users: ``all`` users of the data, ``none``, or a file that names some (an id in each line, or .csv or .parquet
            with a column ``user_id``).
        histories: .csv or .parquet with purchases (``user_id``, ``product_id``, ``time``) whose users are written
            instead.
        tower: the retrieval tower.
    """

    format: Storage = "parquet"
    dtype: Dtype = "float32"
    parts: list[Part] = field(default_factory=list)
    users: str = "all"
    histories: Path | None = None
    tower: TowerConfig = field(default_factory=TowerConfig)

    def __post_init__(self) -> None:
        if self.format == "faiss" and self.dtype != "float32":
            remedy = "Give --dtype float32, or another --format; FAISS can quantise an index itself."
            raise InputError(f"{self.dtype} vectors are in no flat index", where="dtype", remedy=remedy)
        if self.histories is not None and self.users != "all":
            raise InputError("both name users", where="users, histories", remedy="Give one of them.")
