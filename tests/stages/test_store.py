from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

from lab.stages.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def draft(store: Store, key: str, text: str = "1") -> object:
    folder = store.work(key) / "output"
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "a.png").write_text("a")
    (folder / "metrics.json").write_text(text)
    return folder


def test_publish(store) -> None:
    assert store.get("k") is None
    (store.work("k") / "recovery.ckpt").write_text("x")
    made = store.publish("k", draft(store, "k", '{"a": 2, "b": null}'), {"stage": {}})
    assert made.key == store.get("k").key == "k"
    assert made.metrics["a"] == 2
    assert made.metrics["b"] != made.metrics["b"]  # NaN
    files = json.loads((made.path / "artefact.json").read_text())["files"]
    assert set(files) == {"metrics.json", "pictures/a.png"}
    assert files["pictures/a.png"] == {"size": 1, "sha256": hashlib.sha256(b"a").hexdigest()}
    assert not (store.root / "work" / "k").exists()
    assert [path.name for path in made.pictures()] == ["a.png"]


def test_a_folder_without_manifest_is_no_artefact(store) -> None:
    store.path("k").mkdir(parents=True)
    (store.path("k") / "metrics.json").write_text("3")
    assert store.get("k") is None
    assert store.publish("k", draft(store, "k", '{"a": 2}'), {}).metrics == {"a": 2}
    assert {path.name for path in store.path("k").iterdir()} == {"metrics.json", "pictures", "artefact.json"}


def test_a_failed_publish_leaves_no_artefact(store, file_size_limit) -> None:
    folder = draft(store, "k")
    with pytest.raises(OSError), file_size_limit(50):
        store.publish("k", folder, {"long": "x" * 100})
    assert store.get("k") is None
    assert not store.path("k").exists()
    assert store.publish("k", folder, {}).key == "k"


def test_a_lock_is_waited_for_and_freed_with_its_process(store) -> None:
    code = (
        "import sys, time; from pathlib import Path; from lab.stages.store import Store\n"
        f"with Store(Path({str(store.root)!r})).lock('k'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with store.lock("another"):
            pass

        def give_up() -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError), store.lock("k", give_up):
            pytest.fail("two holders")
        waits = []

        def waiting() -> None:
            waits.append(1)
            holder.kill()

        with store.lock("k", waiting):
            assert waits == [1]
    finally:
        holder.kill()
        holder.wait(10)
