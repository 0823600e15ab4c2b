from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from lab.config.reader import dump, read_file, read_value, to_plain
from lab.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("OFF", "OFF"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("tRue", "tRue"),
        ("10:30", "10:30"),
        ("1:2:3", "1:2:3"),
        ("2024-01-01", "2024-01-01"),
        ("1e-3", 1e-3),
        ("1e3", 1000.0),
        ("1E+5", 1e5),
        (".5", 0.5),
        ("-1.", -1.0),
        ("1.0.0", "1.0.0"),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("inf", "inf"),
        ("null", None),
        ("~", None),
        ("", None),
        ("none", "none"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("=", "="),
        ("${seed}", "${seed}"),
        ("[1, a, no]", [1, "a", "no"]),
        ("{a: 1e3, b: {c: off}}", {"a": 1000.0, "b": {"c": "off"}}),
    ],
)
def test_scalars_are_read_as_yaml_1_2(text: str, value: object) -> None:
    found = to_plain(read_value(text, "k"))
    assert found == value
    assert type(found) is type(value)


def test_nan() -> None:
    assert math.isnan(to_plain(read_value(".nan", "k")))


def test_keys_stay_text_and_every_node_knows_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("\ufeff# comment\na:\n  no: 1\n  10: x\nitems:\n- p: 1\n  q: [1, 2]\n- p: 2\n", encoding="utf-8")
    root = read_file(path)
    assert to_plain(root) == {"a": {"no": 1, "10": "x"}, "items": [{"p": 1, "q": [1, 2]}, {"p": 2}]}
    assert root.value["a"].origin.line == 2
    assert root.value["a"].value["10"].origin.line == 4
    second = root.value["items"].value[1]
    assert (second.key, second.origin.line) == ("items.1", 8)
    assert second.value["p"].key == "items.1.p"


def test_an_empty_file_is_an_empty_mapping(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("# nothing\n")
    assert read_file(path).value == {}


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a: given twice, first on line 1"),
        ("a:\n  b: 1\n  b: 2\n", 3, "a.b: given twice, first on line 2"),
        ("a:\n\tb: 1\n", 2, "a tab can't indent"),
        ("a: [1, 2\nb: 3\n", 2, "expected"),
        ("a: 'open\n", 2, "end of stream"),
        ("a: 1\n b: 2\n", 2, "mapping values are not allowed"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("- a\n- b\n", 1, "expected keys and values"),
        ("just text\n", 1, "expected keys and values, got 'just text'"),
        ("a: !!python/object:os.system {}\n", 1, "a configuration is data"),
        ("a: 1\nb: !mine 3\n", 2, "tag !mine"),
        ("a: !!str 3\n", 1, "a configuration is data"),
        ("a: &x 1\nb: *x\n", 1, "anchor &x"),
        ("? [1, 2]\n: 3\n", 1, "a key has to be plain text"),
        ("a: x\x00y\n", 1, "unreadable character"),
        ("a: {lr: ${seed}}\n", 1, 'write an interpolation in quotes: "${…}"'),
    ],
)
def test_what_is_refused_says_file_and_line(text: str, line: int, part: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_file(Path("x.yaml"))
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"x.yaml:{line}: ")
    assert part in first


def test_all_that_is_refused_is_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: &x 1\nb: *x\nc: !t 2\na: 4\n")
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert len(caught.value.problems) == 4


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        read_file(tmp_path)
    (tmp_path / "x.yaml").write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_file(tmp_path / "x.yaml")


AWKWARD = {
    "traps": ["yes", "no", "10:30", "1e3", "1e-3", "2024-01-01", "null", "~", "", "true", "010", "0x1F", "1_000"],
    "no": "a: b # c",
    "10": " edges ",
    "lines": "one\ntwo\n",
    "long": "word " * 100,
    "unicode": "Grüße ≥ 5",
    "quote": 'it\'s "quoted"',
    "brace": "{x}",
    "star": "*x",
    "numbers": [1, 1.5, 1e-9, 1e20, -0.0, math.inf],
    "flags": [True, False, None],
    "empty": {"list": [], "mapping": {}},
    "records": [{"a": 1, "b": {"c": [1, 2]}}, {"a": None}],
}


def test_what_is_written_is_read_back_with_its_types(tmp_path: Path) -> None:
    text = dump(AWKWARD)
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert repr(to_plain(read_file(path))) == repr(AWKWARD)
    assert {k: v for k, v in yaml.safe_load(text).items() if k != "traps"}.keys() == AWKWARD.keys() - {"traps"}
    assert yaml.safe_load(text)["traps"] == AWKWARD["traps"]  # a reader of YAML 1.1 sees the same texts


def test_comments_are_behind_every_leaf_and_change_nothing(tmp_path: Path) -> None:
    text = dump(AWKWARD, lambda key: f"from {key}")
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert repr(to_plain(read_file(path))) == repr(AWKWARD)
    assert "  # from records.0.b.c" in text
    assert "  # from empty.mapping" in text
    assert sum("# from" in line for line in text.splitlines()) == 16
