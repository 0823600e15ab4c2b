from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from lab.reports.drawing import WIDTH, numbered
from lab.reports.figures import MOST_POINTS, along, curves, intervals, mean_curve, read_curves
from lab.reports.statistics import Estimate
from lab.stages.artefact import Artefact

SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawing):
    """The SVG as an element; an error where it is not well-formed."""
    return ElementTree.fromstring(
        str(drawing.svg).replace(
            "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ', 1
        )
    )


def words(drawing):
    return ["".join(text.itertext()).strip() for text in parsed(drawing).iter(f"{SVG}text")]


@pytest.fixture
def rows():
    return [("ERM <b>", Estimate((0.2, 0.3, 0.4))), ("DDB", Estimate((0.9,)))]


def test_a_plot_is_an_element_of_the_page(rows):
    drawing = intervals("accuracy", rows, what="accuracy")
    element = parsed(drawing)
    assert element.get("role") == "img"
    assert element.get("width") == str(WIDTH)
    assert {"ERM <b>", "DDB"} <= set(words(drawing))
    assert any(word.endswith(" %") for word in words(drawing))
    assert not re.search(r"#0[0-9a-f]{5}\b", drawing.svg), "a colour that the page can't change with its theme"
    assert "var(--c1)" in drawing.svg


def test_the_words_say_the_numbers(rows):
    drawing = intervals("accuracy", rows, what="accuracy")
    assert drawing.alt == "accuracy: ERM <b> 30.0 % (5.2 % to 54.8 %); DDB 90.0 %"
    assert parsed(drawing).get("aria-label") == drawing.alt


def test_ids_of_a_plot_are_its_own_wherever_it_stands(rows):
    plot = intervals("accuracy", rows, what="accuracy").svg
    page = numbered(f"<p>{plot}</p><p>{plot}</p>")
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert ids
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', page)) == set(ids)


def test_differences_of_shares_are_in_points_around_zero():
    drawing = intervals("accuracy", [("DDB", Estimate((0.1, 0.2)))], what="accuracy minus ERM", zero=True)
    ticks = [word for word in words(drawing) if re.fullmatch(r"[+-]?[\d.]+", word)]
    assert "0" in ticks
    assert any(tick.startswith("+") for tick in ticks)
    assert not any("%" in word for word in words(drawing))


def test_a_metric_along_a_setting_names_lines_and_axis():
    lines = [(name, [(x, Estimate((x / 2, x / 3))) for x in (0.1, 0.5, 0.9)]) for name in ("ERM", "DDB")]
    drawing = along("data.rho", "accuracy", lines, held="lr=0.1")
    assert {"ERM", "DDB", "data.rho", "0.1", "0.5", "0.9"} <= set(words(drawing))
    assert drawing.caption == "accuracy over data.rho, lr=0.1"
    assert "ERM from 4.2 % to 37.5 %" in drawing.alt


def test_a_mean_curve_is_of_the_steps_that_all_have():
    assert mean_curve([([0, 1, 2], [1.0, 2.0, 3.0]), ([0, 2, 3], [3.0, 5.0, 9.0])]) == ([0, 2], [2.0, 4.0])


def test_curves_leave_out_what_is_not_finite(tmp_path):
    path = tmp_path / "curves.csv"
    path.write_text("step,name,value\n1,train/loss,0.5\n2,train/loss,nan\n3,train/loss,inf\n4,train/loss,0.25\n")
    assert read_curves(path) == {"train/loss": ([1.0, 4.0], [0.5, 0.25])}


def test_curves_of_several_runs_and_metrics(tmp_path):
    made = []
    for seed in range(2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        names = ("train/loss", "val/loss", "val/accuracy", "val/aligned_accuracy", "train/weight")
        lines = [f"{step},{name},{0.1 * (seed + 1)}" for step in range(3 * MOST_POINTS) for name in names]
        (folder / "curves.csv").write_text("step,name,value\n" + "\n".join(lines))
        made.append(Artefact(folder))
    drawn = list(curves("ERM", made))
    assert [drawing.caption for drawing in drawn] == ["ERM: loss", "ERM: accuracy", "ERM: weight"]
    assert "mean of 2 seeds: train/loss ends at 0.15, val/loss ends at 0.15" in drawn[0].alt
    longest = max(path.get("d", "").count("L") for path in parsed(drawn[0]).iter(f"{SVG}path"))
    assert 0 < longest <= MOST_POINTS


def test_a_stage_that_logged_nothing_has_no_plot(tmp_path):
    assert list(curves("ERM", [Artefact(tmp_path)])) == []
    (tmp_path / "curves.csv").write_text("step,name,value\n1,train/loss,nan\n")
    assert list(curves("ERM", [Artefact(tmp_path)])) == []
