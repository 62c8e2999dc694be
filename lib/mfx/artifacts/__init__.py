"""The results that travel between steps: one small object each, payload files behind it.

Every object can be read in a notebook, `Run("Pipeline/<id>").data.<name>`: methods bring back the
payload and import what they need.
"""

from mfx.artifacts.evaluation import Blessing, Check, Evaluation, Latency, PushedModel, Replay
from mfx.artifacts.examples import SPLITS, Code, Examples, Shard, SourceFile, Sources
from mfx.artifacts.model import LabelValues, Model, TransformGraph
from mfx.artifacts.validation import Anomalies, Anomaly, Schema, Statistics

__all__ = [
    "SPLITS",
    "Anomalies",
    "Anomaly",
    "Blessing",
    "Check",
    "Code",
    "Evaluation",
    "Examples",
    "LabelValues",
    "Latency",
    "Model",
    "PushedModel",
    "Replay",
    "Schema",
    "Shard",
    "SourceFile",
    "Sources",
    "Statistics",
    "TransformGraph",
]
