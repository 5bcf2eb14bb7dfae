"""What every test file shares: hypothesis' settings, the two kinds of array, exact messages."""

from contextlib import contextmanager

import hypothesis
import numpy as np
import pytest
from browsing import Visits, browser_path, built, served

hypothesis.settings.register_profile("tests", max_examples=40, deadline=None, derandomize=True)
hypothesis.settings.register_profile("mutants", max_examples=20, deadline=None, derandomize=True,
                                     phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
hypothesis.settings.register_profile("thorough", max_examples=400, deadline=None)
hypothesis.settings.load_profile("tests")


class Numpy:
    """Make and read numpy arrays."""

    name = "numpy"

    def array(self, x):
        return np.asarray(x)

    def cast(self, x, dtype):
        return x.astype(dtype)

    def read(self, x):
        """Whatever it is, as numpy; raises where it is not of this kind."""
        assert isinstance(x, (np.ndarray, np.generic)), type(x)
        return np.asarray(x)


class Torch:
    """Make and read torch tensors."""

    name = "torch"

    def array(self, x):
        import torch

        return torch.from_numpy(np.array(x))

    def cast(self, x, dtype):
        import torch

        return x.to(getattr(torch, dtype))

    def read(self, x):
        import torch

        assert isinstance(x, torch.Tensor), type(x)
        x = x.detach()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()


@pytest.fixture(scope="session", params=[Numpy(), Torch()], ids=lambda kind: kind.name)
def kind(request):
    return request.param


@pytest.fixture(scope="session", params=[
    (kind, dtype) for kind in (Numpy(), Torch())
    for dtype in ("float16", "bfloat16", "float32", "float64")
    if (kind.name, dtype) != ("numpy", "bfloat16")  # numpy has none
], ids=lambda pair: f"{pair[0].name}-{pair[1]}")
def kind_and_dtype(request):
    return request.param


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small products are faster, and repeat, on one thread."""
    try:
        import torch
    except ModuleNotFoundError:
        return
    torch.set_num_threads(1)


@contextmanager
def _raises(error, message):
    with pytest.raises(error) as caught:
        yield
    assert str(caught.value) == message


@pytest.fixture(scope="session")
def raises():
    """``with raises(error, message)``: of exactly this type, saying exactly this."""
    return _raises


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, with every host but this machine unreachable."""
    path = browser_path()
    if path is None:
        pytest.skip("page tests need chromium: on Debian or Ubuntu, sudo apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[
            "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site."""
    return built(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def address(site):
    """Where the built site is served."""
    with served(site) as address:
        yield address


@pytest.fixture
def visit(chromium, address):
    """visit(name, width, scheme) -> a page of the site, and what the browser complains of."""
    visits = Visits(chromium, address)
    yield visits
    visits.close()


@pytest.fixture
def look(chromium):
    """look(path, width, scheme) -> the page; whatever it complains of fails the test."""
    contexts, complaints = [], []

    def look_(path, width=1400, scheme="light"):
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900},
                                             color_scheme=scheme, offline=True))
        page = contexts[-1].new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append("a dialog"))
        page.on("request", lambda r: complaints.append(r.url)
                if not r.url.startswith(("file:", "data:")) else None)
        page.goto(path.as_uri(), wait_until="load")
        return page

    yield look_
    for context in contexts:
        context.close()
    assert not complaints
