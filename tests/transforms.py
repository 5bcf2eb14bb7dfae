"""What other people's machinery does to attnlib's functions, tried; and the table of it.

``python tests/transforms.py`` writes the table, which the page about attnlib shows. The functions
are those of attnlib that take arrays; the columns are what they are run under. A cell that the
table calls wanting must fail, or the table is out of date.
"""

from pathlib import Path

STORED = Path(__file__).with_suffix(".md")
COLUMNS = ("autocast", "compile", "export", "vmap", "jit", "func.grad", "meta")
X, WEIGHTS = (2, 5, 4), (2, 3, 5, 5)  # shapes: sequences of vectors; weights of three heads

# module: {name: (shapes of the arguments, the keyword arguments)}
EQUATIONS = {
    "attention_scores": ((X, X), {}),
    "softmax": ((X,), {}),
    "attention_weights": ((X, X), dict(causal=True, window=3)),
    "attention": ((X, X, X), dict(causal=True)),
    "partial_attention": ((X, X, X), {}),
    "merge_partials": ((X, X[:-1], X, X[:-1]), {}),
    "additive_scores": ((X, X, (4, 3), (4, 3), (3,)), {}),
    "rotate": ((X,), {}),
    "split_heads": ((X,), dict(heads=2)),
    "merge_heads": ((WEIGHTS,), {}),
    "repeat_heads": ((WEIGHTS,), dict(times=2)),
}
DIAGNOSTICS = {
    "entropy": ((WEIGHTS,), {}),
    "effective_keys": ((WEIGHTS,), {}),
    "top_mass": ((WEIGHTS,), dict(k=2)),
    "mean_distance": ((WEIGHTS,), {}),
    "head_similarity": ((WEIGHTS,), {}),
    "rank_one_residual": ((X,), {}),
}
MULTILEVEL = {
    "local_attention": ((X, X, X), dict(window=2, causal=True)),
    "chunked_attention": ((X, X, X), dict(causal=True, query_chunk=2, key_chunk=3)),
    "hierarchical_attention": ((X, X, X), dict(chunk=2, causal=True)),
    "selected_attention": ((X, X, X), dict(chunk=2, top=1, window=1)),
}
LAYERS = {
    "MultiHeadAttention": ((X,), dict(dim=4, heads=2, rotary=True)),
    "FeedForward": ((X,), dict(dim=4)),
    "Block": ((X,), dict(dim=4, heads=2)),
    "Encoder": ((X,), dict(dim=4, heads=2, layers=2, rotary=True)),
    "Decoder": ((X, X), dict(dim=4, heads=2, layers=1)),
    "LanguageModel": (((2, 5),), dict(vocabulary=7, dim=4, heads=2, layers=1)),
}
FUNCTIONS = EQUATIONS | DIAGNOSTICS | MULTILEVEL | LAYERS
WANTING = {}  # (name, column): why


def applies(name, column):
    """Whether the column says anything of this function."""
    if column == "jit":
        return name in EQUATIONS | DIAGNOSTICS
    return not (name == "LanguageModel" and column == "func.grad")  # tokens have no gradient


def markdown():
    """The table, and what is wanting in it."""
    rows = [["", *COLUMNS], ["---"] * (1 + len(COLUMNS))]
    notes = []
    for name in FUNCTIONS:
        cells = []
        for column in COLUMNS:
            if not applies(name, column):
                cells.append("·")
            elif (name, column) in WANTING:
                notes.append(f"`{name}`, {column}: {WANTING[name, column]}")
                cells.append("no")
            else:
                cells.append("yes")
        rows.append([f"`{name}`", *cells])
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return "\n\n".join([
        "## Under other people's machinery",
        "Each cell is a test: the function gives what it gives by itself. `autocast` is torch's, "
        "to bfloat16; `compile` is `torch.compile(fullgraph=True)`, `export` is `torch.export`, "
        "`vmap` and `func.grad` are those of `torch.func`, `meta` stands for tensors without "
        "numbers, and `jit` is that of jax, for what is not torch alone. A dot: does not apply.",
        table, *notes,
        "Masks and positions that are made from numbers (`causal_mask`, `window_mask`, "
        "`padding_mask`, `sinusoidal_positions`, `alibi_bias`), and numpy's masks and biases "
        "beside tensors, may stand inside a function that `compile`, `export`, `vmap` or `jit` "
        "traces: tested likewise."]) + "\n"


if __name__ == "__main__":
    STORED.write_text(markdown(), encoding="utf-8")
