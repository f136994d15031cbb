"""Settings of an export."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from errors import InputError
from export.formats import Storage
from export.quantise import Dtype
from export.tower import TowerConfig

Part = Literal["graph", "text"]

Program = Literal["torch", "onnx"]


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
        features: ``top:N`` writes the features of each written user's N best items at each level as well (see
            `export.features`); empty: none.
        pairs: .csv or .parquet with pairs (``user_id``, ``item_id`` and, if not products, ``level``) whose features are
            written as well.
        scorer: the interest level's scorer as a program: ``torch`` (torch.export), ``onnx`` (needs onnx, onnxscript and
            onnxruntime).
        tower: the retrieval tower.
    """

    format: Storage = "parquet"
    dtype: Dtype = "float32"
    parts: list[Part] = field(default_factory=list)
    users: str = "all"
    histories: Path | None = None
    features: str = ""
    pairs: Path | None = None
    scorer: list[Program] = field(default_factory=list)
    tower: TowerConfig = field(default_factory=TowerConfig)

    def __post_init__(self) -> None:
        if self.format == "faiss" and self.dtype != "float32":
            remedy = "Give --dtype float32, or another --format; FAISS can quantise an index itself."
            raise InputError(f"{self.dtype} vectors are in no flat index", where="dtype", remedy=remedy)
        if self.histories is not None and self.users != "all":
            raise InputError("both name users", where="users, histories", remedy="Give one of them.")
        if self.features and not re.fullmatch(r"top:[1-9][0-9]*", self.features):
            remedy = "Give top:N with a number N, such as top:100."
            raise InputError(f"{self.features!r} names no pairs", where="features", remedy=remedy)
        if self.features and self.pairs is not None:
            raise InputError("both name pairs", where="features, pairs", remedy="Give one of them.")
        if self.features and self.users == "none":
            what = "there are no users whose best items could be written"
            raise InputError(what, where="features, users", remedy="Leave --users none out, or give --pairs.")

    @property
    def top(self) -> int:
        """Best items of each user whose features are written; 0: none."""
        return int(self.features.removeprefix("top:") or 0)
