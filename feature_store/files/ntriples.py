"""N-Triples: a triple a line, `<subject> <predicate> "object"@en .`, as https://www.w3.org/TR/n-triples/ defines them.

IRIs come back without their brackets, literals without quotes, escapes and datatype.
"""

from __future__ import annotations

import re
from hashlib import sha256

import polars as pl

from feature_store.data_errors import DataError
from feature_store.files.file_content import Text
from feature_store.files.file_rows import BadLine, FileRows, described, unreadable_lines
from feature_store.schema import FACTS, Table

_HEX = r"\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}"
_IRI = rf'<((?:[^\x00-\x20<>"{{}}|^`\\]|{_HEX})*)>'
_BLANK = r"_:([\w:](?:[\w:.·-]*[\w:·-])?)"
_LITERAL = rf'"((?:[^"\\\r\n]|\\[tbnrf"\'\\]|{_HEX})*)"'
_LANGUAGE = r"@([A-Za-z]+(?:-[A-Za-z0-9]+)*)(?:--[a-z]+)?"
_TRIPLE = re.compile(
    rf"[ \t]*(?:{_IRI}|{_BLANK})[ \t]*{_IRI}[ \t]*"
    rf"(?:{_IRI}|{_BLANK}|{_LITERAL}(?:\^\^{_IRI}|{_LANGUAGE})?)[ \t]*\.[ \t]*(?:#.*)?\r?"
)
_NOTHING = re.compile(r"[ \t]*(?:#.*)?\r?")
_ESCAPE = re.compile(rf"\\(?:[tbnrf\"'\\])|{_HEX}")
_CHARACTERS = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f"}
_REASON = "line: expected a triple such as <subject> <relation> <object> ., got other text"
_N_BAD_SHOWN = 3
_SCOPE_CHARS = 8


def read_ntriples(text: Text, table: Table) -> FileRows:
    """The triples as rows of the facts table; lines that are none are set aside with a reason.

    A blank node such as `_:b0` is another one in every file: it gets a name that begins with a digest of the file, so
    that the same file read twice gives the same rows.

    Raises DataError for another table than facts, and if no line is a triple.
    """
    if table != FACTS:
        remedy = "Give it as --facts, or the table in another format."
        raise DataError(f"{table.name}.path: expected {table.name}, got N-Triples, which hold facts. {remedy}")
    scope = sha256(text.lines).hexdigest()[:_SCOPE_CHARS]
    rows: list[tuple[str, str, str, str | None]] = []
    numbers = []
    bad = list(text.bad_lines.values())
    for number, line in enumerate(text.lines.decode().split("\n"), start=1):
        if number in text.bad_lines or _NOTHING.fullmatch(line):
            continue
        row = _triple(line, scope)
        if row is None:
            bad.append(BadLine(number, _REASON, line.removesuffix("\r")))
        else:
            rows.append(row)
            numbers.append(number)
    if not rows and bad:
        raise _no_triples(bad)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(FACTS.schema())}
    frame = pl.DataFrame(columns, schema=FACTS.schema())
    return FileRows(frame, pl.Series(numbers, dtype=pl.Int64), unreadable_lines(bad), text.warnings)


def _triple(line: str, scope: str) -> tuple[str, str, str, str | None] | None:
    """Subject, relation, object and the object's language; None if the line is no triple."""
    found = _TRIPLE.fullmatch(line)
    if found is None:
        return None
    subject, blank_subject, relation, thing, blank_thing, literal, _, language = found.groups()
    try:
        return (
            _resource(subject, blank_subject, scope),
            _unescaped(relation),
            _unescaped(literal) if literal is not None else _resource(thing, blank_thing, scope),
            language and language.lower(),
        )
    except ValueError:  # an escape that is no character
        return None


def _resource(iri: str | None, blank: str | None, scope: str) -> str:
    return _unescaped(iri) if iri is not None else f"_:{scope}-{blank}"


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(escape: re.Match[str]) -> str:
    code = escape[0][1:]
    if code[0] not in "uU":
        return _CHARACTERS.get(code, code)
    number = int(code[1:], 16)
    if 0xD800 <= number <= 0xDFFF:
        raise ValueError(f"{escape[0]}: expected a character, got half a surrogate pair. Write the character itself.")
    return chr(number)


def _no_triples(bad: list[BadLine]) -> DataError:
    shown = "; ".join(described(line) for line in sorted(bad, key=lambda line: line.number)[:_N_BAD_SHOWN])
    n_lines = "1 line" if len(bad) == 1 else f"{len(bad):,} lines"
    remedy = "Convert other forms of RDF, such as Turtle, to N-Triples."
    return DataError(f"facts.path: expected N-Triples, got none from {n_lines}: {shown}. {remedy}")
