"""What MFX takes of Metaflow beside its public API, and where it steps in.

Metaflow's plugin tables (`metaflow_extensions`) were tried: they are found from a checkout and
travel in the code package. But they replace whole classes, for all flows of an environment, at
`import metaflow`; and if MFX cannot be imported there, Metaflow ignores every plugin. Why a table
does not do stands with each place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

CHECKED = {"metaflow": ("2.19.39",)}

Make = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Makes of Metaflow's own function the one to put in its place."""


def put(owner: Any, name: str, make: Make) -> None:
    """Put what `make` makes of `owner.name` in its place, once however often it is asked."""
    found = inspect.getattr_static(owner, name)
    kind = type(found) if isinstance(found, (classmethod, staticmethod)) else None
    original = found.__func__ if kind else found
    if hasattr(original, "_of_mfx"):
        return
    made = make(original)
    made._of_mfx = True  # type: ignore[attr-defined]
    setattr(owner, name, kind(made) if kind else made)


def around_s3(one: Make, many: Make, wait: Make) -> None:
    """One request of `S3`, a process of them, and the wait before they are tried again.

    No DATASTORES_DESC: each method of `S3Storage` makes an `S3` by that name, so that a class of
    our own would be a copy of them all; and `metaflow.S3` would stay as it is.
    """
    from metaflow.plugins.datatools.s3.s3 import S3

    put(S3, "_one_boto_op", one)
    put(S3, "_s3op_with_retries", many)
    put(S3, "_jitter_sleep", wait)


def s3_root(operation: Any) -> str:
    """The folder that an `S3` works in; '' if none was given."""
    return operation._s3root or ""


def s3_endpoint(operation: Any) -> str:
    """The address that an `S3` asks."""
    return operation._s3_client.client.meta.endpoint_url


def around_local_records(make: Make) -> None:
    """How a record is read: a class method of a file's path.

    No METADATA_PROVIDERS_DESC: where there is no setting the client takes this class by its name,
    and trials' records are read by a subclass of it.
    """
    from metaflow.plugins.metadata_providers.local import LocalMetadataProvider

    put(LocalMetadataProvider, "_read_json_file", make)


def local_place(provider: Any) -> tuple[str | None, Any]:
    """The folder of a class of local records, and the class of storage beside it."""
    return provider._make_path(create_on_absent=False), provider._get_storage_class()


def around_card_root(make: Make) -> None:
    """Where cards of a storage lie: a class method of the storage's type. No table has it."""
    from metaflow.plugins.cards.card_datastore import CardDatastore

    put(CardDatastore, "get_storage_root", make)


def around_retry(make: Make) -> None:
    """How the scheduler tries a step again, of a worker. No table has the scheduler."""
    from metaflow.runtime import NativeRuntime

    put(NativeRuntime, "_retry_worker", make)


def datastore_of(scheduler: Any) -> Any:
    """The flow's datastore, of the scheduler of its run."""
    return scheduler._flow_datastore


def around_tasks_of_run(make: Make) -> None:
    """How the results of a run's steps are opened, by `resume` among others. No table has it."""
    from metaflow.datastore import TaskDataStoreSet

    put(TaskDataStoreSet, "__init__", make)


def count_no_run_as_latest() -> None:
    """From now on in this process. No table has Metaflow's own commands."""
    from metaflow.cli_components import run_cmds

    run_cmds.write_latest_run_id = lambda *_: None


def around_config_files(convert: Make, process: Make) -> None:
    """How a `Config`'s file is read, and both its options looked at. No table has these."""
    from metaflow.user_configs.config_options import ConfigInput, ConvertPath

    put(ConvertPath, "convert_value", convert)
    put(ConfigInput, "process_configs", process)


def config_marks() -> tuple[str, str]:
    """What Metaflow puts before the text of a config: always, and of a default besides."""
    from metaflow.user_configs import config_options

    return config_options._CONVERT_PREFIX, config_options._DEFAULT_PREFIX


def is_config_complete(option: Any) -> bool:
    """Whether a config's option has been given its files and its values, and so parses them."""
    return option._path_values is not None and option._value_values is not None


def current_command() -> Any:
    """Metaflow's command that this process carries out, as click's context, or None."""
    from metaflow._vendor import click

    return click.get_current_context(silent=True)


def around_merge(flow: Any, make: Make) -> None:
    """A flow's `merge_artifacts`: public, but the class is the user's."""
    put(type(flow), "merge_artifacts", make)


def stored_names(flow: Any) -> set[str]:
    """The names of what the running or an earlier step of a flow has in its datastore."""
    return {name for name, _ in flow._datastore.items()}


def record(thing: Any) -> dict[str, Any]:
    """What the metadata says of a run, task or artifact of Metaflow's client."""
    return getattr(thing, "_object", {})
