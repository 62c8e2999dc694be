"""Load a pipeline's `model.py` with the files it imports, and check what its functions return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from mfx.config import Pipeline
from mfx.errors import MfxError
from mfx.user_code import bundle, bundle_import
from mfx.user_code.failures import listed, running


class Names(Protocol):
    """Says where a pipeline's module is: the whole config, or the part that a step reads."""

    @property
    def pipeline(self) -> Pipeline:
        """The table `[pipeline]`."""

    def resolve(self, path: str) -> str:
        """Turn a path in the config into an absolute path."""


def find(settings: Names) -> bundle.Bundle:
    """Read the pipeline's module and all files of the project that it needs, without running them.

    Raises:
        MfxError: A file cannot be read, or is not Python.
    """
    path = settings.resolve(settings.pipeline.module)
    if not path.endswith(".py"):
        raise MfxError(f"{path}: not a Python file", "Set module under [pipeline] to a .py file.")
    return bundle.collect(Path(path), settings.pipeline.name)


def load(settings: Names) -> ModuleType:
    """Load the module with `preprocessing_fn(inputs)` and `build_model(**hyperparameters)`.

    Raises:
        MfxError: A file cannot be read or run, or one of the two functions is missing.
    """
    path = settings.resolve(settings.pipeline.module)
    found = find(settings)
    with running(path, "import"):
        module = bundle_import.load(found)
    for function in ("preprocessing_fn", "build_model"):
        if not callable(getattr(module, function, None)):
            raise MfxError(f"{path}: no function {function}", f"Define {function} in this file.")
    return module


def build_model(
    settings: Names,
    module: ModuleType,
    hyperparameters: Mapping[str, Any],
    features: Mapping[str, str],
) -> Any:
    """Call the user's `build_model`.

    Args:
        settings: Say where the module is.
        module: The result of `load`.
        hyperparameters: The arguments of `build_model`.
        features: Each transformed feature's type, for messages.

    Returns:
        A compiled `keras.Model`.

    Raises:
        MfxError: `build_model` fails, or does not return a compiled model.
    """
    import keras

    path = settings.resolve(settings.pipeline.module)
    given = {name: repr(value) for name, value in hyperparameters.items()}
    about = "\n".join([listed("Features", features), listed("Hyperparameters", given)])
    with running(path, "build_model", [*hyperparameters, *features], about):
        model = module.build_model(**hyperparameters)
    if not getattr(model, "compiled", False):
        is_model = isinstance(model, keras.Model)
        shown = "a model that is not compiled" if is_model else type(model).__name__
        raise MfxError(
            f"{path}: build_model returns {shown}",
            "Return a keras.Model after model.compile(optimizer, loss, …).",
        )
    return model


class CheckedFunction:
    """Wraps `preprocessing_fn`: errors become one message, and its features are checked.

    Args:
        function: The user's function. It must be picklable if this object is to be pickled.
        path: The function's file.
        columns: Each raw column's type.
        label: The name of the label, which the function must return.
    """

    def __init__(
        self, function: Callable, path: str, columns: Mapping[str, str], label: str
    ) -> None:
        self._function, self._path = function, path
        self._columns, self._label = dict(columns), label

    def __call__(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Call the function and check its result.

        Args:
            inputs: Raw features, by name.

        Returns:
            Transformed features by name: dense tensors of shape [batch] or [batch, width].

        Raises:
            MfxError: It failed, or did not return a dict of such tensors of tf.Example's types, or
                the label is not among them.
        """
        from mfx.columns.tensors import check_feature

        about = listed("Columns", self._columns)
        with running(self._path, "preprocessing_fn", self._columns, about):
            outputs = self._function(inputs)
        where = f"{self._path}: preprocessing_fn"
        if not isinstance(outputs, dict):
            raise MfxError(
                f"{where} returns {type(outputs).__name__}",
                "Return a dict of tensors by feature name.",
            )
        for name, feature in outputs.items():
            check_feature(name, feature, where)
        if self._label not in outputs:
            raise MfxError(
                f"{where} returns no feature '{self._label}', the label's name",
                "Return this feature, or change name under [label].",
            )
        return outputs
