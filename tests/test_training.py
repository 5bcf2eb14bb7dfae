"""train: its steps against Adam written out, its runs against the runs alone, and bad input."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from attnlib import tasks

WEIGHT = torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)


def make():
    return {"w": torch.randn(3, 1, dtype=torch.float64), "b": torch.zeros(1, dtype=torch.float64)}


def draw(rng):
    x = rng.normal(size=(8, 3))
    return x, x @ WEIGHT.numpy() + rng.normal(0, 0.1, (8, 1))


def loss(model, x, y):
    return (x @ model["w"] + model["b"] - y).square().mean()


def adam_by_hand(x, gradient_of, steps, lr):
    """Adam with the book's schedule, in numpy; the x before each step and the last."""
    m = v = 0.0
    path = [x]
    for step in range(steps):
        gradient = gradient_of(x, step)
        m, v = 0.9 * m + 0.1 * gradient, 0.98 * v + 0.02 * gradient**2
        rate = lr
        if step < 0.05 * steps:
            rate = lr * (step + 1) / (0.05 * steps)
        if step >= 0.7 * steps:
            rate = lr * (steps - step) / (0.3 * steps)
        x = x - rate * m / (1 - 0.9**(step + 1)) / (np.sqrt(v / (1 - 0.98**(step + 1))) + 1e-8)
        path.append(x)
    return np.array(path)


@pytest.mark.parametrize("runs", [1, 3])
def test_train_is_adam_with_a_warm_up_and_a_linear_end(runs):
    trained = tasks.train(lambda: {"x": torch.randn((), dtype=torch.float64)},
                          lambda model, a: model["x"]**4 + a * model["x"],
                          lambda rng: (np.array(rng.normal()),), 40, runs=runs, lr=0.1, seed=2)
    for run in range(runs):
        start = np.random.SeedSequence([2, 0], spawn_key=(run,))
        torch.manual_seed(int(start.generate_state(1)[0]))
        x = torch.randn((), dtype=torch.float64).item()
        a = np.random.default_rng(start).normal(size=40)
        path = adam_by_hand(x, lambda x, step, a=a: 4 * x**3 + a[step], 40, 0.1)
        np.testing.assert_allclose(trained.losses[run], path[:-1]**4 + a * path[:-1], rtol=1e-9)
        np.testing.assert_allclose(trained.models[run]["x"], path[-1], rtol=1e-9)


def a_dict():
    return make, loss


def a_module():
    def of_module(model, x, y):
        return (model(x) - y).square().mean()

    return lambda: torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(),
                                       torch.nn.Linear(4, 1)).double(), of_module


def a_recurrence():  # vmap has no rule for it
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.read = torch.nn.LSTM(1, 4, batch_first=True), torch.nn.Linear(4, 1)

        def forward(self, x):
            return self.read(self.lstm(x[..., None])[0][:, -1])

    def of_net(model, x, y):
        return (model(x) - y).square().mean()

    return lambda: Net().double(), of_net


def a_branch():  # nor for a value that decides what is done
    def of_branch(model, x, y):
        difference = x @ model["w"] - y
        return difference.square().mean() if difference.sum() > 0 else difference.abs().mean()

    return make, of_branch


def flat(model):
    values = model.values() if isinstance(model, dict) else model.parameters()
    return torch.cat([x.detach().flatten() for x in values])


@pytest.mark.parametrize("kind", [a_dict, a_module, a_recurrence, a_branch])
def test_runs_that_train_together_are_the_runs_alone(kind):
    make, loss = kind()
    together = tasks.train(make, loss, draw, 30, runs=3, lr=0.02)
    assert together.losses.shape == (3, 30) and len(together.models) == 3
    assert len(set(together.losses[:, 0])) == 3  # each its own start and data
    for runs in (1, 2):
        fewer = tasks.train(make, loss, draw, 30, runs=runs, lr=0.02)
        np.testing.assert_allclose(fewer.losses, together.losses[:runs], rtol=1e-9)
        for one, other in zip(fewer.models, together.models):
            assert torch.allclose(flat(one), flat(other), rtol=1e-9)


@pytest.mark.parametrize("kind, stacked", [(a_dict, True), (a_module, True), (a_branch, False)])
def test_runs_are_stacked_where_that_can_be_done(kind, stacked, monkeypatch):
    calls = []
    make, loss = kind()

    def counted(*arguments):
        calls.append(1)
        return loss(*arguments)

    tasks.train(make, counted, draw, 10, runs=3, lr=0.02)
    assert (len(calls) <= 11) == stacked


def test_the_same_again_whatever_was_drawn_before():
    def again(**how):
        torch.rand(1)
        return tasks.train(make, loss, draw, 10, runs=2, lr=0.02, **how).losses

    first = again()
    np.testing.assert_array_equal(first, again())
    assert not np.intersect1d(first, again(seed=1)).size
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    tasks.train(make, loss, draw, 3, lr=0.02)
    assert torch.equal(torch.rand(1), expected)  # nor does it disturb what comes after it


def test_another_book_has_other_starts_and_data(monkeypatch):
    first = tasks.train(make, loss, draw, 5, lr=0.02).losses
    monkeypatch.setattr(tasks, "BOOK_SEED", 1)
    assert not np.intersect1d(first, tasks.train(make, loss, draw, 5, lr=0.02).losses).size


def test_no_run_learns_from_what_a_test_set_is_drawn_from():
    seen = []
    tasks.train(make, lambda model, x, y: seen.append(x) or loss(model, x, y), draw, 1, runs=1,
                lr=0.1, seed=7)
    x, _ = draw(tasks.repeatable(7))
    assert not np.intersect1d(x, seen[0].numpy()).size


def test_it_learns_and_measures():
    trained = tasks.train(make, loss, draw, 300, lr=0.05)
    assert (trained.losses[:, -50:].mean(1) < 0.02).all()
    assert np.abs(trained.measure(lambda model: model["w"]) - WEIGHT.numpy()).max() < 0.05
    x, y = map(torch.from_numpy, draw(np.random.default_rng(0)))
    measured = trained.measure(loss, x, y)
    assert measured.shape == (5,) and (measured < 0.05).all()
    assert not any(x.requires_grad for model in trained.models for x in model.values())


@pytest.mark.parametrize("kind", [make, lambda: torch.nn.ParameterDict(make())])
def test_what_the_loss_tells_is_kept(kind):
    def telling(model, x, y):
        error = x @ model["w"] + model["b"] - y
        return error.square().mean(), {"size": error.abs().mean(), "each": error[:2, 0]}

    trained = tasks.train(kind, telling, draw, 20, runs=3, lr=0.02)
    assert trained.seen["size"].shape == (3, 20) and trained.seen["each"].shape == (3, 20, 2)
    assert (trained.seen["size"]**2 <= trained.losses).all()


def test_dropout_differs_from_run_to_run_and_from_step_to_step():
    def dropping(model, x, y):
        kept = functional.dropout(torch.ones(64), 0.5)
        return loss(model, x, y), {"kept": kept}

    kept = tasks.train(make, dropping, draw, 3, runs=3, lr=0.02).seen["kept"]
    assert len({row.tobytes() for row in kept.reshape(9, 64)}) == 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_model_decides_the_dtype(dtype):
    def typed(model, x, y, token):
        assert x.dtype == dtype and token.dtype == torch.int64
        return loss(model, x, y)

    trained = tasks.train(lambda: {name: x.to(dtype) for name, x in make().items()}, typed,
                          lambda rng: (*draw(rng), np.arange(3)), 2, lr=0.02)
    assert trained.models[0]["w"].dtype == dtype


def test_one_thread():
    torch.set_num_threads(2)
    tasks.train(make, loss, draw, 1, lr=0.1)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("change, error, message", [
    (dict(steps=0), ValueError, "steps must be at least 1, got 0"),
    (dict(steps=2.0), TypeError, "steps must be a whole number, got 2.0"),
    (dict(steps=None), TypeError, "steps must be a whole number, got None"),
    (dict(runs=0), ValueError, "runs must be at least 1"),
    (dict(seed=-1), ValueError, "seed must be at least 0"),
    (dict(make=lambda: torch.ones(3)), TypeError, "make must return a torch.nn.Module or a dict"),
    (dict(make=dict), TypeError, "make must return a torch.nn.Module or a dict"),
    (dict(loss=lambda model, x, y: (x @ model["w"] - y)[:, 0]), ValueError,
     r"loss must return one number for its run, a tensor without axes, got shape \(8,\)"),
    (dict(loss=lambda model, x, y: loss(model, x, y) * math.nan), FloatingPointError,
     "the loss of run 0 is nan at step 0: look at what draw returns"),
])
@pytest.mark.parametrize("runs", [1, 3])
def test_bad_input_says_what_is_wrong(change, error, message, runs):
    arguments = dict(make=make, loss=loss, draw=draw, steps=3, runs=runs, lr=0.1) | change
    with pytest.raises(error, match=message):
        tasks.train(**arguments)


def test_a_loss_that_leaves_the_numbers_says_which_and_when():
    count = iter(range(100))

    def leaving(rng):
        x, y = draw(rng)
        return x, y * (math.inf if next(count) == 7 else 1)  # run 1 at step 3

    with pytest.raises(FloatingPointError, match="the loss of run 1 is inf at step 3"):
        tasks.train(make, loss, leaving, 10, runs=2, lr=0.1)
