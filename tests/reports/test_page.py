from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from lab.reports.page import write_report


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

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def written(make_run):
    run = make_run()
    assert write_report(run) == run / "report.html"
    return run


def test_the_page_stands_alone(written):
    text = (written / "report.html").read_text()
    page = Page(text)
    assert not page.all("script")
    links = [value for _, a in page.elements for name, value in a.items() if name in ("src", "srcset", "href")]
    assert links
    assert all(value.startswith("data:") for value in links)
    assert "@import" not in text
    assert not re.search(r"url\(", text)


def test_every_picture_says_what_it_shows(written):
    images = Page((written / "report.html").read_text()).all("img")
    assert len(images) == 1 + 3  # samples; loss; loss and accuracy
    assert all(image["alt"] and image["width"] and image["height"] for image in images)
    assert images[0]["alt"] == "Synthetic images: samples"
    assert "train/loss ends at 0.005236" in images[1]["alt"]


def test_text_from_the_experiment_is_escaped(written):
    text = (written / "report.html").read_text()
    assert "Debiasing &lt;b&gt;tiny&lt;/b&gt; shapes &amp; colours." in text


def test_headings_do_not_skip_a_level(written):
    levels = [int(t[1]) for t, _ in Page((written / "report.html").read_text()).elements if re.fullmatch(r"h\d", t)]
    assert levels[0] == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_settings_carry_their_origin(written):
    text = (written / "report.html").read_text()
    assert "<code>seed</code></th><td><code>0</code></td><td>command line</td>" in text
    assert "<code>trainer.batch_size</code></th><td><code>64</code></td><td>experiments/bases/small.yaml:3</td>" in text


def test_markdown_has_results_claims_and_pictures(written):
    text = (written / "report.md").read_text()
    assert "**Synthetic data.**" in text
    assert "| DDB, recipe II | 78.0 % | 64.0 % | 0.61 |" in text
    assert "- **holds**: DDB beats ERM by 10 points: 64.0 %, needs ≥ 41.0 % (ours)" in text
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
