"""`lab data`: list the data sets, get one, verify one."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from lab import env
from lab.data.base import Card
from lab.errors import DataError, UnknownName, UserError

SPLITS = ("train", "val", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("list", "get", "verify"),
        help="list: data sets, their licence and layout, and whether they are here; get: download one, or say how to; "
        "verify: check its layout, decode every image, count and hash",
    )
    parser.add_argument("name", nargs="?", help="data set to get or verify")
    parser.add_argument("options", nargs="*", metavar="key=value", help="for verify: its options, e.g. variant=kmnist")
    parser.add_argument("--root", type=Path, help="folder that holds the data sets; default LAB_DATA, then ./data")
    parser.add_argument("--part", help="for get: only this part, e.g. kmnist of biased_mnist")


def run(args: argparse.Namespace) -> int:
    sets = datasets()
    if args.action == "list":
        return show(sets, args.root)
    if args.name is None:
        raise UserError(f"which data set? lab data {args.action} NAME, with NAME one of: {', '.join(sets)}")
    if args.name not in sets:
        raise UnknownName("data set", args.name, list(sets))
    dataset, config_class = sets[args.name]
    if args.action == "get":
        return get(dataset, build_config(config_class, args.root, []), args)
    return verify(dataset, build_config(config_class, args.root, args.options))


def datasets() -> dict[str, tuple[Any, Any]]:
    """Name -> (data set class, its configuration dataclass), for registered data that have a data set."""
    from lab import registry

    return {
        component.name: (registry.load(component.dataset), component.config_class())
        for component in registry.components("data")
        if component.dataset
    }


def card_of(dataset: Any) -> Card:
    """The card of a data set class: its own, or the CARD of the file that it is written in."""
    return dataset.card if hasattr(dataset, "card") else sys.modules[dataset.__module__].CARD  # type: ignore[no-any-return]


def build_config(config_class: Any, root: Path | None, options: list[str]) -> Any:
    """The configuration of a data set from `key=value` words. Raises UserError for the first that is wrong."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = OmegaConf.structured(config_class)
    for text in options:
        key, equals, _ = text.partition("=")
        if not equals:
            raise UserError(f"'{text}' is not of the form key=value")
        if key not in config:
            raise UnknownName("option", key, [str(name) for name in config])
        try:
            config = OmegaConf.merge(config, OmegaConf.from_dotlist([text]))
        except OmegaConfBaseException as error:
            raise UserError(f"{key}: {str(error).splitlines()[0]}") from error
    built: Any = OmegaConf.to_object(config)
    if root is not None:
        built.root = str(root)
    for key, message in built.check() if hasattr(built, "check") else ():
        raise UserError(f"{key}: {message}")
    return built


def show(sets: dict[str, tuple[Any, Any]], root: Path | None) -> int:
    for name, (dataset, config_class) in sets.items():
        card = card_of(dataset)
        try:
            place = dataset.locate(build_config(config_class, root, []))
            where = "always there" if place == Path() else f"here: {place}"
        except DataError as error:
            where = f"not here: lab data get {name}" if "lab data get" in str(error) else str(error)
        print(f"{name}: {card.title}\n  {where}")
        for label, text in (("licence", card.licence), ("reference", card.reference), ("layout", card.layout)):
            print(f"  {label}: {text}")
        for source in card.sources:
            print(f"  source: {source.url}{f' ({source.note})' if source.note else ''}")
    return 0


def get(dataset: Any, config: Any, args: argparse.Namespace) -> int:
    from lab.data import download
    from lab.data.files import data_root

    card = card_of(dataset)
    if args.part is None and len({source.part for source in card.sources}) == 1:
        try:
            place = dataset.locate(config)
        except DataError:
            pass  # not there: that is what we are here for
        else:
            print(f"{card.name} is here already: {place}; check it with: lab data verify {card.name}")
            return 0
    place = download.get(card, data_root(config), print, args.part)
    print(f"{card.title}: {place}; check it with: lab data verify {card.name}")
    return 0


def verify(dataset: Any, config: Any) -> int:
    cache = env.RUNS.path() / "cache"
    for index in cache.glob("hashes-*.json"):
        index.unlink()  # a verification hashes the files again
    opened = dataset(config, cache)
    card = card_of(dataset)
    place = dataset.locate(config)
    print(f"{card.title}{f' in {place}' if place != Path() else ''}\nlayout: {card.layout}")
    for name in SPLITS:
        rows = opened.split(name)
        classes = Counter(rows.labels.tolist())
        groups = Counter(zip(rows.labels.tolist(), rows.bias.tolist(), strict=True))
        print(f"{name}: {len(rows):,} images of {'x'.join(str(n) for n in rows.images.shape[1:])}")
        for label, count in sorted(classes.items()):
            if label < 0:  # not known
                continue
            of_class = ", ".join(
                f"{opened.bias_names[bias] if bias >= 0 else 'bias unknown'} {groups[label, bias]:,}"
                for bias in sorted(bias for other, bias in groups if other == label)
            )
            print(f"  {opened.class_names[label]}: {count:,}" + (f" ({of_class})" if len(opened.bias_names) else ""))
        known = rows.bias >= 0
        if known.any():
            conflicting = ~opened.aligned[rows.labels[known], rows.bias[known]]
            print(f"  bias-conflicting: {conflicting.sum():,} ({conflicting.mean():.2%})")
    for line in opened.remarks() if hasattr(opened, "remarks") else ():
        print(line)
    print(f"fingerprint: {opened.fingerprint()}")
    return 0
