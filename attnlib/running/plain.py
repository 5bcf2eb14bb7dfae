"""Values made plain: exact arrays, numbers and text, which can be compared and can be sent.

Nothing that a student wrote lives on in a plain value: no subclass, no method.
"""

import json
import numbers
import sys
from dataclasses import asdict, replace
from decimal import Decimal

import numpy as np

from .outcome import Other, Outcome


class Notes:
    """What is noticed while a value is made plain, and how many items are left to look at."""

    def __init__(self):
        self.half, self.left = False, 100_000


def plain(x, notes=None, depth=0):
    """A value as exact arrays, numbers, text, None, `Other`, and lists, tuples and dicts of them.

    Nothing of the student's own lives on in it: no subclass, no method.

    Args:
        x: anything.
        notes: where it is noted whether an array of half precision was among it.
        depth: how deep it is nested.

    >>> plain((np.float64(1.5), {"a": print}))
    (array(1.5), {'a': Other(type_name='builtin_function_or_method')})
    """
    notes = notes or Notes()
    notes.left -= 1
    kind = type(x)
    if x is None or kind in (bool, int, float, str):
        return x
    try:
        if issubclass(kind, (np.ndarray, np.generic)):
            return _plain_array(np.array(x, subok=False, copy=True), notes, depth)
        if has_torch() and issubclass(kind, import_torch().Tensor):
            return _plain_tensor(x, notes)
        if issubclass(kind, (list, tuple, dict)) and depth < 8 and notes.left > 0:
            return _plain_items(x, kind, notes, depth + 1)
        return _plain_number_or_text(x, kind)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a hostile object: what it is called is all that is wanted of it
        return Other(type_name(kind))


def identical(x, y) -> bool:
    """Whether two plain values are the same, bit for bit but for NaN equal to NaN.

    >>> identical([np.array([np.nan])], [np.array([np.nan])])
    True
    """
    if type(x) is not type(y):
        return False
    if isinstance(x, np.ndarray):
        return (x.shape == y.shape and x.dtype == y.dtype
                and np.array_equal(x, y, equal_nan=x.dtype.kind in "fc"))
    if isinstance(x, (list, tuple)):
        return len(x) == len(y) and all(map(identical, x, y))
    if isinstance(x, dict):
        return list(x) == list(y) and all(identical(x[name], y[name]) for name in x)
    return x == y or (x != x and y != y)


def of_kind(x, kind):
    """A copy of an input, its arrays of the given kind, "numpy" or "torch"."""
    if isinstance(x, np.ndarray):
        return import_torch().from_numpy(x.copy()) if kind == "torch" else x.copy()
    if isinstance(x, (list, tuple)):
        return type(x)(of_kind(item, kind) for item in x)
    if isinstance(x, dict):
        return {name: of_kind(item, kind) for name, item in x.items()}
    return x


VALUES = ("value", "again", "after")  # the fields of an outcome that hold an answer's own values


def has_torch() -> bool:
    """Whether torch is in use; it is not imported to find out."""
    return sys.modules.get("torch") is not None


def import_torch():
    """torch, imported when it is first needed."""
    import torch
    return torch


def pack(outcomes) -> tuple[str, list[np.ndarray]]:
    """Outcomes as JSON text and a list of arrays, to cross a process.

    Args:
        outcomes: list of `Outcome`.

    Returns:
        text, arrays: what `unpack` takes.

    >>> unpack(*pack([Outcome(value=(1, [2.5, None]))]))[0].value
    (1, [2.5, None])
    """
    arrays: list[np.ndarray] = []
    records = [asdict(replace(o, **dict.fromkeys(VALUES)))
               | {name: _encode(getattr(o, name), arrays) for name in VALUES} for o in outcomes]
    return json.dumps(records), arrays


def unpack(text, arrays) -> list[Outcome]:
    """The outcomes that `pack` packed; nothing but plain data can come of it.

    Args:
        text, arrays: from `pack`; arrays may have been through ``np.savez`` without pickle.

    Returns:
        List of `Outcome`.

    Raises:
        ValueError, TypeError, KeyError, IndexError, AttributeError: if the text is not such a
            record; whoever trusts the sender least catches them.
    """
    outcomes = []
    for record in json.loads(text):
        record |= {name: _decode(record[name], arrays) for name in VALUES}
        record["frames"] = tuple((str(f), int(n), str(line)) for f, n, line in record["frames"])
        for name in ("changed", "forbidden", "replaced"):
            record[name] = tuple(str(item) for item in record[name])
        for name, field in Outcome.__dataclass_fields__.items():
            if field.type in (str, bool, int) and type(record[name]) is not field.type:
                raise TypeError(f"{name} must be of type {field.type.__name__}")
        if type(record["again"]) is not tuple:
            raise TypeError("again must be a tuple")
        outcomes.append(Outcome(**record))
    return outcomes


# How each kind of thing is made plain.


def _plain_items(x, kind, notes, depth):
    if issubclass(kind, dict):
        return {plain(name): plain(item, notes, depth) for name, item in dict.items(x)
                if issubclass(type(name), (str, int))}
    base = list if issubclass(kind, list) else tuple
    return base(plain(item, notes, depth) for item in base.__iter__(x))


def _plain_number_or_text(x, kind):
    for base, exact in ((str, str.__str__), (int, int.__index__), (float, float.__float__)):
        if issubclass(kind, base):
            return exact(x)
    return float(x) if issubclass(kind, (numbers.Real, Decimal)) else Other(type_name(kind))


def _plain_array(array, notes, depth):
    if array.dtype.kind == "O":
        return plain(array.tolist(), notes, depth + 1)
    if array.dtype.kind in "US":
        return array.astype(str).tolist()
    if array.dtype.kind not in "biufc":
        return Other(f"array of {array.dtype}")
    notes.half |= array.dtype == np.float16
    return array


def _plain_tensor(tensor, notes):
    torch = import_torch()
    with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
        tensor = torch.Tensor.detach(tensor).cpu().resolve_conj().resolve_neg()
        notes.half |= tensor.dtype in (torch.float16, torch.bfloat16)
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        return np.array(torch.Tensor.numpy(tensor), subok=False, copy=True)


def type_name(kind) -> str:
    """A class's own name, whatever its metaclass says."""
    return str(type.__dict__["__name__"].__get__(kind))


# How a plain value is written down.


def _encode(x, arrays):
    if isinstance(x, np.ndarray):
        arrays.append(x)
        return {"array": len(arrays) - 1}
    if isinstance(x, (list, tuple)):
        return {type(x).__name__: [_encode(item, arrays) for item in x]}
    if isinstance(x, dict):
        return {"dict": [[name, _encode(item, arrays)] for name, item in x.items()]}
    return {"other": x.type_name} if isinstance(x, Other) else {"just": x}


def _decode(x, arrays):
    (form, content), = x.items()
    if form == "array":
        return plain(arrays[int(content)])
    if form in ("list", "tuple"):
        return (list if form == "list" else tuple)(_decode(item, arrays) for item in content)
    if form == "dict":
        return {plain(name): _decode(item, arrays) for name, item in content}
    if form not in ("other", "just"):
        raise ValueError(f"an outcome holds no {form!r}")
    return Other(str(content)) if form == "other" else plain(content)
