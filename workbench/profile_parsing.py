"""Strict reading of one TOML profile: every failure names the file, the key and what is allowed."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from workbench.errors import ProfileError

MAX_FILE_BYTES = 65_536
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
# Control and direction-changing characters could rewrite a terminal line that shows a title.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def read_profile_file(path: Path, known: Sequence[str]) -> Table:
    """The top table of a file. Raises ProfileError: unreadable, too large, not UTF-8 TOML, unknown key."""
    return Table(path, _load(path), known)


def _load(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            raise ProfileError(f"{path}: this is not a file.")
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise ProfileError(
                f"{path}: the file is larger than {MAX_FILE_BYTES // 1024} KiB; a profile is a short text."
            )
        return tomllib.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}: the text is not UTF-8 (byte {error.start}).") from error
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{path}: not valid TOML: {error}.") from error
    except (RecursionError, ValueError) as error:  # deep nesting; integers of thousands of digits
        raise ProfileError(f"{path}: not valid TOML: a value is nested too deep or too long.") from error


class Table:
    """One TOML table with typed access; made only if all its keys are known."""

    def __init__(self, path: Path, data: dict[str, Any], known: Sequence[str], prefix: str = "") -> None:
        self.path = path
        self._data = data
        self._prefix = prefix
        for key in data:
            if key not in known:
                raise self.error(key, f"is not a known key.{suggestion(key, known)} Allowed: {', '.join(known)}.")

    def error(self, key: str, sentence: str) -> ProfileError:
        return ProfileError(f"{self.path}: {self._prefix}{key!s} {sentence}")

    def has(self, key: str) -> bool:
        return key in self._data

    def sub(self, key: str, known: Sequence[str]) -> Table:
        """The table under `key`; an empty one when it is absent."""
        value = self._data.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"must be a table [{self._prefix}{key}], not {describe(value)}.")
        return Table(self.path, value, known, f"{self._prefix}{key}.")

    def tables(self, key: str, known: Sequence[str]) -> tuple[Table, ...]:
        """The tables of a list of tables, in order."""
        value = self._data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, f"must be a list of tables [[{self._prefix}{key}]], not {describe(value)}.")
        return tuple(Table(self.path, item, known, f"{self._prefix}{key}[{i}].") for i, item in enumerate(value))

    def name(self, key: str = "name") -> str:
        value = self.text(key, longest=40)
        if not _NAME.fullmatch(value):
            raise self.error(key, f"is {value!r}; allowed are lower-case letters, digits and inner hyphens.")
        return value

    def text(self, key: str, longest: int = 200) -> str:
        value = self.maybe_text(key, longest)
        if value is None:
            raise self.error(key, "is missing; it must be a text.")
        return value

    def maybe_text(self, key: str, longest: int = 200) -> str | None:
        value = self._data.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.error(key, f"must be a text in quotes, not {describe(value)}.")
        if not value.strip() or len(value) > longest:
            raise self.error(key, f"must be a text of 1 to {longest} characters.")
        if _UNPRINTABLE.search(value):
            raise self.error(key, "contains control characters.")
        return value.strip()

    def maybe_choice(self, key: str, allowed: Iterable[str]) -> str | None:
        value = self._data.get(key)
        options = tuple(allowed)
        if value is not None and value not in options:
            raise self.error(key, f"is {describe(value)}; it must be one of {', '.join(options)}.")
        return value

    def maybe_flag(self, key: str) -> bool | None:
        value = self._data.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {describe(value)}.")
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        value = self.maybe_integer(key, low, high)
        if value is None:
            raise self.error(key, f"is missing; it must be a whole number from {low:,} to {high:,}.")
        return value

    def maybe_integer(self, key: str, low: int, high: int) -> int | None:
        value = self._data.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(key, f"is {describe(value)}; it must be a whole number from {low:,} to {high:,}.")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        value = self.maybe_number(key, low, high)
        if value is None:
            raise self.error(key, f"is missing; it must be a number from {low:,} to {high:,}.")
        return value

    def maybe_number(self, key: str, low: float, high: float) -> float | None:
        value = self._data.get(key)
        if value is None:
            return None
        # The negated comparison also refuses NaN.
        if not isinstance(value, int | float) or isinstance(value, bool) or not (low <= value <= high):
            raise self.error(key, f"is {describe(value)}; it must be a number from {low:,} to {high:,}.")
        return float(value)

    def numbers(self, key: str, low: float, high: float) -> tuple[float, ...]:
        values = self._data.get(key, [])
        if not isinstance(values, list):
            raise self.error(key, f"must be a list of numbers, not {describe(values)}.")
        items = Table(self.path, {str(i): item for i, item in enumerate(values)}, [str(i) for i in range(len(values))],
                      f"{self._prefix}{key}.")  # fmt: skip
        return tuple(items.number(str(i), low, high) for i in range(len(values)))

    def texts(self, key: str, longest: int = 200) -> tuple[str, ...]:
        values = self._data.get(key, [])
        if not isinstance(values, list) or not all(
            isinstance(item, str) and 0 < len(item) <= longest for item in values
        ):
            raise self.error(key, f"must be a list of texts of at most {longest} characters.")
        return tuple(values)

    def date(self, key: str) -> str:
        """A TOML date or an ISO text, as YYYY-MM-DD."""
        value = self._data.get(key)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value.isoformat()
        try:
            return date.fromisoformat(value if isinstance(value, str) else "").isoformat()
        except ValueError as error:
            raise self.error(key, f"is {describe(value)}; it must be a date like 2025-06-30.") from error


def suggestion(word: str, known: Iterable[str]) -> str:
    """ " Did you mean 'x'?" for the nearest known word, or nothing."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def describe(value: Any) -> str:
    """A value as a short text for an error sentence."""
    if value is None:
        return "missing"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a very large number"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
