"""Trials on Ray, on a cluster that is there or on one of this machine's own. Needs ``bench[ray]``.

On CPUs a trial is a task, in whichever process Ray has free. A process keeps the GPU that torch saw first
in it, but its next task may be granted another: so on GPUs a trial is a call to an actor, which is granted
a GPU, or a share of one, for its life. Either does what a local worker does with one job, and is kept, so
that imports, images and models are paid once each. News comes back through a mailbox, an actor beside the
conductor, through which tasks also hear that they are to stop. Ray retries nothing by itself: a lost node
is a killed trial here as anywhere, also where Ray never says so.
"""

from __future__ import annotations

import math
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.errors import UserError, raise_stop
from bench.execute.actors import Actors
from bench.execute.jobs import Engage, Event, Executor, Job, Listener, Place, Terms, spent
from bench.execute.nodes import Nodes
from bench.folders import check_open
from bench.registry import executors

LOOKS_S = 0.5
"""Seconds between looks at the mailbox."""
ALIVE_S = 5.0
"""Seconds between a task's looks at whether its conductor lives and waits for it."""
TOKEN = ".ray-check"
"""Begins the name of a file of the results folder that every node must be able to read while a run starts."""


@executors.register("ray", where="a cluster", needs="ray", elsewhere=True)
def ray() -> Engage:
    """Tasks of a Ray cluster, one that is there (``--address``) or one of this machine's own."""

    def engage(terms: Terms, jobs: Sequence[Job], before: Executor | None) -> Executor:
        cluster = Cluster(terms.machine.address, terms.machine.workers)
        return before or Ray(cluster, terms.place, terms.timeout_s)

    return engage


@dataclass(frozen=True)
class Cluster:
    """What was asked for."""

    address: str = ""
    """``auto`` or ``HOST:6379`` of a cluster that is there; empty: start one here."""
    workers: int = 0
    """Trials at once, sharing GPUs where these are fewer; 0: one per GPU, or one per core."""


class Ray:
    """An executor whose workers Ray places; connects at once."""

    def __init__(self, cluster: Cluster, place: Place, timeout_s: float | None = None) -> None:
        """Raises UserError when Ray is not installed or not there, or a node does not see the results."""
        self._cluster, self._timeout_s, self._stopping = cluster, timeout_s, False
        self._ray = _connect(cluster)
        self._place = replace(place, device=self._device(place))
        # max_calls: else Ray ends a process after its first GPU task
        self._work = self._ray.remote(max_retries=0, max_calls=0)(_task)
        self._mailbox = self._open_mailbox()
        self._check_nodes()
        self._actors = Actors(self._ray, GpuWorker) if self._place.device != "cpu" else None
        self._nodes = Nodes(self._ray)
        self._running: dict[Any, Job] = {}
        self._keys: dict[Any, str] = {}
        """Running task → its name, of its trial and its number among all that were submitted."""
        self._submitted = 0
        self._since: dict[str, float] = {}
        """Trial → when it began, on the monotonic clock."""

    @property
    def workers(self) -> int:
        """How many trials of one thread run at once, as far as is known: a cluster may grow."""
        kind = "CPU" if self._place.device == "cpu" else "GPU"
        return self._cluster.workers or max(1, int(self._ray.cluster_resources().get(kind, 1)))

    def run(self, jobs: Sequence[Job], listen: Listener) -> Iterator[Event]:
        """Yield the last event of each job, in the order they end."""
        waiting = list(reversed(jobs))
        if self._actors and any(job.alone for job in jobs):
            self._actors.dismiss()  # the others hold memory
        while self._running or (waiting and not self._stopping):
            # an actor that waits for room would keep its job from those that have some
            most = self._cluster.workers or (self.workers if self._actors else len(jobs))
            while waiting and len(self._running) < most and not self._stopping:
                job = waiting.pop()
                self._begin(job)
            ready, _ = self._ray.wait(list(self._running), timeout=LOOKS_S)
            self._read_mailbox(listen)
            for ref in ready:
                job = self._over(ref)
                event = self._end(ref, job)
                if self._actors:
                    self._actors.free(ref, keep=event is not None and self._lives_on(event))
                if event is not None:
                    yield event
            for line in self._nodes.look():
                listen(Event("note", "", "", 0, line))
            yield from self._give_up_lost()
            waiting += self._take_back_stuck()
            if self._actors and not waiting and not self._all_begun():
                self._actors.dismiss()  # one that waits for room may want what they hold
            self._cancel_overdue()

    def _begin(self, job: Job) -> None:
        self._submitted += 1
        key = f"{job.run.trial.id} {self._submitted}"
        ref = self._submit(job, key)
        self._running[ref], self._keys[ref] = job, key
        self._nodes.told(key)

    def _over(self, ref: Any) -> Job:
        self._nodes.ended(self._keys.pop(ref))
        return self._running.pop(ref)

    def _drop(self, ref: Any) -> Job:
        """Wait no longer for a task; should it be alive after all, it ends without a record."""
        self._mailbox.drop.remote(self._keys[ref])
        if self._actors:
            self._actors.free(ref, keep=False)
        else:
            self._ray.cancel(ref, force=True)
        return self._over(ref)

    def _give_up_lost(self) -> Iterator[Event]:
        """The last events of jobs whose node is gone, where Ray does not say that they ended."""
        from bench.execute.records import write_failure

        lost = self._nodes.lost(self._keys.values())
        for ref in [ref for ref, key in self._keys.items() if key in lost]:
            job = self._drop(ref)
            self._since.pop(job.run.trial.id, None)
            yield write_failure(job, self._place, "killed", "its node was lost")

    def _take_back_stuck(self) -> list[Job]:
        """Jobs to be told again: a node that was lost may have kept them."""
        stuck = self._nodes.stuck(self._keys.values(), self.workers)
        return [self._drop(ref) for ref in [ref for ref, key in self._keys.items() if key in stuck]]

    def stop(self) -> None:
        """Begin no further job; tell the tasks, which end at their next checkpoint."""
        self._stopping = True
        self._mailbox.stop.remote()
        for ref, job in self._running.items():
            if job.run.trial.id not in self._since:  # still waits for room
                self._ray.cancel(ref)

    def close(self) -> None:
        """Leave the cluster, which ends this run's tasks; one that was started here ends."""
        self._ray.shutdown()

    def _all_begun(self) -> bool:
        return all(job.run.trial.id in self._since for job in self._running.values())

    def _lives_on(self, event: Event) -> bool:
        """Whether the actor that a job ended in so takes another."""
        return event.cause not in ("killed", "timeout") and not spent(event, self._place)

    def _device(self, place: Place) -> str:
        """The cluster's, not the conductor's, which may have no GPU."""
        gpus = self._ray.cluster_resources().get("GPU", 0)
        return "cuda" if place.device != "cpu" and gpus else "cpu"

    def _open_mailbox(self) -> Any:
        """Beside the conductor, so that no lost node takes it away."""
        here = str(self._ray.get_runtime_context().get_node_id())
        return self._ray.remote(num_cpus=0)(Mailbox).options(scheduling_strategy=self._on(here)).remote()

    def _on(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node, soft=False)

    def _submit(self, job: Job, key: str) -> Any:
        if self._actors is None:
            task = self._work.options(num_cpus=job.run.trial.recipe.cpu_threads)
            return task.remote(job, self._place, self._mailbox, key)
        gpus = max(1, int(self._ray.cluster_resources()["GPU"]))
        # equal shares that fill a GPU: 3 workers on 2 GPUs take halves, two thirds would leave one without
        share = 1.0 if job.alone else 1 / math.ceil(self.workers / gpus)
        return self._actors.call(share, job, self._place, self._mailbox, key)

    def _read_mailbox(self, listen: Listener) -> None:
        letters, begun = self._ray.get(self._mailbox.take.remote())
        for key, node in begun.items():
            self._nodes.began(key, node)
        for event in letters:
            if event.kind == "started":
                self._since[event.trial] = time.monotonic()
            listen(event)

    def _end(self, ref: Any, job: Job) -> Event | None:
        """The last event of a job; None for one that was taken back before it began."""
        from ray import exceptions

        from bench.execute.records import write_failure

        begun = self._since.pop(job.run.trial.id, None)
        try:
            event = self._ray.get(ref)
            assert isinstance(event, Event)
            return event
        except exceptions.RayError as error:
            if self._overdue(begun):
                message = f"took longer than {self._timeout_s:g} s (--timeout)"
                return write_failure(job, self._place, "timeout", message)
            if isinstance(error, exceptions.TaskCancelledError):
                return None
            return write_failure(job, self._place, *_why(error))

    def _overdue(self, begun: float | None) -> bool:
        limit = self._timeout_s
        return limit is not None and begun is not None and time.monotonic() - begun > limit

    def _cancel_overdue(self) -> None:
        for ref, job in self._running.items():
            if not self._overdue(self._since.get(job.run.trial.id)):
                continue
            if self._actors:
                self._actors.kill(ref)
            else:
                self._ray.cancel(ref, force=True)  # its process ends; Ray starts another

    def _check_nodes(self) -> None:
        """Raise UserError when a node has another results folder, no bench, or cannot write its cache."""
        token = secrets.token_hex(8)
        file = self._place.results / f"{TOKEN}-{token}"  # other runs may be checking theirs
        file.write_text(token)
        look = self._ray.remote(num_cpus=0, max_retries=0)(_look)
        asked = {
            node["NodeManagerHostname"]: look.options(scheduling_strategy=self._on(node["NodeID"])).remote(
                self._place, token
            )
            for node in self._ray.nodes()
            if node["Alive"]
        }
        try:
            answers = {name: self._answer(ref) for name, ref in asked.items()}
            problems = [f"  {name}: {problem}" for name, problem in answers.items() if problem]
        finally:
            file.unlink(missing_ok=True)
        if problems:
            raise UserError(
                f"not every node of the Ray cluster can work in {self._place.results}:\n"
                + "\n".join(problems)
                + "\n    put the results folder on storage that all nodes share (docs/cluster.md)"
            )

    def _answer(self, ref: Any) -> str:
        from ray import exceptions

        try:
            return str(self._ray.get(ref, timeout=120))
        except exceptions.GetTimeoutError:
            return "does not answer within two minutes; Ray's logs, in /tmp/ray there, may say why"
        except exceptions.RayError as error:
            return (
                f"bench does not run there ({type(error).__name__}); install the same version on every node"
            )


class GpuWorker:
    """A process that Ray has granted a GPU, or a share of one, and that sees no other."""

    def work(self, job: Job, place: Place, mailbox: Any, key: str) -> Event | None:
        """One job, from start to record."""
        return _task(job, place, mailbox, key)


class Mailbox:
    """News of tasks until the conductor takes it, and whether they are to stop."""

    def __init__(self) -> None:
        self._letters: list[Event] = []
        self._begun: dict[str, str] = {}
        self._dropped: set[str] = set()
        self._stopping = False

    def put(self, event: Event) -> None:
        """Leave news."""
        self._letters.append(event)

    def begin(self, key: str, node: str) -> bool:
        """A task begins on a node; whether it is still waited for."""
        self._begun[key] = node
        return key not in self._dropped

    def take(self) -> tuple[list[Event], dict[str, str]]:
        """All news since the last time, in order; and of tasks that began, where."""
        taken, self._letters, self._begun = (self._letters, self._begun), [], {}
        return taken

    def drop(self, key: str) -> None:
        """Nobody waits for a task any more: its trial runs again elsewhere."""
        self._dropped.add(key)

    def is_dropped(self, key: str) -> bool:
        """Whether nobody does."""
        return key in self._dropped

    def stop(self) -> None:
        """From now on, tasks are to end at their next checkpoint."""
        self._stopping = True

    def stopping(self) -> bool:
        """Whether they are."""
        return self._stopping


def _connect(cluster: Cluster) -> Any:
    """The ``ray`` module, connected. Raises UserError when it is not installed, or no cluster answers."""
    # Under `uv run` Ray would start uv in every worker and upload the whole folder.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "--executor ray needs Ray, which is not installed\n"
            "    uv sync --extra ray, or pip install 'bench-ablations[ray]'"
        ) from None
    _keep_quiet()
    own: dict[str, Any] = {"include_dashboard": False, "num_cpus": cluster.workers or None}
    how = {"address": cluster.address} if cluster.address else own
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**how, log_to_driver=False, logging_level="ERROR")  # type: ignore[arg-type]
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise UserError(
            f'no Ray cluster at --address "{cluster.address}": {first}\n'
            "    ray status shows a cluster that runs; without --address one is started here"
        ) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own would end the conductor at once
    return ray


def _keep_quiet() -> None:
    """Keep what raylets say of lost nodes off stdout, where results go; Ray's own logs have it all."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):  # no setting turns it off, log_to_driver neither
        worker.print_to_stdstream = lambda *given, **named: None


def _look(place: Place, token: str) -> str:
    """On a node: what keeps it from working for this conductor, or nothing."""

    file = place.results / f"{TOKEN}-{token}"
    try:
        if file.read_text() != token:
            return f"{file} holds something else than the conductor wrote"
    except OSError as error:
        return f"does not see {file} ({error.strerror})"
    for folder in (place.results, place.cache):
        try:
            check_open(folder)
        except OSError:
            return f"cannot write to {folder}"
    return ""


def _task(job: Job, place: Place, mailbox: Any, key: str) -> Event | None:
    """On a node: one job, from start to record; None where its conductor has given it up meanwhile."""
    import ray

    from bench.execute.work import work

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, raise_stop)  # so does Ray where it cancels a task
    if not ray.get(mailbox.begin.remote(key, ray.get_runtime_context().get_node_id())):
        return None
    _watch(mailbox, key)
    return work(
        job,
        place,
        lambda event: mailbox.put.remote(event),
        lambda: bool(ray.get(mailbox.stopping.remote())),
    )


_watched: list[tuple[Any, str]] = []


def _watch(mailbox: Any, key: str) -> None:
    """End this process when nobody waits for its task, so that no other meets it at the same trial."""
    _watched.append((mailbox, key))
    if len(_watched) > 1:
        del _watched[0]
        return

    def watch() -> None:
        import ray

        while True:
            time.sleep(ALIVE_S)
            letters, task = _watched[-1]
            try:
                unwanted = ray.get(letters.is_dropped.remote(task), timeout=60)
            except Exception:  # whatever it is, nobody hears of this task any more
                unwanted = True
            if unwanted:
                os._exit(1)

    threading.Thread(target=watch, daemon=True, name="bench-watch").start()


def _why(error: Exception) -> tuple[Literal["oom", "killed", "error"], str]:
    """Cause and message of a task that Ray ended."""
    from ray import exceptions

    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if isinstance(error, exceptions.OutOfMemoryError):
        return "oom", first
    if isinstance(error, exceptions.RayTaskError):
        return "error", first
    return "killed", f"its Ray worker was lost ({type(error).__name__}: {first})"
