"""Where trials run, one executor per file. Which trials, and in what order, the conductor (``run``) decides.

Importing this fills the registry and imports neither torch nor pydantic.
"""

from bench.execute import inline, local, ray
from bench.execute.jobs import Engage, Event, Executor, Job, Listener, Place, Terms

__all__ = ["Engage", "Event", "Executor", "Job", "Listener", "Place", "Terms", "inline", "local", "ray"]
