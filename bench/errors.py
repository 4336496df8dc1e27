"""The one exception a person sees without a traceback, and the wording of mistakes."""

from __future__ import annotations

import datetime
import difflib
import json
import signal
import threading
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

MOST_LINE = 400
"""Characters of somebody else's error that are told in a line."""


class UserError(Exception):
    """Something the person must fix; printed as it is, exit code 2. Anything else is our bug."""


class StopAsked(KeyboardInterrupt):
    """A signal asked this process to end, by Ctrl-C or else; code of a component raises no such thing."""


def raise_stop(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal that asks for the end."""
    raise StopAsked


def is_stop(error: BaseException) -> bool:
    """Whether a signal asks for the end. Where Python's own handler is in place nobody can tell: it may."""
    unknown = threading.current_thread() is threading.main_thread()
    unknown = unknown and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, KeyboardInterrupt if unknown else StopAsked)


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in a file: where it stands, what was found there, what to do about it."""

    path: str
    """Key path as a person finds it, for example ``[arms.ra-cutmix] augment[1]``."""
    found: str
    """The offending value as written (shortened), or empty when a key is missing."""
    problem: str
    """What is wrong and what is allowed, one line."""

    def __str__(self) -> str:
        found = f" = {self.found}" if self.found else ""
        return f"  {printable(self.path + found)}\n    {printable(self.problem)}"


def printable(line: str) -> str:
    """``line`` with control characters escaped, those that turn text round too: no text steers a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def shown(text: object, *, as_json: bool = False) -> str:
    """What is about to be printed, with all escaped that steers a terminal, but for ends of lines.

    as_json   it is JSON, and stays so
    """
    lines = (str(text) if as_json else str(text).expandtabs()).split("\n")
    return "\n".join(
        line if line.isprintable() else "".join(_shown(c, as_json) for c in line) for line in lines
    )


def _shown(character: str, as_json: bool) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":  # a space, of whatever width
        return character
    return json.dumps(character)[1:-1] if as_json else character.encode("unicode_escape").decode()


def told_by(text: str, most: int) -> str:
    """A text of somebody else's, its lines ``printable``; of more than ``most`` characters, begin and end."""
    if len(text) > most:
        text = f"{text[: most // 2]}\n… {len(text) - most // 2 * 2} characters …\n{text[-(most // 2) :]}"
    return "\n".join(map(printable, text.expandtabs().split("\n")))


def words_of(error: BaseException) -> str:
    """What an error says, and its kind where that is nothing; somebody else's may fail to say it."""
    try:
        return str(error) or type(error).__name__
    except BaseException as another:  # of a class that is somebody else's
        if is_stop(another):
            raise
        return f"{type(error).__name__}, which cannot be told: its text raises {type(another).__name__}"


def line_of(error: BaseException) -> str:
    """One line of an error of somebody else's code: its kind and its text, which steers no terminal."""
    line = words_of(error).partition("\n")[0]
    kind = type(error).__name__
    return told_by(line if line.startswith(kind) else f"{kind}: {line}", MOST_LINE)


def mistakes_error(file: str, mistakes: Iterable[Mistake]) -> UserError:
    """All mistakes of one file as one error, in the order given, duplicates once."""
    unique = list(dict.fromkeys(mistakes))
    count = "a mistake" if len(unique) == 1 else f"{len(unique)} mistakes"
    return UserError(f"{file} has {count}\n\n" + "\n".join(map(str, unique)))


def did_you_mean(word: str, known: Iterable[str], limit: int = 12) -> str:
    """``did you mean "x"?`` when something is near, else the list of what is known."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    if not names:
        return "nothing is allowed here"
    shown = ", ".join(names[:limit])
    return f"known: {shown}" + (f", … ({len(names)} in all)" if len(names) > limit else "")


def shorten(value: object, width: int = 60) -> str:
    """A value as TOML writes it, cut to ``width`` characters."""
    return cut(_toml(value), width)


def cut(text: str, width: int = 60) -> str:
    """A text as it is, cut to ``width`` characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return repr(value)
