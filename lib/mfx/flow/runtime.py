"""Connect the steps with Metaflow: class and step decorators, one message per error, the config."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

from metaflow import FlowMutator, config_expr, current, project, user_step_decorator
from metaflow.decorators import StepDecorator
from metaflow.exception import MetaflowException
from metaflow.metaflow_config import ARGO_EVENTS_WEBHOOK_URL as EVENTS_URL
from metaflow.packaging_sys import ContentType

from mfx import config
from mfx.artifacts import _private, metaflow_local, metaflow_s3, trial
from mfx.deploy import decorators
from mfx.environment import code_package
from mfx.errors import MfxError
from mfx.flow import cards, metaflow_config, resuming
from mfx.registry import liveness

if TYPE_CHECKING:
    from metaflow import FlowSpec
    from metaflow.user_decorators.mutable_flow import MutableFlow

Flow = TypeVar("Flow", bound="type[FlowSpec]")


class PipelineStopped(MetaflowException):
    """The form in which Metaflow shows an `MfxError`: a headline and the message, no traceback."""

    headline = "The pipeline stopped"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _keep_asterisks()


def _keep_asterisks() -> None:
    """Make Metaflow print the messages of a stopped pipeline unchanged.

    Metaflow takes `*` for the begin or end of bold text, and there is no way to escape it. This
    function does not import Metaflow's command line: if it were imported before the flow is
    defined, it would lack the flow's options.
    """
    cli = sys.modules.get("metaflow.cli")
    if cli is None:
        return

    def as_it_is(printed: Callable[[Exception], None]) -> Callable[[Exception], None]:
        def print_exception(error: Exception) -> None:
            if isinstance(error, PipelineStopped):
                cli.echo_always(f"{error.headline}:", indent=True, bold=True)
                cli.echo_always(error.message, indent=True, no_bold=True, padding_bottom=True)
            else:
                printed(error)

        return print_exception

    _private.put(cli, "print_metaflow_exception", as_it_is)


class TransientStop(PipelineStopped):
    """The same for an error that may pass: Metaflow tries the step again."""


@user_step_decorator
def one_message(
    step_name: str, flow: FlowSpec, inputs: Any, attributes: dict[str, Any]
) -> Iterator[None]:
    """Show an `MfxError` raised in a step as one message; keep libraries' warnings out of logs."""
    quiet()
    spare_the_garbage_collector()
    if current.retry_count and (said := _said_for_good(*_attempt_before())):
        raise PipelineStopped(said)
    if trial.is_trial():
        trial.merge_by_value(flow)
    else:
        liveness.join(flow.name, current.run_id)
    with _stopping():
        yield


@contextmanager
def _stopping() -> Iterator[None]:
    try:
        yield
    except MfxError as error:
        stopped = TransientStop if error.is_transient else PipelineStopped
        raise stopped(str(error)) from None


def retry_only_transient() -> None:
    """Keep Metaflow's scheduler from retrying a step that stopped with a `PipelineStopped`.

    If something else runs the steps, such as Argo, another attempt still starts. Then `one_message`
    ends it at once with the same message.
    """
    _private.around_retry(_retry_if_transient)


def _retry_if_transient(retry: Callable[..., None]) -> Callable[..., None]:
    from metaflow.runtime import TaskFailed

    def retry_worker(self: Any, worker: Any) -> None:
        task = worker.task
        attempt = (task.run_id, task.step, task.task_id, task.retries)
        if _said_for_good(_private.datastore_of(self), *attempt):
            raise TaskFailed(task, "not tried again, since it would fail in the same way")
        retry(self, worker)

    return retry_worker


def _attempt_before() -> tuple[Any, str, str, str, int]:
    """The datastore, and the previous attempt of the running task: run, step, task, number."""
    from metaflow.datastore import FlowDataStore

    store = FlowDataStore(current.flow_name, None, storage_impl=FlowDataStore.default_storage_impl)
    return store, current.run_id, current.step_name, current.task_id, current.retry_count - 1


def _said_for_good(store: Any, run: str, step: str, task: str, attempt: int) -> str:
    """The message with which an attempt stopped, if its error cannot pass; otherwise ''."""
    try:
        left = store.get_task_datastore(run, step, task, attempt=attempt, allow_not_done=True)
        error = left["_exception"]
    except Exception:  # There is no error (the attempt was killed), or the datastore fails.
        return ""
    if error is None:  # It had done its work when it was killed.
        return ""
    stopped = f"{PipelineStopped.__module__}.{PipelineStopped.__name__}"
    return error.exception if error.type == stopped else ""


class Launched(StepDecorator):
    """Extra work of the process that schedules a run's steps. Metaflow calls the methods there."""

    name = "mfx_launched"

    def runtime_init(self, flow: FlowSpec, graph: Any, package: Any, run_id: str) -> None:
        """Called when the run has its id and begins."""
        self._run = flow.name, str(run_id)
        liveness.hold(*self._run, report=partial(print, flush=True))
        resuming.count_as_latest(*self._run)

    def runtime_finished(self, exception: BaseException | None) -> None:
        """Called when the run has ended, by itself or by Ctrl-C."""
        if not isinstance(exception, KeyboardInterrupt):
            liveness.end(*self._run, failed=exception is not None)


def project_if_deployed(flow: Flow) -> Flow:
    """Add `@project` for commands that deploy and for deployed runs: these have branches.

    A plain run has no branch: it pushes under the pipeline's own name. This is not part of
    `mfx_steps`, since Metaflow reads the options of `@project` before `mfx_steps` can change the
    flow.
    """
    if not decorators.is_deployed(sys.argv[1:], os.environ):
        return flow
    return project(name=config_expr("config.deploy.project"))(flow)


class mfx_steps(FlowMutator):  # noqa: N801 (a decorator's name)
    """Class decorator for a flow whose steps call this library. It also applies `[deploy]`."""

    _settings: config.Settings | None = None
    _platform: str | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Not later: `resume` reads the run that it resumes before any flow is mutated.
        metaflow_s3.limit_time()
        metaflow_local.look_beside_records()
        resuming.split_option(sys.argv)
        resuming.refuse_unknown(PipelineStopped)
        retry_only_transient()

    def pre_mutate(self, mutable_flow: MutableFlow) -> None:
        """Add the flow decorators that `[deploy]` asks for."""
        self._settings = _settings_of(mutable_flow)
        self._platform = decorators.platform(sys.argv[1:], os.environ)
        if self._settings is None:
            return
        given = self._settings.deploy
        # Not later: decorators of `--with` are already on the steps when `mutate` is called.
        for decorator in decorators.remote_steps(given, sys.argv[1:]):
            for _, step in mutable_flow.steps:
                step.add_decorator(decorator, duplicates=step.IGNORE)
        with _stopping():
            if self._platform and decorators.is_creating(sys.argv[1:]):
                decorators.check(self._settings, self._platform)
                options = decorators.create_options(given, self._platform, bool(EVENTS_URL))
                for name, value in options.items():
                    os.environ.setdefault(name, value)
            for name, arguments in decorators.flow_decorators(given, self._platform):
                mutable_flow.add_decorator(name, deco_kwargs=arguments)

    def mutate(self, mutable_flow: MutableFlow) -> None:
        """Put `one_message` around every step, and the decorators of `[deploy]` if deployed."""
        cards.keep_beside_runs()
        cards.draw_only_what_is_seen()
        self._prepare_launch(mutable_flow)
        for step_name, step in mutable_flow.steps:
            step.add_decorator(one_message, duplicates=step.IGNORE)
            if self._settings is None or self._platform is None:
                continue
            for name, arguments in decorators.step_decorators(
                self._settings.deploy, self._platform, step_name
            ):
                step.add_decorator(name, deco_kwargs=arguments, duplicates=step.IGNORE)

    def _prepare_launch(self, mutable_flow: MutableFlow) -> None:
        """Prepare a `run`, `resume` or `spin` that begins on this machine."""
        called = _private.current_command()
        name = called.info_name if called else ""
        if name == "spin":
            _private.count_no_run_as_latest()
        if name == "resume":
            with _stopping():
                resuming.prepare(called.obj.flow.name, called.params, called.obj.metadata)
        if name in ("run", "resume") and code_package() is None:
            _, step = next(iter(mutable_flow.steps))
            # Metaflow takes decorators in this form; it looks up its own decorators by name.
            step.add_decorator(partial(StepDecorator, Launched))

    def add_to_package(self) -> Iterator[tuple[str, str, ContentType]]:
        """Yield the files that the config names, for the code package."""
        if self._settings is None:
            return
        try:
            found = list(decorators.files(self._settings, Path(sys.argv[0]).resolve().parent))
        except MfxError as error:
            raise PipelineStopped(str(error)) from None
        for path, name in found:
            yield path, name, ContentType.USER_CONTENT


def _settings_of(mutable_flow: MutableFlow) -> config.Settings | None:
    found = dict(mutable_flow.configs).get("config")
    return None if found is None else config.from_dict(found.to_dict(), where="config")


def run_body(step: MethodType, *inputs: Any) -> None:
    """Run the body of a step without its `self.next`, inside a step that overrides it.

    Args:
        step: The overridden step, such as `super().validate`.
        inputs: The inputs, if it is a join.
    """
    flow: Any = step.__self__
    flow.next = lambda *_, **__: None
    try:
        step(*inputs)
    finally:
        del flow.next


def spare_the_garbage_collector() -> None:
    """Collect garbage rarely in this process, and not at its end.

    Importing TensorFlow creates some hundred thousand objects that stay. To look through them again
    and again takes a fifth of the import's time, and 0.7 to 1.2 s more at exit, in each step.
    Objects that are not part of cycles are still freed at once.
    """
    gc.set_threshold(100_000, 50, 100)
    atexit.register(gc.freeze)


def parser() -> Callable[[str], dict[str, Any]]:
    """Make a parser for `metaflow.Config` that knows which file it reads.

    Messages name the file, and relative paths start at its folder. If the config's text was given
    directly (`--config-value`, `Runner(config_value=…)`), paths start at the current folder.
    """
    metaflow_config.note_files()

    def parse(text: str) -> dict[str, Any]:
        with _stopping():
            return config.parse(text, metaflow_config.path_of(text)).to_dict()

    return parse


def quiet() -> None:
    """Keep messages that libraries print at import (optional parts, CPU features) out of logs."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="tensorflow_model_analysis")
    for name in ("", "tensorflow"):
        logging.getLogger(name or None).setLevel(logging.ERROR)
