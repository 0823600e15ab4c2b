from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.errors import UserError
from lab.reports import study
from lab.reports.page import write_full_report, write_report, write_sweep_report
from lab.reports.statistics import Estimate
from tests.reports.many import accuracy, many


class Page(HTMLParser):
    """Elements and text of a page; fails on tags that don't match."""

    VOID = frozenset({"meta", "link", "img", "source", "br"})

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):  # within SVG
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def written(make_run):
    run = make_run()
    assert write_report(run) == run / "report.html"
    return run


@pytest.fixture
def two_settings(make_run):
    """Two settings, three seeds of one and two of the other."""
    runs = many(make_run(), {0.5: (0, 1, 2), 0.9: (0, 1)})
    assert write_full_report(runs) == runs / "report.html"
    return runs


@pytest.fixture(params=["run", "runs"])
def any_page(request, make_run):
    """A page of one run, and one of many."""
    run = make_run()
    return (
        write_report(run) if request.param == "run" else write_full_report(many(run, {0.5: (0, 1), 0.9: (0, 1)}))
    ).read_text()


def test_the_page_stands_alone(any_page):
    page = Page(any_page)
    assert not page.all("script")
    links = [v for _, a in page.elements for name, v in a.items() if name in ("src", "srcset", "href", "xlink:href")]
    assert links
    assert all(value.startswith(("data:", "#")) for value in links)
    assert "@import" not in any_page
    assert not re.search(r"url\((?!#)", any_page)
    assert "http" not in any_page


def test_ids_are_unique_and_links_lead_somewhere(any_page):
    page = Page(any_page)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    to = {v[1:] for _, a in page.elements for k, v in a.items() if k in ("href", "xlink:href") and v.startswith("#")}
    labels = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
    assert to | labels <= set(ids)


def test_headings_do_not_skip_a_level(any_page):
    levels = [int(tag[1]) for tag, _ in Page(any_page).elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_every_picture_says_what_it_shows(written):
    page = Page((written / "report.html").read_text())
    (image,) = page.all("img")
    assert image["alt"] == "Synthetic images: samples"
    assert image["width"] and image["height"]
    plots = [a["aria-label"] for a in page.all("svg")]
    assert len(plots) == 3  # loss; loss and accuracy
    assert "train/loss ends at 0.005236" in plots[0]


def test_text_from_the_experiment_is_escaped(written):
    text = (written / "report.html").read_text()
    assert "Debiasing &lt;b&gt;tiny&lt;/b&gt; shapes &amp; colours." in text


def test_settings_carry_their_origin(written):
    text = (written / "report.html").read_text()
    assert '<th scope="row">seed</th><td>0</td><td>command line</td>' in text
    assert "trainer.batch_size</th><td>64</td><td>experiments/bases/small.yaml:3</td>" in text


def test_markdown_has_results_claims_and_pictures(written):
    text = (written / "report.md").read_text()
    assert "**Synthetic data.**" in text
    assert "| DDB, recipe II | 78.0 % | 64.0 % | - | 0.61 |" in text
    assert "- **holds**: DDB beats ERM by 10 points: 64.0 %" in text
    assert "![Synthetic images: samples](artefacts/sampling/pictures/samples.png)" in text


def test_a_run_that_was_stopped_at_once_still_has_a_report(make_run):
    run = make_run()
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "interrupted", "stages": {}, "seconds": None}))
    (run / "environment.json").unlink()
    text = write_report(run).read_text()
    assert "interrupted" in text
    assert "not run" in text


@pytest.mark.parametrize("kind", ["embedded", "real", "paper-scale"])
def test_the_kind_is_shown(make_run, kind):
    assert f'class="badge {kind}"' in write_report(make_run(kind=kind)).read_text()


def test_a_stand_in_is_told_apart_whatever_the_kind(make_run):
    text = write_report(make_run(kind="real", data={"name": "waterbirds", "stand_in": True})).read_text()
    assert 'class="badge stand-in"' in text


def test_means_and_differences_are_those_of_the_runs(two_settings):
    text = (two_settings / "report.md").read_text()
    erm, ddb = ([accuracy(stage, 0.5, seed) for seed in (0, 1, 2)] for stage in ("erm_test", "ddb_test"))
    row = next(line for line in text.splitlines() if line.startswith("| DDB, recipe II |"))
    assert f"{100 * Estimate(tuple(ddb)).mean:.1f} ± {100 * Estimate(tuple(ddb)).std:.1f} %" in row
    apart = Estimate(tuple(a - b for a, b in zip(ddb, erm, strict=True)))
    against = text[text.index("Compared with ERM, seed by seed") :]
    assert f"+{100 * apart.mean:.1f} points [+{100 * apart.low:.1f}, +{100 * apart.high:.1f}]" in against


def test_settings_have_a_part_each_and_a_row_each(two_settings):
    text = (two_settings / "report.html").read_text()
    titles = re.findall(r'<h3 id="[^"]*setting">([^<]*)</h3>', text)
    assert titles == ["data.rho=0.5", "data.rho=0.9"]
    overview = text[text.index("Over all settings") : text.index(titles[0] + "</h3>")]
    assert '<th scope="row">data.rho=0.5</th><td>3</td>' in overview
    assert '<th scope="row">data.rho=0.9</th><td>2</td>' in overview


def test_what_settings_share_is_shown_once(make_run):
    text = write_full_report(many(make_run(), {0.5: (0, 1), 0.9: (0, 1)})).read_text()
    page = Page(text)
    assert len(page.all("img")) == 1
    assert sum("Diffusion model" in a["aria-label"] for a in page.all("svg")) == 1
    assert "The same artefacts as in data.rho=0.5, shown there: Diffusion model." in text


def test_time_of_shared_artefacts_is_counted_once(make_run):
    runs = many(make_run(), {0.5: (0,), 0.9: (0,)})
    record = json.loads((runs / "ddb_tiny-rho0.5-seed0" / "run.json").read_text())
    seconds = {name: entry["seconds"] for name, entry in record["stages"].items()}
    total, shared = sum(seconds.values()), seconds["diffusion"] + seconds["sampling"]
    text = write_full_report(runs).read_text()
    expected = study.duration(2 * total), study.duration(2 * total - shared)
    assert f"Sum over all runs: {expected[0]}." in text
    assert f"however many runs share it: {expected[1]} (" in text


def test_differing_configuration_is_marked(two_settings):
    text = (two_settings / "report.html").read_text()
    made = text[text.index("What differs between the runs") :]
    assert re.search(
        r'<th scope="row">data.rho \(and \d+ keys with it\)</th><td>settings</td><td>0.5 \| 0.9</td>', made
    )
    assert '<th scope="row">seed</th><td>seeds</td><td>0 | 1 | 2</td>' in made
    assert '<th scope="row">seed</th><td>0 | 1 | 2</td><td>seeds</td><td>command line</td>' in made


def test_a_numeric_setting_with_three_values_is_an_axis(make_run):
    text = write_full_report(many(make_run(), {rho: (0, 1) for rho in (0.5, 0.7, 0.9)})).read_text()
    labels = [a["aria-label"] for a in Page(text).all("svg")]
    (plot,) = (label for label in labels if label.startswith("accuracy over data.rho"))
    first, last = (100 * (accuracy("erm_test", rho, 0) + 0.005) for rho in (0.5, 0.9))
    assert f"ERM from {first:.1f} % to {last:.1f} %" in plot


def test_two_values_are_no_axis(two_settings):
    assert "over data.rho" not in (two_settings / "report.html").read_text()


def test_a_page_with_many_settings_says_what_it_leaves_out(make_run, monkeypatch):
    monkeypatch.setattr(study, "MOST_PARTS", 2)
    monkeypatch.setattr(study, "MOST_DRAWN", 1)
    text = write_full_report(many(make_run(), {rho: (0,) for rho in (0.5, 0.7, 0.9)})).read_text()
    assert len(re.findall(r'<h3 id="[^"]*setting">', text)) == 2
    assert "The first 2 of 3 settings are shown in full" in text
    assert text.count("Training curves") == 1
    assert '<th scope="row">data.rho=0.9</th>' in text


def test_kinds_of_data_are_sections_of_their_own(make_run):
    runs = many(make_run(kind="real"), {0.5: (0, 1)})
    config = json.loads((runs / "ddb_tiny-rho0.5-seed1" / "config.yaml").read_text())
    for stage in config["stages"].values():
        stage["data"]["stand_in"] = True
    (runs / "ddb_tiny-rho0.5-seed1" / "config.yaml").write_text(json.dumps(config))
    text = write_full_report(runs).read_text()
    badges = re.findall(r'<h2 id="e\d">ddb_tiny <span class="badge ([\w-]+)"', text)
    assert badges == ["real", "stand-in"]


def test_a_run_that_cannot_be_read_is_listed_and_the_others_reported(two_settings):
    path = two_settings / "ddb_tiny-rho0.5-seed0"
    config = json.loads((path / "config.yaml").read_text())
    config["claims"] = [{"text": "old", "left": "erm_test/accuracy", "value": 1, "colour": "red"}]
    (path / "config.yaml").write_text(json.dumps(config))
    text = write_full_report(two_settings).read_text()
    assert f"<code>{path.name}</code>: ddb_tiny: its claims were written by another version of lab" in text
    assert '<th scope="row">data.rho=0.5</th><td>2</td>' in text


def test_an_empty_folder_of_runs_is_one_clear_error(tmp_path):
    with pytest.raises(UserError, match="no run under"):
        write_full_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_sweep_says_its_jobs_and_what_failed(make_run, tmp_path):
    runs = many(make_run(), {0.5: (0, 1)})
    job = SimpleNamespace(label="ddb_tiny data.rho=0.9 seed=0", id="later")
    sweep = SimpleNamespace(
        id="ddb_tiny-abc",
        path=runs / "sweeps" / "ddb_tiny-abc",
        started="2026-01-01T12:00:00Z",
        run_paths=lambda: [*sorted(runs.glob("ddb_tiny-rho*")), runs / "later"],
        counts=lambda: {"done": 2, "failed": 1},
        problems=lambda: [SimpleNamespace(job=job, stage="erm", error="loss is <nan>", log=Path("logs/erm-0.log"))],
    )
    sweep.path.mkdir(parents=True)
    assert write_sweep_report(sweep) == sweep.path / "report.html"
    text = (sweep.path / "report.html").read_text()
    assert "<h1>Sweep ddb_tiny-abc</h1>" in text
    assert "Jobs: 2 done, 1 failed." in text
    assert "<code>ddb_tiny data.rho=0.9 seed=0</code>: erm: loss is &lt;nan&gt;" in text
    assert "logs/erm-0.log" in text
    markdown = (sweep.path / "report.md").read_text()
    assert "2 done, 1 failed" in markdown
    (picture,) = re.findall(r"!\[.*\]\((.*)\)", markdown)
    assert (sweep.path / picture).resolve().is_file()


def test_a_sweep_of_which_nothing_has_begun_has_a_page(tmp_path):
    sweep = SimpleNamespace(
        id="s", path=tmp_path, started="-", run_paths=lambda: [], counts=lambda: {"waiting": 3}, problems=lambda: []
    )
    assert "3 waiting" in write_sweep_report(sweep).read_text()


def style():
    """CSS variables of the light and of the dark theme."""
    text = (Path(study.__file__).parent / "templates" / "style.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    found = dict(re.findall(r"(--[\w-]+): (#\w+)", light))
    return found, found | dict(re.findall(r"(--[\w-]+): (#\w+)", dark))


def luminance(colour):
    """Relative luminance as WCAG 2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_have_enough_contrast(theme):
    colours = style()[theme]
    text = [name for name in colours if name not in ("--back", "--band", "--line")]
    assert len(text) >= 12
    for ground in ("--back", "--band"):
        for name in text:
            least = 3 if name.startswith("--c") else 4.5  # --c1 and so on are lines
            assert contrast(colours[name], colours[ground]) >= least, f"{name} on {ground}"
