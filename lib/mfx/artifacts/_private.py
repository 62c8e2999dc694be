"""The private parts of Metaflow that MFX uses, and the places where it changes Metaflow.

Metaflow's plugin tables (`metaflow_extensions`) were tried instead. They work from a checkout and
in the code package. But they replace whole classes, for all flows of an environment, at
`import metaflow`; and if MFX cannot be imported at that time, Metaflow ignores all plugins. Each
function below says why a table is not enough for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

CHECKED = {"metaflow": ("2.19.39",)}

Make = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Takes Metaflow's function and returns the one that replaces it."""


def put(owner: Any, name: str, make: Make) -> None:
    """Replace `owner.name` by `make` of it. Further calls for the same name change nothing."""
    found = inspect.getattr_static(owner, name)
    kind = type(found) if isinstance(found, (classmethod, staticmethod)) else None
    original = found.__func__ if kind else found
    if hasattr(original, "_of_mfx"):
        return
    made = make(original)
    made._of_mfx = True  # type: ignore[attr-defined]
    setattr(owner, name, kind(made) if kind else made)


def around_s3(one: Make, many: Make, wait: Make) -> None:
    """Replace three parts of `S3`.

    A table (DATASTORES_DESC) is not enough: each method of `S3Storage` creates an `S3` by name, so
    our own class would have to copy all of them; and it would not change `metaflow.S3`.

    Args:
        one: For a single request.
        many: For a process that makes many requests.
        wait: For the wait before requests are tried again.
    """
    from metaflow.plugins.datatools.s3.s3 import S3

    put(S3, "_one_boto_op", one)
    put(S3, "_s3op_with_retries", many)
    put(S3, "_jitter_sleep", wait)


def s3_root(operation: Any) -> str:
    """The folder in which an `S3` works; '' if none was given."""
    return operation._s3root or ""


def s3_endpoint(operation: Any) -> str:
    """The address to which an `S3` sends requests."""
    return operation._s3_client.client.meta.endpoint_url


def around_local_records(make: Make) -> None:
    """Replace how a local record is read: a class method that takes a file's path.

    A table (METADATA_PROVIDERS_DESC) is not enough: without a setting the client uses this class by
    its name, and a subclass of it reads the records of trials.
    """
    from metaflow.plugins.metadata_providers.local import LocalMetadataProvider

    put(LocalMetadataProvider, "_read_json_file", make)


def local_place(provider: Any) -> tuple[str | None, Any]:
    """The folder of a local metadata provider, and the class of the storage beside it."""
    return provider._make_path(create_on_absent=False), provider._get_storage_class()


def around_card_root(make: Make) -> None:
    """Replace where cards of a storage are: a method that takes the storage's type. No table."""
    from metaflow.plugins.cards.card_datastore import CardDatastore

    put(CardDatastore, "get_storage_root", make)


def around_card_drawing(make: Make) -> None:
    """How a card is drawn, in a process of its own: of the running step's maker of cards, and by
    keyword what card. No table has it."""
    from metaflow.plugins.cards.card_creator import CardCreator

    put(CardCreator, "create", make)


def is_empty_card(card: str) -> bool:
    """Whether nothing was put on the running step's card of this id."""
    from metaflow import current

    return not current.card._serialize_components(card)  # type: ignore[attr-defined]


def around_retry(make: Make) -> None:
    """Replace how the scheduler retries a worker's step. There is no table for the scheduler."""
    from metaflow.runtime import NativeRuntime

    put(NativeRuntime, "_retry_worker", make)


def datastore_of(scheduler: Any) -> Any:
    """The flow's datastore, from the scheduler of the run."""
    return scheduler._flow_datastore


def around_tasks_of_run(make: Make) -> None:
    """Replace how the results of a run's steps are opened, for example by `resume`. No table."""
    from metaflow.datastore import TaskDataStoreSet

    put(TaskDataStoreSet, "__init__", make)


def count_no_run_as_latest() -> None:
    """From now on this process does not record its run as the latest. No table for commands."""
    from metaflow.cli_components import run_cmds

    run_cmds.write_latest_run_id = lambda *_: None


def around_config_files(convert: Make, process: Make) -> None:
    """Replace how a `Config`'s file is read (`convert`) and its options are processed. No table."""
    from metaflow.user_configs.config_options import ConfigInput, ConvertPath

    put(ConvertPath, "convert_value", convert)
    put(ConfigInput, "process_configs", process)


def config_marks() -> tuple[str, str]:
    """The two prefixes that Metaflow puts before a config's text: always, and for a default too."""
    from metaflow.user_configs import config_options

    return config_options._CONVERT_PREFIX, config_options._DEFAULT_PREFIX


def is_config_complete(option: Any) -> bool:
    """Whether a config's option has both its files and its values, so that it parses them."""
    return option._path_values is not None and option._value_values is not None


def current_command() -> Any:
    """The Metaflow command that this process runs, as click's context; or None."""
    from metaflow._vendor import click

    return click.get_current_context(silent=True)


def around_merge(flow: Any, make: Make) -> None:
    """Replace a flow's `merge_artifacts`. It is public, but the class is the user's."""
    put(type(flow), "merge_artifacts", make)


def stored_names(flow: Any) -> set[str]:
    """The names of a task's artifacts in the datastore, of the running or of an earlier step."""
    return {name for name, _ in flow._datastore.items()}


def record(thing: Any) -> dict[str, Any]:
    """The metadata of a run, task or artifact of Metaflow's client."""
    return getattr(thing, "_object", {})
