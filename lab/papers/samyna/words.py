"""Words: how captions are cut into them, those that say nothing, and the lists that captions are drawn from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_STOP = """
    a about above after again all also am an and any are as at back be because been before being below between both
    but by can did do does doing down during each either else few for from further get gets getting had has have
    having he her here hers herself him himself his how i if in into is it its itself just let like made make makes
    many may me might more most much must my no nor not now of off on once ones only onto or other our out over own
    per same she should so some such than that the their them then there these they this those through to too under
    until up upon us use used using very was we were what when where which while who whom why will with within
    without would yet you your appears background behind close contains depicted depicting depicts describe
    described drawing featuring features frame front image images include includes including left look looking looks
    middle photo photograph photos picture pictures right scene seen seems several showing shown shows side
    something taken things top view visible
"""
STOP_WORDS = frozenset(_STOP.split())
"""Words that captions are made of whatever they show."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

DISTRACTORS = (
    "bright", "dark", "small", "large", "blurry", "sharp", "tilted", "upright", "centred", "noisy", "smooth", "grainy",
    "thin", "thick", "plain", "rough", "faded", "glossy", "narrow", "wide",
)  # fmt: skip
"""What drawn captions say besides class and bias; taken at random."""

DRAWN = (
    "a {label} on a {bias} background",
    "{label} in front of {bias}",
    "a picture of a {label} with {bias} behind it",
    "{bias} background with a {label}",
)
"""Sentences of drawn captions, of the true factors; distractors follow."""

PHOTO_TEMPLATES = (
    "a photo of {}", "a bad photo of {}", "a good photo of {}", "a close-up photo of {}", "a blurry photo of {}",
    "a bright photo of {}", "a dark photo of {}", "a cropped photo of {}", "a black and white photo of {}",
    "a low resolution photo of {}", "a drawing of {}", "a rendering of {}", "an image of {}", "a picture of {}",
)  # fmt: skip
"""A cut of the templates that come with CLIP; B2T's recipe uses about 80 of them (samyna.md 3.3)."""

CLASS_TEMPLATES = ("{label} and {word}", "{label} with {word}", "{label} on {word}")

_ATTRIBUTES = """
    red green blue yellow orange purple pink brown black white grey colourful dark bright man woman boy girl child
    people person crowd face hair glasses hat beard smile clothes uniform helmet dress suit dog cat bird horse cow
    sheep fish insect animal tree forest bush grass flower leaf branch bamboo field farm garden park mountain hill
    cliff rock stone cave desert sand snow ice river lake ocean sea beach wave water waterfall pool boat dock bridge
    sky cloud sun sunset night fog rain street road path rail track city building house wall window door fence roof
    tower stadium arena court stage room kitchen bedroom office shop indoor outdoor floor table chair bed sofa shelf
    lamp screen book paper cup bottle plate food fruit car truck bus train bicycle motorcycle aeroplane ship rope
    net ball pole ladder tool machine metal wood glass brick plastic fabric pattern stripe text sign logo frame
    shadow reflection
"""
ATTRIBUTES = tuple(_ATTRIBUTES.split())
"""What the zero-shot captioner looks for, unless it is given a list of its own."""


def word_of(name: str) -> str:
    """A class or bias name as it is said: digits by their word, separators as spaces."""
    if name.isdigit() and int(name) < 10:
        return DIGITS[int(name)]
    return re.sub(r"[_\s]+", " ", name).strip().lower()


def words_of(caption: str) -> set[str]:
    """The words of a caption, lower case: letters and inner hyphens, three or more, no stop word.

    `one` counts: it names a digit.
    """
    found = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", caption.lower())
    return {word for word in found if len(word) >= 3 and word not in STOP_WORDS}


def fold_plurals(captions: Sequence[set[str]]) -> list[set[str]]:
    """Plurals counted as their singular, where that occurs in the captions, too."""
    known = set().union(*captions)
    return [{singular(word, known) for word in words} for words in captions]


def singular(word: str, known: Iterable[str]) -> str:
    """`rock` for `rocks` where `rock` is among the known words, else the word itself."""
    for ending, instead in (("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(ending) and word.removesuffix(ending) + instead in known:
            return word.removesuffix(ending) + instead
    return word
