"""Colours of code as plain data: which stretch of a program has which role, found by Pygments."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

CodeRole = Literal["text", "keyword", "string", "number", "comment", "name", "added", "removed"]
LONGEST_CHARACTERS = 30_000


def highlight(code: str, language: str) -> Iterator[tuple[int, int, CodeRole]]:
    """Yields (start, length, role) of stretches that are not plain text.

    Code longer than `LONGEST_CHARACTERS` and languages that Pygments does not know stay plain.
    """
    if not language or len(code) > LONGEST_CHARACTERS:
        return
    lexer = _lexer(language.lower())
    if lexer is None:
        return
    position = 0
    for kind, value in lexer.get_tokens(code):
        role = _role(kind)
        if role != "text" and value.strip():
            yield position, len(value), role
        position += len(value)


@lru_cache(maxsize=32)
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        # Every option that moves characters is off: positions must be those of the given text.
        return get_lexer_by_name(language, stripnl=False, stripall=False, ensurenl=False)
    except ClassNotFound:
        return None


@lru_cache(maxsize=256)
def _role(kind: Any) -> CodeRole:
    from pygments.token import Token

    table: tuple[tuple[Any, CodeRole], ...] = (
        (Token.Comment, "comment"),
        (Token.Literal.String, "string"),
        (Token.Literal.Number, "number"),
        (Token.Generic.Inserted, "added"),
        (Token.Generic.Deleted, "removed"),
        (Token.Operator.Word, "keyword"),
        (Token.Keyword, "keyword"),
        (Token.Name.Function, "name"),
        (Token.Name.Class, "name"),
        (Token.Name.Tag, "keyword"),
        (Token.Name.Attribute, "name"),
        (Token.Name.Builtin, "name"),
        (Token.Name.Decorator, "name"),
    )
    return next((role for parent, role in table if kind in parent), "text")
