"""The results that steps pass on: small objects, with their files in Metaflow's datastore.

In a notebook, read one with `Run("Pipeline/<id>").data.<name>`. Its methods fetch the files and
import what they need.
"""

from mfx.artifacts.evaluation import (
    FIRST_RUN,
    Blessing,
    Check,
    ComparedWith,
    Evaluation,
    Latency,
    PushedModel,
    Replay,
    SliceMetrics,
)
from mfx.artifacts.examples import SPLITS, Code, Examples, Part, Shard, SourceFile, Sources
from mfx.artifacts.model import LabelValues, Model, TransformGraph
from mfx.artifacts.slices import OVERALL, SliceKey, SlicesBy
from mfx.artifacts.validation import Anomalies, Anomaly, Schema, Statistics

__all__ = [
    "FIRST_RUN",
    "OVERALL",
    "SPLITS",
    "Anomalies",
    "Anomaly",
    "Blessing",
    "Check",
    "Code",
    "ComparedWith",
    "Evaluation",
    "Examples",
    "LabelValues",
    "Latency",
    "Model",
    "Part",
    "PushedModel",
    "Replay",
    "Schema",
    "Shard",
    "SliceKey",
    "SliceMetrics",
    "SlicesBy",
    "SourceFile",
    "Sources",
    "Statistics",
    "TransformGraph",
]
