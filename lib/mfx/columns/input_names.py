"""The names of a signature's inputs. For clients they are the column names ("titles").

In TensorFlow a signature is a Python function. Its arguments cannot be called `class` or `a/b`, and
cannot differ by case alone. In the SignatureDef, which servers use, an input may have any name. So
the SignatureDef has the titles, and an argument gets another name where its title is not allowed.
"""

from __future__ import annotations

import itertools
import keyword
import re
from collections.abc import Iterable, Mapping
from pathlib import Path


def arguments(titles: Iterable[str]) -> dict[str, str]:
    """A name for each title that a tf.function's argument can have: if possible, the title."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for title in sorted(titles, key=lambda title: (not _is_argument(title), title)):
        name = title if _is_argument(title) else _like(title)
        names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
        found[title] = next(each for each in names if each.lower() not in taken)
        taken.add(found[title].lower())
    return found


def put_titles(model: Path, signature: str, names: Mapping[str, str]) -> None:
    """Rename a signature's inputs in a SavedModel to their titles.

    Args:
        model: The SavedModel's folder.
        signature: The signature's name.
        names: The name of the function's argument, by title.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = model / "saved_model.pb"
    saved = SavedModel.FromString(path.read_bytes())
    for meta in saved.meta_graphs:
        inputs = meta.signature_def[signature].inputs
        given = {
            title: type(inputs[name]).FromString(inputs[name].SerializeToString())
            for title, name in names.items()
        }
        inputs.clear()
        for title, info in given.items():
            inputs[title].CopyFrom(info)
    path.write_bytes(saved.SerializeToString(deterministic=True))


def read(model: Path, signature: str = "predict") -> dict[str, str]:
    """Read the argument of each input, by title, from a SavedModel that MFX exported.

    These are the arguments of `tf.saved_model.load(model).signatures[signature]`.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel.FromString((model / "saved_model.pb").read_bytes())
    inputs = saved.meta_graphs[0].signature_def[signature].inputs
    # TensorFlow names the tensor after the signature and the argument.
    return {
        title: info.name.removeprefix(f"{signature}_").removesuffix(":0")
        for title, info in inputs.items()
    }


def _is_argument(title: str) -> bool:
    usual = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", title)
    return bool(usual) and not keyword.iskeyword(title) and title != "self"


def _like(title: str) -> str:
    """The name that TensorFlow itself makes from a title, if that is allowed."""
    name = re.sub(r"[^a-z0-9]", "_", title.lower())
    return name if name[0].isalpha() and _is_argument(name) else f"arg_{name}"
