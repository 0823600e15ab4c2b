from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.stages.toy import installed


@pytest.fixture(scope="module", autouse=True)
def toy() -> Iterator[None]:
    """The toy plugin is installed for the tests of this folder, which do without reports and a safe disk, for speed."""
    with installed(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.reports.write_report", lambda run: run / "report.html")
        patch.setattr("os.fsync", lambda handle: None)
        yield


@pytest.fixture
def file_size_limit() -> Callable[[int], AbstractContextManager[None]]:
    """A full disk: inside `with file_size_limit(n):` no file can grow beyond n bytes."""

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    return limit
