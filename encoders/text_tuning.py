"""Which weights of a language model are tuned: none, low-rank adapters, the top layers, or all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import peft
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from encoders.text_config import TextConfig
from errors import InputError


def layers_of(model: PreTrainedModel) -> nn.ModuleList | None:
    """The stack of transformer layers: the heaviest list as long as the configuration says, if any."""
    depth = getattr(model.config, "num_hidden_layers", None)
    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    return max(stacks, key=lambda s: sum(p.numel() for p in s.parameters()), default=None)


def tune(model: PreTrainedModel, config: TextConfig) -> peft.PeftModel | None:
    """Set which parameters are trained, in place.

    Adapters are those of LoRA (Hu et al. 2021, arXiv 2106.09685) in every linear map of the chosen layers.

    Returns:
        The PEFT wrapper around the model for strategy ``lora`` (adapters are injected into the model
        itself), else None.

    Raises:
        InputError: more top layers than the model has, or a model without a plain stack of layers.
    """
    model.requires_grad_(False)
    if config.strategy == "lora":
        return _adapt(model, config)
    if config.strategy == "top":
        _stack(model, config.top_layers)[-config.top_layers :].requires_grad_(True)
    if config.strategy == "full":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith("pooler."))
    return None


def lowest_tuned(model: PreTrainedModel, config: TextConfig) -> int:
    """Number of layers below the lowest tuned one; 0 when all are tuned, none are, or it cannot be told."""
    stack = layers_of(model)
    top = {"lora": config.lora_layers, "top": config.top_layers}.get(config.strategy, 0)
    return max(0, len(stack) - top) if stack is not None and top else 0


@contextmanager
def folded(model: PreTrainedModel, worth: bool = True) -> Iterator[None]:
    """Adapters folded into the weights for a while: a quarter less time per token; then restored exactly.

    Args:
        model: with or without adapters.
        worth: false = do nothing (for a few texts, folding costs more than it saves).
    """
    adapted = [m for m in model.modules() if isinstance(m, BaseTunerLayer)] if worth else []
    before = [layer.get_base_layer().weight.data.clone() for layer in adapted]
    for layer in adapted:
        layer.merge()
    try:
        yield
    finally:
        for layer, weight in zip(adapted, before, strict=True):
            layer.unmerge()
            layer.get_base_layer().weight.data.copy_(weight)  # unmerging alone leaves rounding errors


def _adapt(model: PreTrainedModel, config: TextConfig) -> peft.PeftModel:
    settings = peft.LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=_linear_names(model, config.lora_layers),
        fan_in_fan_out=any(isinstance(m, Conv1D) for m in model.modules()),
    )
    return peft.get_peft_model(model, settings)


def _linear_names(model: PreTrainedModel, top: int) -> list[str]:
    stack = layers_of(model)
    chosen: nn.Module = model if stack is None else stack[-top:]
    inside = {id(m) for m in chosen.modules() if isinstance(m, nn.Linear | Conv1D)}
    return [n for n, m in model.named_modules() if id(m) in inside and n.split(".")[0] != "pooler"]


def _stack(model: PreTrainedModel, top: int) -> nn.ModuleList:
    stack = layers_of(model)
    if stack is None:
        raise InputError(
            f"the layers of a {model.config.model_type!r} model cannot be found",
            where="text.strategy",
            remedy="use strategy lora or full for this model",
        )
    if top > len(stack):
        raise InputError(
            f"{top} layers to tune, the model has {len(stack)}",
            where="text.top_layers",
            remedy=f"give at most {len(stack)}, or use strategy full",
        )
    return stack
