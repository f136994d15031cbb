"""The scorer of the interest level as a program of its own: ``torch.export``, ONNX."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from data.log import Log
from errors import InputError
from evaluation.scorer import IntArray
from export.config import Program
from files import write_json
from training.cutoffs import CutOff
from training.loaded import LoadedRun

TORCH, ONNX, TOLD = "scorer.pt2", "scorer.onnx", "scorer.json"
INPUTS = ("pairs", "figures", "bought", "purchases", "mask")
OUTPUTS = ("log_p", "user")
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
SAMPLE = 8

Arrays = dict[str, npt.NDArray[np.generic]]


class InterestScorer(nn.Module):
    """The network from a batch of users' evidence to log-probabilities of the categories, at one cut-off.

    What is the same for all users (the categories' vectors and evidence) is part of it. Evidence itself, which is
    counted from purchases (`training.cutoffs.CutOff.evidence`), is what it is given.

    Args:
        run: a loaded run.
    """

    vectors: Tensor
    items: Tensor

    def __init__(self, run: LoadedRun) -> None:
        super().__init__()
        scorer = run.scorer.at_interest()
        model = scorer.module.model
        self.history, self.head = model.history, model.head
        self.pair_scale, self.user_scale = model.pair_scale, model.user_scale
        self.register_buffer("vectors", torch.from_numpy(scorer.vectors()))
        with torch.no_grad():
            self.register_buffer("items", model.item_scale(scorer.cutoff.items.to(scorer.module.device)).cpu().clone())
        self.eval()

    def forward(
        self, pairs: Tensor, figures: Tensor, bought: Tensor, purchases: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score a batch of users.

        Args:
            pairs: evidence on each pair, shape (b, categories, pair features).
            figures: of each user, shape (b, user features).
            bought: categories bought from, padded, int64, shape (b, length).
            purchases: their features, shape (b, length, purchase features).
            mask: True where there is a purchase, shape (b, length).

        Returns:
            Log-probabilities among the categories not bought from, −inf for the others, shape (b, categories), and the
            users' vectors, shape (b, dim).
        """
        scaled = self.user_scale(figures)
        users, _ = self.history(self.vectors, bought, purchases, mask, scaled)
        parts = self.head(self.pair_scale(pairs), self.items, scaled, users, self.vectors)
        total = parts["linear"] + parts["deep"] + parts["match"]
        seen = torch.zeros_like(total).scatter_add(1, bought, mask.to(total.dtype)) > 0
        return total.masked_fill(seen, -torch.inf).log_softmax(dim=1).masked_fill(seen, -torch.inf), users


def inputs(cutoff: CutOff, history: Log, rows: IntArray) -> dict[str, Tensor]:
    """The evidence that a program is given, by the names of `INPUTS`.

    Args:
        cutoff: of the run.
        history: of the users before it.
        rows: their rows in the population, −1 for strangers.
    """
    found = cutoff.evidence(history, rows)
    return {name: getattr(found, name) for name in INPUTS}


def torch_program(scorer: InterestScorer, sample: dict[str, Tensor]) -> torch.export.ExportedProgram:
    """The scorer by ``torch.export``; the numbers of users and of purchases may be any.

    Args:
        scorer: to export.
        sample: inputs of two users or more, with two purchases or more.
    """
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    per_user: dict[str, dict[int, torch.export.Dim]] = {name: {0: batch} for name in INPUTS}
    for name in ("bought", "purchases", "mask"):
        per_user[name][1] = length
    given = tuple(sample[name] for name in INPUTS)
    return torch.export.export(scorer, given, dynamic_shapes=tuple(per_user[name] for name in INPUTS))


def need_onnx() -> None:
    """Refuse where ONNX's packages, which come with an extra, are not installed.

    Raises:
        InputError: one is missing.
    """
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        remedy = f"Install them: pip install 'crossaisle[onnx]' (or pip install {' '.join(LIBRARIES)})."
        raise InputError(f"{', '.join(missing)} is not installed", where="onnx", remedy=remedy)


def write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a program as ONNX, one file with its weights."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of torchvision, which nothing here needs
    made = torch.onnx.export(
        program, dynamo=True, input_names=list(INPUTS), output_names=list(OUTPUTS), external_data=False, verbose=False
    )
    assert made is not None
    made.save(str(path))


def session(path: Path, threads: int = 0) -> Any:  # noqa: ANN401
    """ONNX Runtime's session of a file on the CPU.

    Args:
        path: of the ONNX file.
        threads: 0: all cores.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def asked(of: Any, given: dict[str, Tensor]) -> list[npt.NDArray[np.float32]]:  # noqa: ANN401
    """What a session answers to inputs: `OUTPUTS`."""
    answers: list[npt.NDArray[np.float32]] = of.run(list(OUTPUTS), {name: given[name].numpy() for name in INPUTS})
    return answers


def write_programs(run: LoadedRun, kinds: Sequence[Program], folder: Path) -> None:
    """Write ``scorer.pt2`` or ``scorer.onnx``, and ``scorer.json``, which names inputs, categories and evidence.

    Args:
        run: a loaded run.
        kinds: which.
        folder: that is there.

    Raises:
        InputError: a missing library, fewer than two users with a history, or a program that answers otherwise than
            the model by more than 1e-4.
    """
    if not kinds:
        return
    scorer, sample = InterestScorer(run), _sample(run)
    program = torch_program(scorer, sample)
    if "torch" in kinds:
        torch.export.save(program, folder / TORCH)
        _compare("torch.export", scorer, sample, [one.detach().numpy() for one in program.module()(*sample.values())])
    if "onnx" in kinds:
        write_onnx(program, folder / ONNX)
        _compare("ONNX", scorer, sample, asked(session(folder / ONNX), sample))
    evidence = run.scorer.cutoff.interest
    names = {"pairs": evidence.pair_names, "figures": evidence.user_names, "purchases": evidence.purchase_names}
    told = {"inputs": INPUTS, "outputs": OUTPUTS, "features": {name: list(found) for name, found in names.items()}}
    write_json(folder / TOLD, told | {"categories": evidence.level.ids.tolist(), "cut_off": run.scorer.cutoff.time})


def _sample(run: LoadedRun) -> dict[str, Tensor]:
    """Inputs of the users with the longest histories."""
    history = run.scorer.cutoff.history
    rows = np.argsort(-np.bincount(history.user, minlength=history.n_users), kind="stable")[:SAMPLE].astype(np.int64)
    found = inputs(run.scorer.cutoff, history.of_users(rows), rows)
    if min(found["bought"].shape) < 2:
        remedy = "Export the scorer of a run with more data."
        raise InputError("there are no two users with two purchases", where="scorer", remedy=remedy)
    return found


def _compare(
    name: str, scorer: InterestScorer, sample: dict[str, Tensor], answers: Sequence[npt.NDArray[np.float32]]
) -> None:
    off = parity(scorer, sample, answers)
    if not off <= TOLERANCE:
        what = f"{name} answers otherwise than the model by {off:.1e}"
        raise InputError(what, where="scorer", remedy="Report this, with the versions of torch and onnxruntime.")


@torch.inference_mode()
def parity(scorer: InterestScorer, given: dict[str, Tensor], answers: Sequence[npt.NDArray[np.float32]]) -> float:
    """Largest difference between a program's answers and the model's; infinite where other numbers are finite."""
    worst = 0.0
    for expected, answer in zip((one.numpy() for one in scorer(*given.values())), answers, strict=True):
        known = np.isfinite(expected)
        if not np.array_equal(known, np.isfinite(answer)):
            return float("inf")
        worst = max(worst, float(np.abs(expected[known] - answer[known]).max(initial=0)))
    return worst
