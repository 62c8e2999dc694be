"""Load a pipeline's `model.py` with the files it imports, and check what its functions return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from mfx.config import AnyFeature, Label, Pipeline
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


class Wanted(Names, Protocol):
    """Says besides which of the module's functions the config replaces."""

    @property
    def features(self) -> Mapping[str, AnyFeature]:
        """The table `[features]`."""

    @property
    def label(self) -> Label:
        """The table `[label]`."""


def path_of(settings: Names) -> str:
    """The module's file, for messages; or what takes its place."""
    module = settings.pipeline.module
    return settings.resolve(module) if module else "config.toml"


def find(settings: Names) -> bundle.Bundle:
    """Read the pipeline's module and all files of the project that it needs, without running them.

    Returns:
        The files; none if the pipeline has no module.

    Raises:
        MfxError: A file cannot be read, or is not Python.
    """
    if settings.pipeline.module is None:
        return bundle.Bundle(settings.pipeline.name, "", {})
    path = settings.resolve(settings.pipeline.module)
    if not path.endswith(".py"):
        raise MfxError(f"{path}: not a Python file", "Set module under [pipeline] to a .py file.")
    return bundle.collect(Path(path), settings.pipeline.name)


def load(settings: Wanted) -> ModuleType:
    """Load the module with `preprocessing_fn(inputs)` and `build_model(**hyperparameters)`.

    The config may replace them: `[features]` the first, `kind` under `[label]` the second.

    Returns:
        The module; an empty one if the pipeline has none.

    Raises:
        MfxError: A file cannot be read or run, a function is missing, or features are declared
            and computed too.
    """
    path, found = path_of(settings), find(settings)
    with running(path, "import"):
        module = bundle_import.load(found) if found.modules else ModuleType("none")
    replaced = {
        "preprocessing_fn": bool(settings.features),
        "build_model": settings.label.kind is not None,
    }
    for function, instead in replaced.items():
        if not (instead or callable(getattr(module, function, None))):
            raise MfxError(
                f"{path}: no function {function}",
                f"Define {function} in this file, or {_INSTEAD[function]}.",
            )
    if settings.features and hasattr(module, "preprocessing_fn"):
        raise MfxError(
            f"{path}: a preprocessing_fn, though the config declares features",
            "Remove one of them: preprocessing_fn, or the table [features].",
        )
    return module


_INSTEAD = {
    "preprocessing_fn": "declare the features in the config, under [features]",
    "build_model": "set kind under [label] for the default network",
}


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

    path = path_of(settings)
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
