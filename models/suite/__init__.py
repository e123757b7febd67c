"""Labelled synthetic streams that detectors are measured by, in two parts: constants are chosen on
`choose`, and what was chosen is confirmed on `confirm`. They share nothing with the streams that
networks learn from (models.synth, models.inject).
"""

from models.suite.build import Recipe, build, recipes, suite
from models.suite.faults import FAULT_KINDS
from models.suite.stream import PARTS, HarmlessChange, LabelledStream, PlantedFault

__all__ = [
    "FAULT_KINDS",
    "PARTS",
    "HarmlessChange",
    "LabelledStream",
    "PlantedFault",
    "Recipe",
    "build",
    "recipes",
    "suite",
]
