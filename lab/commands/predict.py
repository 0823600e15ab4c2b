"""`lab predict`: apply a run's model to one's own images or scans, or audit it on labelled images."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import UserError

if TYPE_CHECKING:
    from lab.config.schema import Experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run folder, id, beginning of an id, or experiment name")
    parser.add_argument(
        "--input",
        required=True,
        type=Path,
        metavar="PATH",
        help="folder of images, searched recursively; for correctors a NIfTI file, a DICOM series, or a folder of them",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the files written")
    parser.add_argument(
        "--stage", metavar="NAME", help="fit stage whose model answers; default: the experiment's choice"
    )
    parser.add_argument(
        "--audit",
        action="store_true",
        help="look for bias instead: --input holds a folder of images for each class; writes audit.html",
    )
    described = parser.add_mutually_exclusive_group()
    described.add_argument("--captions", type=Path, metavar="CSV", help="audit: descriptions (columns image, caption)")
    described.add_argument(
        "--captioner", metavar="MODEL", help="audit: who describes the images: folder or hub name of a BLIP or LLaVA"
    )
    parser.add_argument("--runs-dir", type=Path, help="folder of runs; default LAB_RUNS")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="run-time options, e.g. trainer.accelerator=cpu"
    )


def run(args: argparse.Namespace) -> int:
    from lab.commands.common import open_run

    if not args.audit and (args.captions or args.captioner):
        raise UserError("--captions and --captioner are for --audit")
    path, experiment = open_run(args.run, args.runs_dir, args.overrides)
    if args.audit:
        print(_audit(args, path, experiment))
        return 0
    from lab.stages.apply import predict_input

    done = predict_input(path, experiment, args.input, args.output, stage=args.stage)
    print(done)
    return 0


def _audit(args: argparse.Namespace, path: Path, experiment: Experiment) -> str:
    from lab.papers.samyna.captioners import FromFile, VisionLanguage
    from lab.papers.samyna.config import DEFAULT_PROMPT, CaptionerConfig, EncoderConfig
    from lab.papers.samyna.encoders import PACKAGED, BagOfWords, build_encoder
    from lab.stages.audit import audit_folder

    captioner: FromFile | VisionLanguage | None = None
    if args.captions:
        captioner = FromFile(args.captions)
    elif args.captioner:
        captioner = VisionLanguage(args.captioner, DEFAULT_PROMPT, CaptionerConfig().max_tokens)
    # Words can only be compared by their letters where no sentence encoder is installed.
    known = find_spec("sentence_transformers") is not None and find_spec(PACKAGED) is not None
    encoder = build_encoder(EncoderConfig()) if known and captioner else BagOfWords()
    return audit_folder(path, experiment, args.input, args.output, captioner, encoder, stage=args.stage)
