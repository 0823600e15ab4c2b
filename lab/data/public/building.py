"""Short forms for the records of sets of image files."""

from __future__ import annotations

from collections.abc import Mapping

from lab.data.base import Card, Source, Split
from lab.data.class_images import ClassConfig
from lab.data.public.layouts import Layout
from lab.data.public.sets import Record

RESEARCH = "images of several owners; for research, not to be passed on"


def record(
    name: str,
    title: str,
    licence: str,
    reference: str,
    summary: str,
    files: str,
    sources: tuple[Source, ...],
    layout: Layout,
    classes: int,
    images: Mapping[Split | None, int],
    sample: tuple[str, ...],
    *folders: str,
    hashes: Mapping[str, str] | None = None,
    options: type[ClassConfig] | None = None,
) -> Record:
    """A record; `folders` are tried after the set's own."""
    places = (name, *folders, "")
    where = f"{files}; in {', '.join(f'{place}/' for place in places[:-1])} or the root"
    card = Card(name, title, licence, reference, where, sources, name)
    return Record(card, summary, layout, places, classes, images, sample, hashes or {}, options)


def archive(url: str, file: str, hash: str | None = None, part: str = "", note: str = "") -> Source:
    return Source(url, {file: hash}, part=part, unpack=True, note=note)


def by_hand(url: str, note: str) -> Source:
    return Source(url, {}, manual=True, note=note)
