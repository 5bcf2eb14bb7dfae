"""attnlib: the mathematics of "Attention by Experiment", one function per equation."""

from importlib import import_module

from .attention import (
    additive_scores,
    attention,
    attention_scores,
    attention_weights,
    merge_partials,
    partial_attention,
    softmax,
)
from .diagnostics import (
    effective_keys,
    entropy,
    head_similarity,
    mean_distance,
    rank_one_residual,
    reachable,
    receptive_field,
    rollout,
    top_mass,
)
from .heads import merge_heads, repeat_heads, split_heads
from .masks import causal_mask, padding_mask, window_mask
from .positions import alibi_bias, rotate, sinusoidal_positions

__version__ = "0.1.0"

_TORCH = {  # names that need torch load with it, when first used; and where they live
    "Block": "layers",
    "Decoder": "layers",
    "Encoder": "layers",
    "FeedForward": "layers",
    "KeyValueCache": "layers",
    "LanguageModel": "layers",
    "LearnedPositions": "layers",
    "MultiHeadAttention": "layers",
    "chunked_attention": "multilevel",
    "hierarchical_attention": "multilevel",
    "local_attention": "multilevel",
    "ring_attention": "multilevel",
    "selected_attention": "multilevel",
    "zigzag_positions": "multilevel",
}

__all__ = [
    "additive_scores", "alibi_bias", "attention", "attention_scores", "attention_weights",
    "causal_mask", "effective_keys", "entropy", "head_similarity", "mean_distance", "merge_heads",
    "merge_partials", "padding_mask", "partial_attention", "rank_one_residual", "reachable",
    "receptive_field", "repeat_heads", "rollout", "rotate", "sinusoidal_positions", "softmax",
    "split_heads", "top_mass", "window_mask",
    *_TORCH,
]


def __getattr__(name):
    module = name if name in _TORCH.values() else _TORCH.get(name)
    if module is None:
        raise AttributeError(f"module 'attnlib' has no attribute {name!r}")
    try:
        loaded = import_module(f".{module}", __name__)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError(f"attnlib.{name} needs PyTorch: pip install torch",
                                  name="torch") from None
    return loaded if name == module else getattr(loaded, name)


def __dir__():
    return sorted({*globals(), *__all__})
