"""The book's one recipe for training, told for one run; several runs are trained at once.

How the runs are stacked is this module's own business: ``torch.vmap`` over stacked weights, which
takes half the time of one run after the other where models are tiny, and one after the other
where vmap cannot follow (an LSTM, a value that decides what is done).
"""

from typing import NamedTuple

import numpy as np
import torch

from . import tasks
from .masks import whole_number


class Trained(NamedTuple):
    """What came of `train`: a model for each run, and what was seen on the way."""

    models: list  # what ``make`` made, trained; one for each run
    losses: np.ndarray  # (runs, steps): the loss at each step, before it
    seen: dict  # name: (runs, steps), what else the loss told

    def measure(self, function, *arguments) -> np.ndarray:
        """``function(model, *arguments)`` of each run, without gradients.

        Args:
            function: called with a model and the arguments; returns a number or an array.
            arguments: what else it is called with.

        Returns:
            Numpy array ``(runs, ...)``.

        >>> Trained([2.0, 3.0], np.zeros((2, 1)), {}).measure(lambda model, x: model * x, 10)
        array([20., 30.])
        """
        with torch.no_grad():
            return np.stack([np.asarray(function(model, *arguments)) for model in self.models])


def train(make, loss, draw, steps, *, runs=5, lr, seed=0) -> Trained:
    """The book's one recipe: Adam, a short warm-up, a linear end; several runs at once.

    Everything is told for one run. Each run has a start and data of its own, which depend on
    ``seed``, `BOOK_SEED` and the run's number alone: what is trained with one seed sees one
    stream of data, and fewer runs are the first of more. The rate grows over the first 5 % of
    the steps and falls to 0 over the last 30 %.

    Args:
        make: called without arguments, once for each run; returns the model, a
            ``torch.nn.Module`` or a dict of floating tensors. Its dtype is that of all.
        loss: called with the model and what ``draw`` returned, as tensors; returns the loss, a
            tensor without axes, or the loss and a dict of other tensors to be kept.
        draw: called before each step with the run's own numpy ``Generator``; returns the batch,
            a tuple of arrays or tensors, of the same shapes each time.
        steps: number of steps: ``steps(200)``, or a bare number where a claim is about it.
        runs: number of runs.
        lr: the largest learning rate.
        seed: whole number of at least 0; another gives other starts and other data.

    Returns:
        A `Trained`: the models, their losses, and what else the loss told.

    Raises:
        TypeError, ValueError: if ``steps``, ``runs`` or ``seed`` is not a whole number in range,
            or ``make`` or ``loss`` returns something else.
        FloatingPointError: if a loss is not finite; the message names the run and the step.

    Source: Kingma and Ba 2015 (Adam); its betas (0.9, 0.98) as in Vaswani et al. 2017, section 5.3.

    >>> trained = train(lambda: {"x": torch.randn(())}, lambda model, y: (model["x"] - y)**2,
    ...                 lambda rng: (rng.normal(3, 0.1, ()),), steps=300, runs=2, lr=0.1)
    >>> trained.losses.shape, trained.measure(lambda model: model["x"]).round()
    ((2, 300), array([3., 3.], dtype=float32))
    """
    for name, number, least in (("steps", steps, 1), ("runs", runs, 1), ("seed", seed, 0)):
        whole_number(name, number, least)
    torch.set_num_threads(1)
    starts = [np.random.SeedSequence([seed, tasks.BOOK_SEED], spawn_key=(run,))
              for run in range(runs)]
    generators = [np.random.default_rng(start) for start in starts]
    with torch.random.fork_rng(devices=[]):
        whole = []
        for start in starts:
            torch.manual_seed(int(start.generate_state(1)[0]))
            whole.append(_Whole(make(), loss))
        dtype = next(whole[0].parameters()).dtype

        def batches():
            return [_tensors(draw(generator), dtype) for generator in generators]

        losses, seen = _descend(whole, batches, steps, lr)
    return Trained([one.trained() for one in whole], losses, seen)


class _Whole(torch.nn.Module):
    """A model and its loss in one, so that it can be called with other weights."""

    def __init__(self, model, loss):
        super().__init__()
        if isinstance(model, dict) and model:
            self.names = list(model)
            model = torch.nn.ParameterList(x.detach().clone() for x in model.values())
        elif isinstance(model, torch.nn.Module):
            self.names = None
        else:
            raise TypeError("make must return a torch.nn.Module or a dict of tensors, "
                            f"got {type(model).__name__}")
        self.model, self.loss = model, loss

    def forward(self, *batch):
        model = self.model if self.names is None else dict(zip(self.names, self.model))
        told = self.loss(model, *batch)
        loss, more = told if isinstance(told, tuple) else (told, {})
        if loss.ndim:
            raise ValueError("loss must return one number for its run, a tensor without axes, "
                             f"got shape {tuple(loss.shape)}")
        return loss, more

    def trained(self):
        if self.names is None:
            return self.model
        return {name: x.detach() for name, x in zip(self.names, self.model)}


def _descend(whole, batches, steps, lr):
    """Train all runs; returns their losses and what else they told, each (runs, steps, ...)."""
    first = batches()
    parameters, losses_of, finish = _vmapped(whole, first) or _one_by_one(whole)
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.98))
    losses, seen = [], {}
    for step in range(steps):
        _set_rate(optimizer, lr, step, steps)
        loss, told = losses_of(batches() if step else first)
        losses.append(loss.detach().numpy())
        for name, x in told.items():
            seen.setdefault(name, []).append(x.detach().numpy())
        if not np.isfinite(losses[-1]).all():
            run = int(np.flatnonzero(~np.isfinite(losses[-1]))[0])
            raise FloatingPointError(f"the loss of run {run} is {losses[-1][run]} at step {step}: "
                                     "look at what draw returns, or lower lr")
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    finish()
    return np.stack(losses, 1), {name: np.stack(x, 1) for name, x in seen.items()}


def _vmapped(whole, batches):
    """All runs in one call; None where there is one run alone, or vmap cannot follow."""
    if len(whole) == 1:
        return None
    parameters, buffers = torch.func.stack_module_state(whole)  # name: (runs, ...)
    of_one = torch.vmap(
        lambda *state_and_batch: torch.func.functional_call(
            whole[0], state_and_batch[:2], state_and_batch[2:]), randomness="different")

    def losses_of(batches):
        return of_one(parameters, buffers, *map(torch.stack, zip(*batches)))

    def finish():
        for run, one in enumerate(whole):
            for name, x in one.named_parameters():
                x.data.copy_(parameters[name][run])

    try:
        with torch.no_grad():
            losses_of(batches)
    except (RuntimeError, NotImplementedError):
        return None
    return list(parameters.values()), losses_of, finish


def _one_by_one(whole):
    def losses_of(batches):
        losses, told = zip(*(one(*batch) for one, batch in zip(whole, batches)))
        return torch.stack(losses), {name: torch.stack([x[name] for x in told])
                                     for name in told[0]}

    return [x for one in whole for x in one.parameters()], losses_of, lambda: None


def _tensors(batch, dtype):
    """The parts of a batch as tensors, floating ones in the model's dtype."""
    parts = [torch.as_tensor(part) for part in batch]
    return [part.to(dtype) if part.is_floating_point() else part for part in parts]


def _set_rate(optimizer, lr, step, steps):
    for group in optimizer.param_groups:
        group["lr"] = lr * min(1, (step + 1) / (0.05 * steps), (steps - step) / (0.3 * steps))
