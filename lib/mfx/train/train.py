"""Fit a Keras model on transformed examples and export it with the transform graph.

In TFX this is the job of Trainer.
"""

from __future__ import annotations

import functools
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.core.framework.summary_pb2 import Summary, SummaryMetadata
from tensorflow.core.util.event_pb2 import Event

from mfx import figures, label
from mfx.artifacts import Examples, Model, TransformGraph, store
from mfx.artifacts.lineage import hash_bytes, hash_code, hash_json
from mfx.config import Train
from mfx.errors import MfxError
from mfx.export import TARGETS, network
from mfx.train import networks
from mfx.train.input import TrainInput
from mfx.transform.declared.labels import class_names
from mfx.user_code import loading
from mfx.user_code.failures import listed, running

if TYPE_CHECKING:
    from mfx.train.spec import Reads

VALIDATION_BATCH = 4096


class Checkpoint(Protocol):
    """Keeps the training's state between attempts. `metaflow.current.checkpoint` is one."""

    directory: str
    is_loaded: bool

    def save(self) -> Any:
        """Keep what is now in `directory`."""


def train(
    graph: TransformGraph,
    transformed: Examples,
    settings: Reads,
    candidate: int,
    checkpoint: Checkpoint,
    report: Callable[[str], None],
    devices: Sequence[str] | None = None,
) -> Model:
    """Train one candidate. If there is a checkpoint, continue after its last epoch.

    Equal inputs, settings and seed give equal weights on the same machine type, even if training
    was interrupted. This does not hold with `jit_compile`.

    Args:
        graph: The transform graph; it is exported with the network.
        transformed: The transformed examples: `train` to fit on, `eval` to validate.
        settings: The config's tables `[train]`, `[pipeline]`, `[label]` and `[features]`.
        candidate: Index into `train.candidates`.
        checkpoint: Keeps the training's state after each epoch.
        report: Called with one line of text after each epoch, and for other news.
        devices: TensorFlow's names, such as `GPU:0`. Several devices share each batch. By default
            all GPUs, or the CPU if there is none.

    Returns:
        The exported model, with its training history, hyperparameters and TensorBoard logs.

    Raises:
        MfxError: `model.py` fails; an input of the network is not a feature; the network cannot be
            trained on this label; the loss becomes NaN or infinite; or the devices cannot share a
            batch equally.
    """
    module = loading.load(settings)
    options = settings.train
    hyperparameters = {**options.hyperparameters, **options.candidates[candidate]}
    _prepare(options)
    strategy, device = _place(devices, options.batch_size)
    path, target = loading.path_of(settings), settings.label.name
    about = listed("Features", graph.features)
    with (
        tempfile.TemporaryDirectory(prefix="mfx-") as directory,
        transformed.files("train") as train_paths,
        transformed.files("eval") as eval_paths,
    ):
        saved = Path(directory, "model")
        output = tft.TFTransformOutput(str(graph.save_to(Path(directory, "graph"))))
        with strategy.scope() if strategy else nullcontext():
            model = networks.build(settings, module, hyperparameters, graph, output, transformed)
        if options.jit_compile:
            model.jit_compile, device = True, f"{device}, XLA"
        inputs = _look(model, graph, transformed, target, report)
        saved_model = TARGETS.get("saved_model")
        classes = class_names(settings.label, output)
        with running(path, "the network", graph.features, about):
            saved_model.export(model, output, settings.label.columns, saved, classes)
        fed = (target, options.seed, inputs.names, inputs.of)
        validation = TrainInput(eval_paths, *fed)
        fitting = _Fit(
            model,
            TrainInput(train_paths, *fed),
            validation.head(
                options.validation_rows,
                VALIDATION_BATCH,
                strategy.num_replicas_in_sync if strategy else 1,
            ),
            Path(directory, "logs"),
            checkpoint,
            report,
            _without_value(model, validation.labels(options.validation_rows), report),
            _fingerprint(settings, candidate, graph, transformed),
        )
        with running(path, "fit", graph.features, about):
            history, resumed_from = fitting.run(options)
        saved_model.put_weights(model, saved)
        return Model(
            payload=store.save(saved),
            logs=store.save(Path(directory, "logs")),
            candidate=candidate,
            hyperparameters=hyperparameters,
            history=history,
            weights=hash_weights(model),
            steps=options.steps,
            device=device,
            resumed_from=resumed_from,
            lineage=transformed.lineage.derived(graph.digest, transformed.digest),
        )


def _prepare(options: Train) -> None:
    """Set seeds, determinism and precision for this process, before the network is built."""
    keras.utils.set_random_seed(options.seed)
    if not options.jit_compile:  # With determinism on, Keras does not compile with XLA.
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_dtype_policy(options.precision)


def _fingerprint(
    settings: Reads, candidate: int, graph: TransformGraph, transformed: Examples
) -> str:
    """A hash of all that determines the training: a checkpoint with another one is not used."""
    code = hash_code(loading.find(settings).files())
    said = [table.model_dump() for table in (settings.train, settings.label)]
    said += [{name: options.model_dump() for name, options in settings.features.items()}]
    return hash_json([said, candidate, code, graph.digest, transformed.digest])


def _look(
    model: Any,
    graph: TransformGraph,
    transformed: Examples,
    target: str,
    report: Callable[[str], None],
) -> network.Inputs:
    """Check the network against the label and the features; return what it takes as input."""
    network.check(model)
    if graph.label:
        label.check_fits_network(graph.label, network.loss_of(model), network.width(model))
    inputs = network.inputs_of(model, transformed.columns, target)
    if unused := [name for name in inputs.without(transformed.columns) if name != target]:
        report(f"columns that the network does not use: {', '.join(unused)}")
    return inputs


def epochs_of(options: Train) -> list[int]:
    """Training steps of each epoch: all equal, except that the last also has the remainder."""
    epochs = min(options.epochs, options.steps)
    size = options.steps // epochs
    return [size] * (epochs - 1) + [options.steps - size * (epochs - 1)]


def execution_size(wanted: int, sizes: list[int]) -> int:
    """Training steps per execution, as Keras calls it.

    Args:
        wanted: The most steps per execution.
        sizes: Steps of each epoch.

    Returns:
        The largest number, up to `wanted`, by which each epoch can be divided without remainder.
    """
    common = math.gcd(*sizes)
    return max(n for n in range(1, min(wanted, common) + 1) if common % n == 0)


def hash_weights(model: Any) -> str:
    """SHA-256 of the values of all the network's variables, in order."""
    return hash_bytes(*(np.ascontiguousarray(w.numpy()).tobytes() for w in model.weights))


def _place(
    devices: Sequence[str] | None, batch_size: int
) -> tuple[tf.distribute.Strategy | None, str]:
    """The strategy that shares batches among devices, and a description such as "2 GPU".

    The strategy is None if there is at most one device.
    """
    found = [f"GPU:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))]
    names = list(found if devices is None else devices)
    if names and batch_size % len(names):
        raise MfxError(
            f"train.batch_size: {batch_size} rows cannot be shared equally by {len(names)} devices",
            f"Take a multiple of {len(names)}.",
        )
    shown = f"{len(names)} {names[0].split(':')[0]}" if names else "CPU"
    return (tf.distribute.MirroredStrategy(names) if len(names) > 1 else None), shown


class _Fit:
    """Runs the epochs of one training. After each it keeps a checkpoint and reports a line."""

    def __init__(
        self,
        model: Any,
        examples: TrainInput,
        validation: tf.data.Dataset,
        logs: Path,
        checkpoint: Checkpoint,
        report: Callable[[str], None],
        without_value: Callable[[], set[str]],
        fingerprint: str,
    ) -> None:
        self._without_value = without_value
        self._fingerprint = fingerprint
        self._model, self._examples, self._validation = model, examples, validation
        self._logs, self._checkpoint, self._report = logs, checkpoint, report
        self._weights = Path(checkpoint.directory, "model.weights.h5")
        self._state = Path(checkpoint.directory, "state.json")

    def run(self, options: Train) -> tuple[dict[str, list[float]], int]:
        """Train the epochs that are not done yet.

        Returns:
            Each metric's value per epoch, and how many epochs a checkpoint had already done.
        """
        sizes = epochs_of(options)
        self._model.steps_per_execution = self._steps_per_execution(options, sizes)
        history = self._restore()
        done = len(history.get("loss", []))
        for epoch in range(done, len(sizes)):
            fitted = self._model.fit(
                self._examples.dataset(options.batch_size, start_step=sum(sizes[:epoch])),
                initial_epoch=epoch,
                epochs=epoch + 1,
                steps_per_epoch=sizes[epoch],
                validation_data=self._validation,
                shuffle=False,  # `dataset` is shuffled already. Keras would warn that it cannot.
                verbose=0,
            )
            without = self._without_value()
            last = {
                n: float(values[-1]) for n, values in fitted.history.items() if n not in without
            }
            for name, value in last.items():
                history.setdefault(name, []).append(value)
            if not math.isfinite(last["loss"]):
                raise _not_a_number(last["loss"], epoch + 1, self._examples)
            self._keep(history)
            shown = ", ".join(f"{name} {figures.metric(value)}" for name, value in last.items())
            self._report(f"epoch {epoch + 1}/{len(sizes)}: {shown}")
        self._log(history)
        return history, done

    def _steps_per_execution(self, options: Train, sizes: list[int]) -> int:
        if self._model.distribute_strategy.num_replicas_in_sync > 1:
            # Keras runs several steps as a loop with a condition, inside which replicas cannot
            # exchange gradients (keras-team/keras#19246).
            self._report("several devices: one training step per execution")
            return 1
        return execution_size(options.steps_per_execution, sizes)

    def _restore(self) -> dict[str, list[float]]:
        if not (self._checkpoint.is_loaded and self._state.exists()):
            return {}
        state = json.loads(self._state.read_text(encoding="utf-8"))
        if state["fingerprint"] != self._fingerprint:
            self._report("the checkpoint is from other data or settings: training starts again")
            return {}
        self._model.optimizer.build(self._model.trainable_variables)
        self._model.load_weights(self._weights)
        for variable, value in zip(self._seeds(), state["seeds"], strict=True):
            variable.assign(value)
        self._report(f"continuing after epoch {state['epochs']} from a checkpoint")
        return state["history"]

    def _seeds(self) -> list[Any]:
        """Random states, such as those of dropout. Keras does not count them as weights."""
        kept = {id(v) for v in (*self._model.weights, *self._model.metrics_variables)}
        return [v for v in self._model.variables if id(v) not in kept]

    def _keep(self, history: dict[str, list[float]]) -> None:
        self._model.save_weights(self._weights)
        state = {
            "fingerprint": self._fingerprint,
            "epochs": len(history["loss"]),
            "history": history,
            "seeds": [variable.numpy().tolist() for variable in self._seeds()],
        }
        self._state.write_text(json.dumps(state), encoding="utf-8")
        self._checkpoint.save()

    def _log(self, history: dict[str, list[float]]) -> None:
        """Write TensorBoard events, with the names that Keras' own callback uses.

        An event's time is its epoch, so that equal trainings give equal bytes.
        """
        for run, prefix in (("train", ""), ("validation", "val_")):
            (self._logs / run).mkdir(parents=True)
            with tf.io.TFRecordWriter(str(self._logs / run / "events.out.tfevents")) as file:
                file.write(Event(file_version="brain.Event:2").SerializeToString())
                for name, values in history.items():
                    if name.startswith("val_") == bool(prefix):
                        tag = f"epoch_{name.removeprefix('val_')}"
                        for epoch, value in enumerate(values):
                            file.write(_event(tag, epoch, value).SerializeToString())


_OF_TWO_CLASSES = (
    keras.metrics.AUC,
    keras.metrics.PrecisionAtRecall,
    keras.metrics.RecallAtPrecision,
    keras.metrics.SensitivityAtSpecificity,
    keras.metrics.SpecificityAtSensitivity,
)
"""Keras' metrics that have no meaning if all rows are of one class. Keras gives 0 for them."""


def _without_value(
    model: Any, labels: np.ndarray, report: Callable[[str], None]
) -> Callable[[], set[str]]:
    """Make a function that names the validation metrics without a value, as the history has them.

    Call it after Keras has created the metrics. Its first call reports the names.
    """

    @functools.cache
    def names() -> set[str]:
        if len(labels) > 1 or network.width(model) != 1:
            return set()
        made = [m for given in model.metrics for m in getattr(given, "metrics", [given])]
        found = {f"val_{metric.name}" for metric in made if isinstance(metric, _OF_TWO_CLASSES)}
        if found:
            only = f"all validation rows have the label {labels[0]:g}"
            report(f"no value: {', '.join(sorted(found))}: {only}")
        return found

    return names


def _not_a_number(loss: float, epoch: int, examples: TrainInput) -> MfxError:
    """The error for a loss that is NaN or infinite. It says whether the rows are the cause."""
    said = f"the loss is {loss} after epoch {epoch}"
    if found := examples.not_finite():
        named = ", ".join(f"'{name}' in {rows:,}" for name, rows in found.items())
        return MfxError(
            f"{said}: of {examples.rows:,} train rows, NaN or infinity is in {named}",
            "In preprocessing_fn, fill missing values before you scale them, and do not divide by "
            "values that can be 0.",
        )
    return MfxError(
        f"{said}; neither the label nor the features have NaN or infinity",
        "Lower learning_rate, or check the features for very large values.",
    )


def _event(tag: str, epoch: int, value: float) -> Event:
    """The event that `tf.summary.scalar` writes."""
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
    tensor = tf.make_tensor_proto(value, tf.float32)
    summary = Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])
    return Event(wall_time=epoch, step=epoch, summary=summary)
