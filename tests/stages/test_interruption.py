from __future__ import annotations

import os
import signal

import pytest

from lab.errors import Interrupted
from lab.stages import interruption
from lab.stages.interruption import STOP


def test_a_signal_is_remembered_until_it_is_obeyed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught, STOP:
        STOP.obey("nowhere")
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert STOP.signum == signal.SIGTERM
        STOP.obey("here")
    assert str(caught.value) == "stopped here; the same command goes on from there"
    assert caught.value.exit_status == 143
    assert STOP.signum == 0  # the next run of this process is not stopped
    assert signal.getsignal(signal.SIGTERM) is before


def test_inside_another_a_signal_is_the_outer_one_s_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with STOP:
        with STOP:
            os.kill(os.getpid(), signal.SIGTERM)
        assert STOP.signum == signal.SIGTERM
        with pytest.raises(Interrupted), STOP:
            STOP.obey("in the second")
        assert signal.getsignal(signal.SIGTERM) is not before
    assert STOP.signum == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_ctrl_c_ends_at_once(monkeypatch) -> None:
    clock = [10.0]
    monkeypatch.setattr(interruption.time, "monotonic", lambda: clock[0])
    with STOP:
        os.kill(os.getpid(), signal.SIGINT)
        clock[0] += 0.5
        os.kill(os.getpid(), signal.SIGINT)  # the same one, handed on by a launcher
        clock[0] += 5
        with pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), signal.SIGINT)
    assert caught.value.exit_status == 130
