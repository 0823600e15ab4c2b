from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from scipy import stats

from lab.config.layers import override_layer
from lab.config.reader import to_plain
from lab.errors import ConfigError, UserError
from lab.sweeps import axes
from lab.sweeps.axes import Choices, Range

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1,2", ("1", "2")),
        ("data.rho=0.98, 0.995", ("0.98", "0.995")),
        ("a=only", ("only",)),
        ("a=[1, 2],[3,[4,5]]", ("[1, 2]", "[3,[4,5]]")),
        ("a={x: 1, y: 2},null", ("{x: 1, y: 2}", "null")),
        ("a='x, y',\"u,v\"", ("'x, y'", '"u,v"')),
        ("a='it''s, so',b", ("'it''s, so'", "b")),
        ('a="say \\"a,b\\"",c', ('"say \\"a,b\\""', "c")),
        ("a=it's,that's", ("it's", "that's")),
        ("a=[\"x]\", 'y,'],z", ("[\"x]\", 'y,']", "z")),
        ("a=${data.rho},b=c", ("${data.rho}", "b=c")),
        ("a='1..2',../x,1.5", ("'1..2'", "../x", "1.5")),
        ("a='',null,0,false", ("''", "null", "0", "false")),
        ("profile=smoke,none", ("smoke", "none")),
    ],
)
def test_choices(text, values):
    assert axes.parse([text]) == [Choices(text.partition("=")[0], values)]


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("lr=1e-5..1e-2:log", Range("lr", 1e-5, 1e-2, log=True)),
        ("width=16..128", Range("width", 16, 128, integer=True)),
        ("width=1..128:log", Range("width", 1, 128, log=True, integer=True)),
        ("p=0.1..0.9", Range("p", 0.1, 0.9)),
        ("p=0..0.5", Range("p", 0.0, 0.5)),
        ("p=-2..-.5", Range("p", -2.0, -0.5)),
        ("p=-3..+4", Range("p", -3, 4, integer=True)),
    ],
)
def test_ranges(text, axis):
    assert axes.parse([text]) == [axis]
    assert axes.parse([str(axis)]) == [axis]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a", "expected key=a,b or key=low..high, got 'a'"),
        ("=1", "expected key=a,b"),
        ("a..b=1", "expected key=a,b"),
        ("a =1", "expected key=a,b"),
        ("a=", "a: no value"),
        ("a=1,,2", "a: a value is empty"),
        ("a=1,2,", "a: a value is empty"),
        ("a=1,2,1", "a: '1' is given twice"),
        ("a=1e-3,0.001", "a: '0.001' is the same as '1e-3'"),
        ("a={x: 1, y: 2},{y: 2, x: 1}", "a: '{y: 2, x: 1}' is the same as '{x: 1, y: 2}'"),
        ("a=[1,2", "a: "),
        ("a=2..1", "a: the lower end comes first"),
        ("a=0.5..0.5", "a: the lower end comes first"),
        ("a=0..1:log", "a: a logarithmic range needs a lower end above 0"),
        ("a=1..2:lgo", "a: a range is written low..high or low..high:log, got '1..2:lgo'"),
        ("a=1..x", "a: a range is written"),
        ("a=1..2,5", "a: a range stands alone"),
        ("a=1..1e999", "a: '1..1e999' is larger"),
        ("profile=1..2", "profile: expected names of profiles"),
    ],
)
def test_a_malformed_axis(text, problem):
    with pytest.raises(ConfigError) as caught:
        axes.parse([text])
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"command line: {problem}")


def test_all_problems_come_at_once():
    with pytest.raises(ConfigError) as caught:
        axes.parse(["a=1", "b", "a=2", "c=", "d=3..1", "e=[,x"])
    assert [problem.key for problem in caught.value.problems] == ["", "a", "c", "d", "e"]


def test_values_that_only_yaml_tells_apart_are_different():
    assert len(axes.parse(["a=1,1.0,true,'1','true',null,'null',''"])[0].values) == 8


def test_a_product_has_the_last_axis_fastest():
    settings = axes.product(axes.parse(["b=1,2", "a=x,y,z", "c=0"]))
    assert [tuple(setting.items()) for setting in settings] == [
        (("b", b), ("a", a), ("c", "0")) for b, a in product("12", "xyz")
    ]
    assert axes.product([]) == [{}]


def test_a_product_refuses_a_range():
    with pytest.raises(UserError, match=r"^lr=1e-05\.\.0\.01:log: a range needs --random or --search"):
        axes.product(axes.parse(["a=1,2", "lr=1e-5..1e-2:log"]))


SPACE = ["lr=1e-5..1e-2:log", "p=0.1..0.9", "width=16..128", "act=relu,gelu,silu"]


def test_a_draw_gives_distinct_settings_within_their_axes():
    drawn = axes.draw(axes.parse(SPACE), 200, seed=3)
    assert len({tuple(setting.items()) for setting in drawn}) == 200
    for setting in drawn:
        assert list(setting) == ["lr", "p", "width", "act"]
        assert 1e-5 <= float(setting["lr"]) <= 1e-2
        assert 0.1 <= float(setting["p"]) <= 0.9
        assert 16 <= int(setting["width"]) <= 128
        assert setting["act"] in ("relu", "gelu", "silu")


def test_a_draw_depends_on_seed_and_index_and_key():
    drawn = axes.draw(axes.parse(SPACE), 20, seed=3)
    assert axes.draw(axes.parse(SPACE), 20, seed=3) == drawn
    assert axes.draw(axes.parse(SPACE), 50, seed=3)[:20] == drawn
    assert axes.draw(axes.parse(SPACE), 20, seed=4) != drawn
    fewer = axes.draw(axes.parse(SPACE[2::-2]), 20, seed=3)
    assert fewer == [{"width": setting["width"], "lr": setting["lr"]} for setting in drawn]


def test_a_draw_of_all_there_is():
    choices = axes.parse(["a=1,2,3", "b=x,y"])
    assert axes.draw(choices, 6, seed=0) == axes.draw(choices, 100, seed=0) == axes.product(choices)
    nearly = axes.draw(choices, 5, seed=0)
    assert len({tuple(setting.values()) for setting in nearly}) == 5
    integers = axes.draw(axes.parse(["a=1,2", "n=1..4:log"]), 100, seed=0)
    assert [tuple(setting.values()) for setting in integers] == list(product("12", "1234"))
    assert axes.draw([], 3, seed=0) == [{}]


def test_a_draw_from_less_than_was_asked_for_ends():
    tiny = [Range("x", 1.0, math.nextafter(1.0, 2.0))]
    assert {setting["x"] for setting in axes.draw(tiny, 3, seed=0)} == {"1.0", "1.0000000000000002"}


def test_ranges_are_drawn_evenly():
    drawn = axes.draw(axes.parse(SPACE), 2000, seed=0)
    p = [float(setting["p"]) for setting in drawn]
    assert stats.kstest(p, stats.uniform(0.1, 0.8).cdf).pvalue > 0.01
    lr = [float(setting["lr"]) for setting in drawn]
    assert stats.kstest(lr, stats.loguniform(1e-5, 1e-2).cdf).pvalue > 0.01
    widths = Counter(int(setting["width"]) for setting in drawn)
    assert stats.chisquare([widths[width] for width in range(16, 129)]).pvalue > 0.01
    assert stats.chisquare(list(Counter(setting["act"] for setting in drawn).values())).pvalue > 0.01
    # The axes are independent of each other.
    assert abs(stats.spearmanr(p, lr).statistic) < 3 / math.sqrt(2000)


def test_a_logarithmic_integer_stands_for_all_that_rounds_to_it():
    counts = Counter(axes.Range("n", 1, 5, log=True, integer=True).at((i + 0.5) / 10000) for i in range(10000))
    for n in range(1, 6):
        expected = math.log((n + 0.5) / (n - 0.5)) / math.log(5.5 / 0.5)
        assert counts[str(n)] / 10000 == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    "value", [0.1, 1 / 3, 1e-5, 1e16, 123456789.123456789, 5e-324, 1.7976931348623157e308, -0.0025, 3, -7, 10**20]
)
def test_a_number_reads_back_exactly(value):
    node = override_layer([f"a.b={axes.number(value)}"])
    read = to_plain(node)["a"]["b"]
    assert read == value
    assert type(read) is type(value)


def test_labels():
    settings = [
        {"data.rho": "0.98", "stages.erm.module.lr": "1e-3", "stages.ddb.module.lr": "1e-4", "seed": "1"},
        {"data.rho": "0.995", "data.seed": "3", "profile": "none"},
    ]
    assert axes.label(settings[1]) == "data.rho=0.995 data.seed=3 profile=none"
    assert axes.labels(settings) == [
        "rho=0.98 erm.module.lr=1e-3 ddb.module.lr=1e-4 seed=1",
        "rho=0.995 data.seed=3 profile=none",
    ]
    assert axes.labels([{}, {"lr": "1"}]) == ["", "lr=1"]


def test_axes_load_nothing_heavy():
    code = (
        "import sys; from lab.sweeps import axes; axes.parse(['a=1,2', 'b=1..2']); "
        "print({'torch', 'optuna', 'omegaconf', 'scipy', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n"
