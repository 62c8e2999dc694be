"""Read from a Keras network what it takes and what its answers mean, for training and export."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from mfx.errors import MfxError, nearest
from mfx.export import _private

BINARY, CLASSES, ONE_HOT = "binary", "classes", "one-hot"
"""Kinds of cross-entropy. Labels are 0 or 1, a class's number, or a vector with 1 at the class."""

_CROSS_ENTROPIES = {
    "binarycrossentropy": BINARY,
    "binaryfocalcrossentropy": BINARY,
    "sparsecategoricalcrossentropy": CLASSES,
    "categoricalcrossentropy": ONE_HOT,
    "categoricalfocalcrossentropy": ONE_HOT,
}
_PROBABILITIES = ("sigmoid", "softmax")
_BUILD = "build_model"


@dataclass(frozen=True)
class Inputs:
    """The features that a network takes, and in which form.

    Args:
        names: The feature of each input, in the order of Keras' `model.inputs`.
        form: Puts values, given in the order of `names`, into the network's form: a single value, a
            tuple, a dict, or a nesting of these.
    """

    names: tuple[str, ...]
    form: Callable[[Sequence[Any]], Any]

    def of(self, features: Mapping[str, Any]) -> Any:
        """The network's input, made from these features. Other features are left out."""
        return self.form([features[name] for name in self.names])

    def without(self, features: Mapping[str, Any]) -> list[str]:
        """The features that no input takes, sorted by name."""
        return sorted(set(features) - set(self.names))


def inputs_of(model: Any, features: Mapping[str, Any] | None = None, label: str = "") -> Inputs:
    """Find the feature for each of a network's inputs.

    If the inputs are in a dict, an input's feature is its key. Otherwise it is the name given to
    `keras.Input`.

    Args:
        model: The network.
        features: The features that exist, by name. If given, an input without one is an error.
        label: The label's name, which no input may have.

    Raises:
        MfxError: The inputs have no names, or an input's name is no feature, or is the label.
    """
    form = _form(model)
    found = [
        (path[-1] if path and isinstance(path[-1], str) else tensor.name, tensor)
        for path, tensor in keras.tree.flatten_with_path(form)
    ]
    if features is not None:
        for name, tensor in found:
            _check_input(name, tensor, features, label)
    packed = keras.tree.lists_to_tuples(form)  # tf.data would turn a list into one tensor.
    return Inputs(
        tuple(name for name, _ in found), lambda given: keras.tree.pack_sequence_as(packed, given)
    )


def _form(model: Any) -> Any:
    """The network's inputs, in the form that was given to Keras."""
    try:
        tensors = model.inputs
        return tensors[0] if isinstance(model, keras.Sequential) else model.input
    except AttributeError:
        start = "Begin it with keras.Input((), name='<feature>')"
        if not isinstance(model, keras.Sequential):
            start = "Return keras.Model(inputs, outputs), with a keras.Input for each feature"
        raise MfxError(
            f"{_BUILD}: {_BUILD} returns a {type(model).__name__} without named inputs, so it is "
            "unknown which features it takes",
            f"{start}.",
        ) from None


def _check_input(name: str, tensor: Any, features: Mapping[str, Any], label: str) -> None:
    if name == label:
        raise MfxError(
            f"{_BUILD}: the input '{name}' is the label",
            "A served model does not know the label: remove this input.",
        )
    if name in features:
        return
    known = sorted(set(features) - {label})
    alias = "" if tensor.name == name else f" (its keras.Input is named '{tensor.name}')"
    raise MfxError(
        f"{_BUILD}: no feature feeds the input '{name}'{alias}{nearest(name, known)}",
        f"Features of preprocessing_fn: {', '.join(known)}. An input takes the feature with the "
        "same name: its key in a dict of inputs, or keras.Input((), name='<feature>').",
    )


def width(model: Any) -> int:
    """How many numbers a network answers per row; 0 if its answer is no vector of fixed length."""
    shapes = [tuple(output.shape) for output in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) not in (1, 2):
        return 0
    return (*shapes[0], 1)[1] or 0


@dataclass(frozen=True)
class Loss:
    """The loss of a compiled network.

    Args:
        name: The name of its class or function, in lower case without underscores; empty if there
            is no loss.
        kind: BINARY, CLASSES or ONE_HOT; empty for any other loss.
        from_logits: Whether it takes the network's answers for logits.
        ignored: The class that it does not count, if any.
    """

    name: str
    kind: str
    from_logits: bool
    ignored: int | None

    @property
    def is_cross_entropy(self) -> bool:
        """Whether it is a cross-entropy. The user's own functions are recognized by their name."""
        return bool(self.kind) or "crossentropy" in self.name


def loss_of(model: Any) -> Loss:
    """Read the loss of a compiled network.

    It may be a name, a config, a function, a partial, an object or the user's own class; alone, or
    the only entry of a list or dict.
    """
    given = model.loss
    if not (isinstance(given, dict) and "class_name" in given):
        flat = keras.tree.flatten(given)
        given = flat[0] if len(flat) == 1 else None
    loss = keras.losses.get(given)
    names = [_plain(name) for name in _names(loss)]
    kind = next((_CROSS_ENTROPIES[name] for name in names if name in _CROSS_ENTROPIES), "")
    ignored = _option(loss, "ignore_class")
    return Loss(names[0] if names else "", kind, bool(_option(loss, "from_logits")), ignored)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _names(loss: Any) -> Iterator[str]:
    """Names of a loss: its function's; or those of its class, base classes and wrapped function."""
    if isinstance(loss, functools.partial):
        yield from _names(loss.func)
    elif isinstance(loss, keras.losses.Loss):
        own = [kind.__name__ for kind in type(loss).__mro__]
        generic = own.index("LossFunctionWrapper") if "LossFunctionWrapper" in own else len(own)
        yield from own[:generic]
        if hasattr(loss, "fn"):
            yield from _names(loss.fn)
    elif loss is not None:
        yield getattr(loss, "__name__", type(loss).__name__)


def _option(loss: Any, name: str) -> Any:
    """The value of a loss's option, set or default. It may belong to the function it wraps."""
    if hasattr(loss, name):
        return getattr(loss, name)
    if isinstance(loss, keras.losses.Loss):
        kept = getattr(loss, "_fn_kwargs", {})
        return kept[name] if name in kept else _option(getattr(loss, "fn", None), name)
    if not callable(loss):
        return None
    try:
        parameter = inspect.signature(loss).parameters.get(name)
    except (TypeError, ValueError):
        return None
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def probabilities(model: Any) -> str:
    """The activation that turns a network's answers into probabilities (see `answers`).

    Returns:
        `sigmoid` or `softmax` if its loss takes logits; '' if its answers are probabilities or
        amounts already.
    """
    loss = loss_of(model)
    if not loss.from_logits:
        return ""
    binary = loss.kind == BINARY or (not loss.kind and width(model) == 1)
    return "sigmoid" if binary else "softmax"


def check(model: Any) -> None:
    """Look for mistakes in a network before it is trained.

    Raises:
        MfxError: The network is not compiled, has several outputs, or its last layer and its loss
            do not fit together.
    """
    if not getattr(model, "compiled", False):
        raise MfxError(f"{_BUILD}: the network is not compiled", "Call its compile(), with a loss.")
    if len(model.outputs) != 1:
        names = ", ".join(f"'{name}'" for name in model.output_names)
        raise MfxError(
            f"{_BUILD}: the network has {len(model.outputs)} outputs ({names}), expected one",
            "Give keras.Model one output of shape [batch, width].",
        )
    loss, last = loss_of(model), _last(model)
    if loss.from_logits and last in _PROBABILITIES:
        raise MfxError(
            f"{_BUILD}: the network ends in a {last}, but its loss has from_logits=True",
            f"Remove one of them: the {last}, or from_logits.",
        )
    if loss.kind and not loss.from_logits and last == "linear":
        wanted = "sigmoid" if loss.kind == BINARY else "softmax"
        raise MfxError(
            f"{_BUILD}: the network's last layer has no activation, but its loss, a cross-entropy, "
            "takes probabilities",
            f"End the network in a {wanted}, or give the loss from_logits=True.",
        )


def _last(model: Any) -> str:
    """The name of the network's last activation or operation, in lower case, such as `sigmoid`."""
    operation = _private.last_operation(model)
    if isinstance(operation, keras.Model):
        return _last(operation)
    activation = getattr(operation, "activation", None)
    return getattr(activation, "__name__", type(operation).__name__).lower()
