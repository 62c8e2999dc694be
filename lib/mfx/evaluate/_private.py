"""The private parts of TFMA that `evaluate` uses: combiners and their contents.

Public are the names in `tfma`, `tfma.metrics`, `tfma.utils`, `tfma.types`, `tfma.slicer` and
`tfma.constants`, and the protos. Other modules use these directly.
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
"""TFMA's combiners."""

Bucket = histogram.Bucket
Matrices, MatrixEntryKey = multi_class.Matrices, multi_class.MatrixEntryKey
NO_CLASS = multi_class.NO_PREDICTED_CLASS_ID
ThresholdEntry = _ThresholdEntry
LabelSumsAccumulator = calibration._WeightedLabelsPredictionsExamples
MeanErrorAccumulator = regression._MeanRegressionErrorAccumulator
"""The parts of TFMA's accumulators."""

is_diffable = evaluator._is_metric_diffable


def asked(combiner: Any) -> tuple[str, Any, str]:
    """The model name, sub key and output name that a combiner works on."""
    key = getattr(combiner, "_key", None) or getattr(combiner, "_metric_key", None)
    if key is not None:
        return key.model_name, getattr(key, "sub_key", None), key.output_name or ""
    output = "".join(getattr(combiner, "_output_names", []))
    return combiner._model_name or "", getattr(combiner, "_sub_key", None), output


def is_special(combiner: Any) -> bool:
    """Whether a combiner has a rare option: example ids, losses, or whole labels only."""
    special = ("_example_id_key", "_loss_configs", "_sub_key_in_config")
    if any(_filled(getattr(combiner, name, None)) for name in special):
        return True
    return getattr(combiner, "_enable_fractional_labels", True) is False


def _filled(value: Any) -> bool:
    return any(map(_filled, value)) if isinstance(value, list) else bool(value)


def class_weights(combiner: Any) -> dict[int, float]:
    """Each class's weight in an average over classes; empty if all have the same weight."""
    return getattr(combiner, "_class_weights", None) or {}


def class_ids(combiner: Any) -> list[int]:
    """The classes that `ClassWeights` counts."""
    return combiner._class_ids


def is_weighted(combiner: Any) -> bool:
    """Whether a combiner uses the examples' weights."""
    return combiner._example_weighted


def thresholds(combiner: Any) -> list[float]:
    """The thresholds of a combiner for confusion matrices, of two classes or several."""
    if isinstance(combiner, BinaryConfusionMatrices):
        return combiner._binary_confusion_matrices._thresholds
    return combiner._thresholds


@dataclass(frozen=True)
class Buckets:
    """The buckets of a `CalibrationHistogram`.

    Args:
        left: The left edge of the first closed bucket.
        range: The width of all closed buckets together.
        number: How many closed buckets there are. The first and last buckets are open: they take
            all lower and all higher values.
        of_predictions: Whether the prediction decides a row's bucket; otherwise the label does.
        fractional_labels: Whether labels from 0 to 1 are split between the two classes.
    """

    left: float
    range: float
    number: int
    of_predictions: bool
    fractional_labels: bool


def buckets(combiner: Any) -> Buckets:
    """The buckets of a `CalibrationHistogram`."""
    return Buckets(
        left=combiner._left,
        range=combiner._range,
        number=combiner._num_buckets,
        of_predictions=combiner._prediction_based_bucketing,
        fractional_labels=combiner._fractional_labels,
    )


def keras_metrics(combiner: Any, output: str) -> list[Any]:
    """The Keras metrics of one output. The combiner, a `KerasMetrics`, must be set up."""
    return combiner._metrics[output]


def is_micro_averaged(combiner: Any) -> bool:
    """Whether a `KerasMetrics` treats each pair of row and class as a row."""
    kind = combiner._aggregation_type
    return bool(kind and kind.micro_average)
