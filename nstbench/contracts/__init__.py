"""The plug-in contract: the only import of nstbench that a simple plug-in needs.

A plug-in is one file with exactly one class derived from a class below. Its public name is the
stem of its file: ``methods/gatys_2015.py`` is ``gatys_2015``. Facts about a plug-in are attributes
of its class; the core reads these and never compares names. To write one, copy ``_template.py``
of the folder.
"""

from __future__ import annotations

from nstbench.contracts.base import OnStep, Parameters, Picture
from nstbench.contracts.datasets import Dataset, DatasetInfo
from nstbench.contracts.methods import Diverged, Method, MethodInfo, OutOfTime, PreparedPair
from nstbench.contracts.metrics import (
    Features,
    Ideal,
    Metric,
    MetricInfo,
    PairMetric,
    ScoringPair,
    SetMetric,
    TimingMetric,
)
from nstbench.contracts.sections import Section, SectionInfo
from nstbench.contracts.weights import Progress, Source, Weight
from nstbench.core.records import (
    Availability,
    Collection,
    Flexibility,
    ImageRecord,
    Role,
    Scope,
    SkippedImage,
    Step,
    Timing,
)

__all__ = [
    "Availability",
    "Collection",
    "Dataset",
    "DatasetInfo",
    "Diverged",
    "Features",
    "Flexibility",
    "Ideal",
    "ImageRecord",
    "Method",
    "MethodInfo",
    "Metric",
    "MetricInfo",
    "OnStep",
    "OutOfTime",
    "PairMetric",
    "Parameters",
    "Picture",
    "PreparedPair",
    "Progress",
    "Role",
    "Scope",
    "ScoringPair",
    "Section",
    "SectionInfo",
    "SetMetric",
    "SkippedImage",
    "Source",
    "Step",
    "Timing",
    "TimingMetric",
    "Weight",
]
