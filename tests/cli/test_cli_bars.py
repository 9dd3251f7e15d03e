"""Progress bars: phase, done of total, rate; and silence where they are not wanted."""

from __future__ import annotations

import re
import time
from io import StringIO

import pytest

from cli import console
from cli.console import Talk, bars
from kinfold.progress import Progress, silent


@pytest.fixture
def screen(monkeypatch):
    """A terminal of 100 columns that can be read back."""
    terminal = Talk(file=StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(console, "err", terminal)
    return terminal.file


def last_lines(screen, count):
    """What stands on the terminal at the end, without the codes that move the cursor."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    return [line.strip() for line in plain.replace("\r", "\n").split("\n") if line.strip()][-count:]


def test_a_bar_a_phase(screen):
    with bars(enabled=True) as progress:
        for done in (10, 25, 50):
            progress(Progress("vectors", done, 50))
            time.sleep(0.02)
        progress(Progress("verify", 300, 1000, "bytes"))
    first, second = last_lines(screen, 2)
    assert re.fullmatch(r"✓ vectors +━+ 50/50 +[\d.]+k? rows/s +· 0:00:00 ETA 0:00:00", first)
    assert re.search(r"verify +━+[╸╺━ ]* 300/1000", second)
    assert "✓" not in second


def test_bars_move_while_the_work_is_done(screen):
    with bars(enabled=True) as progress:
        for done in range(1, 6):
            progress(Progress("diffusion", done, 5))
            time.sleep(0.15)
    shown = screen.getvalue()
    assert [count for count in range(1, 6) if f"{count}/5" in shown] != [5]


def test_a_phase_begins_where_the_one_before_it_ended(screen):
    """Blocks may be long: the first event of a phase, after 0.4 s, may be its only one."""
    with bars(enabled=True) as progress:
        progress(Progress("neighbors", 100, 100))
        time.sleep(0.4)
        progress(Progress("diffusion", 1000, 1000))
    rate = re.search(r"diffusion.* 1000/1000 (\S+) rows/s", last_lines(screen, 1)[0])[1]
    speed = float(rate.removesuffix("k")) * (1000 if rate.endswith("k") else 1)
    assert 500 < speed <= 2500


@pytest.mark.parametrize(
    ("done", "shown"),
    [(50, r"\d+ bytes/s"), (5e4, r"[\d.]+k bytes/s"), (5e8, r"[\d.]+[MG] bytes/s")],
)
def test_rates_are_readable(screen, done, shown):
    with bars(enabled=True) as progress:
        time.sleep(0.2)
        progress(Progress("verify", int(done), int(done), "bytes"))
    assert re.search(f" {shown} ", last_lines(screen, 1)[0])


def test_nothing_is_drawn_where_it_is_not_wanted(screen, capsys):
    with bars(enabled=False) as progress:
        assert progress is silent
        progress(Progress("vectors", 1, 2))
    assert screen.getvalue() == ""
    assert capsys.readouterr() == ("", "")


def test_bars_are_drawn_on_standard_error(capsys):
    with bars(enabled=True) as progress:
        progress(Progress("vectors", 2, 2))
    out, err = capsys.readouterr()
    assert out == ""
    assert "✓ vectors" in err


def test_an_error_inside_leaves_the_terminal_in_order(screen):
    with pytest.raises(ValueError, match="inside"), bars(enabled=True) as progress:
        progress(Progress("vectors", 1, 2))
        raise ValueError("inside")
    shown = screen.getvalue()
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l") >= 0  # the cursor is back
