"""What this room takes of TFMA beside its public API: combiners, and what they hold.

Public, and so used where it is needed: what `tfma`, `tfma.metrics`, `tfma.utils`, `tfma.types`,
`tfma.slicer` and `tfma.constants` list, and the protos.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tensorflow_model_analysis.contrib.aggregates.binary_confusion_matrices import (
    Matrix,
    _ThresholdEntry,
)
from tensorflow_model_analysis.evaluators import (
    metrics_plots_and_validations_evaluator as evaluator,
)
from tensorflow_model_analysis.evaluators.metrics_validator import validate_metrics
from tensorflow_model_analysis.metrics import aggregation, calibration, tf_metric_wrapper
from tensorflow_model_analysis.metrics import binary_confusion_matrices as confusion
from tensorflow_model_analysis.metrics import calibration_histogram as histogram
from tensorflow_model_analysis.metrics import example_count as counts
from tensorflow_model_analysis.metrics import mean_regression_error as regression
from tensorflow_model_analysis.metrics import multi_class_confusion_matrix_metrics as multi_class
from tensorflow_model_analysis.metrics.confusion_matrix_metrics import ConfusionMatrixMetricBase
from tensorflow_model_analysis.metrics.metric_specs import to_computations
from tensorflow_model_analysis.metrics.metric_types import (
    CIDerivedMetricComputation,
    CrossSliceMetricComputation,
    StandardMetricInputsPreprocessor,
)
from tensorflow_model_analysis.writers.metrics_plots_and_validations_writer import (
    CombineValidations,
    convert_slice_metrics_to_proto,
    convert_slice_plots_to_proto,
)

CHECKED = {"tensorflow-model-analysis": ("0.47.1", "0.52.0")}

__all__ = [
    "CHECKED",
    "Bucket",
    "CIDerivedMetricComputation",
    "CombineValidations",
    "ConfusionMatrixMetricBase",
    "CrossSliceMetricComputation",
    "Matrices",
    "Matrix",
    "MatrixEntryKey",
    "StandardMetricInputsPreprocessor",
    "convert_slice_metrics_to_proto",
    "convert_slice_plots_to_proto",
    "is_diffable",
    "to_computations",
    "validate_metrics",
]

ExampleCount = counts._ExampleCountCombiner
CalibrationHistogram = histogram._CalibrationHistogramCombiner
BinaryConfusionMatrices = confusion._BinaryConfusionMatrixCombiner
LabelSums = calibration._WeightedLabelsPredictionsExamplesCombiner
ClassWeights = aggregation._ClassWeightsFromLabelsCombiner
MultiClassConfusionMatrices = multi_class._MultiClassConfusionMatrixCombiner
MeanAbsoluteError = regression._MeanAbsoluteErrorCombiner
MeanSquaredError = regression._MeanSquaredErrorCombiner
MeanAbsolutePercentageError = regression._MeanAbsolutePercentageErrorCombiner
MeanSquaredLogarithmicError = regression._MeanSquaredLogarithmicErrorCombiner
KerasMetrics = tf_metric_wrapper._CompilableMetricsCombiner
"""Combiners."""

Bucket = histogram.Bucket
Matrices, MatrixEntryKey = multi_class.Matrices, multi_class.MatrixEntryKey
NO_CLASS = multi_class.NO_PREDICTED_CLASS_ID
ThresholdEntry = _ThresholdEntry
LabelSumsAccumulator = calibration._WeightedLabelsPredictionsExamples
MeanErrorAccumulator = regression._MeanRegressionErrorAccumulator
"""What accumulators are made of."""

is_diffable = evaluator._is_metric_diffable


def asked(combiner: Any) -> tuple[str, Any, str]:
    """Model name, sub key and output name that a combiner is for."""
    key = getattr(combiner, "_key", None) or getattr(combiner, "_metric_key", None)
    if key is not None:
        return key.model_name, getattr(key, "sub_key", None), key.output_name or ""
    output = "".join(getattr(combiner, "_output_names", []))
    return combiner._model_name or "", getattr(combiner, "_sub_key", None), output


def is_special(combiner: Any) -> bool:
    """Whether it asks for what only a few combiners know: example ids, losses, whole labels."""
    special = ("_example_id_key", "_loss_configs", "_sub_key_in_config")
    if any(_filled(getattr(combiner, name, None)) for name in special):
        return True
    return getattr(combiner, "_enable_fractional_labels", True) is False


def _filled(value: Any) -> bool:
    return any(map(_filled, value)) if isinstance(value, list) else bool(value)


def class_weights(combiner: Any) -> dict[int, float]:
    """The share of each class in an average over classes; empty where all count alike."""
    return getattr(combiner, "_class_weights", None) or {}


def class_ids(combiner: Any) -> list[int]:
    """The classes that `ClassWeights` counts."""
    return combiner._class_ids


def is_weighted(combiner: Any) -> bool:
    """Whether it takes the examples' weights."""
    return combiner._example_weighted


def thresholds(combiner: Any) -> list[float]:
    """Of a combiner of confusion matrices, of two classes or several."""
    if isinstance(combiner, BinaryConfusionMatrices):
        return combiner._binary_confusion_matrices._thresholds
    return combiner._thresholds


@dataclass(frozen=True)
class Buckets:
    """Where the buckets of a `CalibrationHistogram` lie, and what goes into them.

    Args:
        left: Where the first begins.
        range: The width of all together.
        number: How many there are between the first and the last, which are open.
        of_predictions: Whether a row's prediction says its bucket, not its label.
        fractional_labels: Whether labels are shares of two classes.
    """

    left: float
    range: float
    number: int
    of_predictions: bool
    fractional_labels: bool


def buckets(combiner: Any) -> Buckets:
    """Those of a `CalibrationHistogram`."""
    return Buckets(
        left=combiner._left,
        range=combiner._range,
        number=combiner._num_buckets,
        of_predictions=combiner._prediction_based_bucketing,
        fractional_labels=combiner._fractional_labels,
    )


def keras_metrics(combiner: Any, output: str) -> list[Any]:
    """The Keras metrics that a `KerasMetrics` fills for one output, once it is set up."""
    return combiner._metrics[output]


def is_micro_averaged(combiner: Any) -> bool:
    """Whether a `KerasMetrics` takes each row and class for a row."""
    kind = combiner._aggregation_type
    return bool(kind and kind.micro_average)
