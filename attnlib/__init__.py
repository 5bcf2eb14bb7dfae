"""attnlib: the mathematics of "Attention by Experiment", one function per equation."""

from .attention import (
    additive_scores, attention, attention_scores, attention_weights, merge_partials,
    partial_attention, softmax,
)
from .masks import causal_mask

__version__ = "0.1.0"
