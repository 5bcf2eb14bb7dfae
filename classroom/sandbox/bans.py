"""Inside: functions that an exercise does without raise, wherever they are called from."""

import ctypes
import functools
import inspect
import re
import sys
import types

from attnlib.running import watching

# What computes the same under other names: a family is banned whole where one of it is.
FAMILIES = {"softmax": r"(?<!log_)(?<!log)softmax", "log_softmax": r"log_?softmax",
            "attention": r"attention|multi_?head|transformer_encoder_layer"}
KEYS = ("CPU", "CompositeImplicitAutograd", "SparseCPU", "SparseCsrCPU", "NestedTensorCPU")
REFERENCES = ("torch._refs", "torch._refs.nn.functional", "torch.masked",
              "torch.nn.attention.flex_attention")  # Python's own versions of torch's operators


def ban(names):
    """Make functions raise, wherever they were imported, before any cell runs.

    Args:
        names: dotted names, as in `Exercise.forbidden`.
    """
    for name in names:
        for function in watching.functions_named(name):
            inner = inspect.unwrap(function)
            for python_function in {function, inner}:
                close(python_function)
            if not isinstance(inner, types.FunctionType):
                replace(name, inner)
                if not patterns([name]):
                    ban_operators(rf"aten::_?{re.escape(inner.__name__)}(?:_|\.|$)")
    for pattern in patterns(names):
        for function in relatives(pattern):
            close(function)
        ban_operators(pattern)
    watching._originals.clear()  # from now on this is what the libraries' own functions are
    watching.replaced_functions()


def patterns(names):
    """The families that are banned, by what is banned of torch.

    >>> patterns(["torch.softmax", "numpy.exp"]) == [FAMILIES["softmax"]]
    True
    """
    words = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.rpartition(".")[2]).lower()
             for name in names if name.startswith("torch.")]
    return [pattern for pattern in FAMILIES.values()
            if any(re.search(pattern, word) for word in words)]


@functools.cache
def relatives(pattern):
    """torch's Python functions of a family; found once, before any child is made."""
    return [thing for module, space in list(sys.modules.items())
            if module.partition(".")[0] in ("torch", "array_api_compat")
            for name, thing in list(vars(space).items())
            if isinstance(thing, types.FunctionType) and re.search(pattern, thing.__name__)
            and "backward" not in thing.__name__]


@functools.cache
def operators(pattern):
    """torch's operators of a family."""
    return [name for name in sys.modules["torch"]._C._dispatch_get_all_op_names()
            if name.startswith("aten::") and re.search(pattern, name) and "backward" not in name]


def find():
    """Look for all families, so that every child knows them."""
    if "torch" in sys.modules:
        for pattern in FAMILIES.values():
            relatives(pattern), operators(pattern)


def refuse(*args, **kwargs):
    raise PermissionError("The exercise does without this function.")


def close(function):
    """Empty a function that is written in Python: all who hold it hold the empty one."""
    if isinstance(function, types.FunctionType):
        code = function.__code__
        function.__code__ = refuse.__code__.replace(co_freevars=code.co_freevars)


def replace(name, function):
    """Put a function that raises in the place of one that is not written in Python."""
    def banned(*args, **kwargs):
        raise PermissionError("The exercise does without this function.")

    top, short = name.partition(".")[0], function.__name__
    owners = [module for other, module in list(sys.modules.items())
              if other.partition(".")[0] == top]
    if top == "torch":
        owners += [sys.modules["torch"].Tensor, sys.modules["torch"]._C._VariableFunctions]
    for owner in owners:
        if getattr(owner, "__dict__", {}).get(short) is function or (
                isinstance(owner, type) and getattr(owner, short, None) is function):
            setattr(owner, short, banned)


def ban_operators(pattern):
    """The same one level below: torch's operators of a family, however they are reached."""
    if "torch" not in sys.modules:
        return
    c = sys.modules["torch"]._C
    for key in KEYS:
        library = c._dispatch_library("IMPL", "aten", key, "", 0)
        for name in operators(pattern):
            library.impl(name.removeprefix("aten::"), key, refuse, False)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))  # stays, and nobody can find it
