"""Takes secrets out line by line, where a text has no structure that is understood."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from providers.git.masking_words import SHAPES, Words, empty

Mark = Callable[[str], str]

_MARKED = re.compile(r"\(secret [0-9a-f]{8}\)")
_ONLY_MARKED = re.compile(
    r"[\s#]*(?:- )*(?:[\w.\"'/-]+\s*[:=]\s*)?[|>+-]*\(secret [0-9a-f]{8}\)[\s,]*"
)
_KEY = re.compile(
    r"(?<![\w.$/@%+-])(?P<key>(?:[\w-]+ )?[\w.$/@%+-]+)(?P<quote>\\*[\"'`]?)\]?\s*(?P<sep>:=|=>|\+=|\?=|[:=])(?P<gap>\s*)"
)
_WORD = (
    r"[\w.-]*(?:passw(?:or)?d|passphrase|passwort|secret|token|credential|api[-_]?key|private[-_]?key"
    r"|requirepass|masterauth|authtoken)[\w.-]*"
)
_SPACED = tuple(
    re.compile(shape, re.IGNORECASE)
    for shape in (
        rf"(?P<kept>(?:^|[\s\"'\[,])--?{_WORD}[\"']?\s*,?\s+)(?P<value>[^\s(].*)",
        rf"(?P<kept>^\s*(?:(?:ENV|ARG|set|export|setenv|proxy_set_header|add_header|\w*Header\s+set)\s+)?{_WORD}[ \t]+)(?P<value>[^\s:=(\[{{].*)",
        r"(?P<kept>\b(?:password|passwd|passphrase|pwd|identified\s+by)\s+)(?P<value>[^\s:=(|>].*)",
        rf"(?P<kept>(?:^|\s)(?:#|//|;|--|<!--|/\*|\*|rem )[^\n]{{0,300}}?(?<![\w.-]){_WORD}[\"']?[\s:=,-]+)(?P<value>[^\s(].*)",
        rf"(?P<kept><[\w:.-]*{_WORD}(?:\s[^<>]*)?(?<!/)>\s*)(?P<value>[^<\s(][^<]*)",
    )
)
_NAMED = re.compile(
    r"(?P<lead>[\s#]*+(?:- )*+).*?\b(?P<key>name|key|id|variable|property)\\?[\"']?\s*[:=]\s*\\?[\"']?"
    r"(?P<name>[\w.$/@-]+)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?P<kept>\b(?:value|val|default|content|defaultvalue)\\?[\"']?\s*[:=]\s*)(?P<value>[^\s(].*)",
    re.IGNORECASE,
)
_ELEMENT = re.compile(r"(?P<kept>>\s*)(?P<value>[^<>\s(][^<>]*)(?=<)")
_KIND = re.compile(r"[\s#]*(?:- )?[\"']?kind[\"']?\s*:\s*[\"']?\w*secret\b", re.IGNORECASE)
_SECTION = re.compile(r"\s*\[+\s*(?P<name>[^\]=]+?)\s*\]+\s*(?:[#;].*)?")
_DATA = re.compile(
    r"(?P<lead>[\s#]*+(?:- )*+)[\"']?(?:data|stringData|encryptedData)[\"']?\s*:", re.IGNORECASE
)
_BLOCK = re.compile(r"[^!]*:\s*!(?:vault|encrypted|secret)\S*", re.IGNORECASE)
_OPTION = re.compile(r"[\s#]*(?:- )?[\"']?--?[\w.-]+[\"']?,?\s*")
_EXPLICIT = re.compile(r"[\s#]*\? .+")
_OPENED = re.compile(r"<[^<>/]+>\s*$")
_HEREDOC = re.compile(r"<<[-~]?\s*[\"']?(?P<word>\w+)")
_NEAR = 6
_LONGEST = 1500
"""A longer line is not looked into: nobody reads it, and the looking takes long."""
_AFTER_QUOTE = re.compile(r"\s*(?:$|[,;}\])&#>]|//|/>)")


@dataclass
class _Open:
    """A secret value that goes on in the lines below: until when they belong to it."""

    ends: Callable[[str], bool]
    with_last: bool = False


def masked_lines(lines: Sequence[str], words: Words, mark: Mark, *, blocks: bool) -> list[str]:
    """Return the lines without secret values.

    With `blocks`, what is indented below a key of a secret belongs to it; without, only in comments:
    the structure was looked at before.
    """
    return list(_Lines(lines, words, mark, blocks=blocks).masked())


class _Lines:
    """One pass over the lines of one text."""

    def __init__(self, lines: Sequence[str], words: Words, mark: Mark, *, blocks: bool) -> None:
        self._lines, self._words, self._mark, self._blocks = lines, words, mark, blocks
        self._open: _Open | None = None
        self._valued = set(_values_of_secrets(lines, words))
        self._data = set(_in_secrets(lines))
        self._section = False

    def masked(self) -> Iterator[str]:
        """Yield the lines."""
        for number, line in enumerate(self._lines):
            inside = self._open
            if inside is not None:
                over = inside.ends(line)
                if over:
                    self._open = None
                if not over or inside.with_last:
                    yield self._whole(line)
                    continue
            yield self._line(number, line)

    def _whole(self, line: str) -> str:
        stripped = line.strip()
        if not stripped or _ONLY_MARKED.fullmatch(line):
            return line
        lead = line[: len(line) - len(line.lstrip())]
        return f"{lead}{self._mark(stripped)}"

    def _line(self, number: int, line: str) -> str:
        if len(line) > _LONGEST:
            return self._whole(line)
        section = _SECTION.fullmatch(line)
        if section is not None:
            self._section = self._words.secret(section["name"])
            return line
        comment = line.lstrip().startswith("#")
        may_open = self._blocks or comment
        if may_open:
            line = self._block(number, line)
        line = self._keys(line, may_open=may_open)
        if number in self._valued:
            line = _VALUE.sub(self._kept, line)
            line = _ELEMENT.sub(self._kept, line) if "<" in line else line
        for shape in (*SHAPES, *_SPACED):
            line = shape.sub(self._kept, line)
        return line

    def _block(self, number: int, line: str) -> str:
        """Begin a block that is secret as a whole."""
        begun = _BLOCK.match(line)
        data = _DATA.match(line) if number in self._data else None
        valued = _VALUE.search(line) if number in self._valued else None
        found = begun or data
        if found or (valued and empty(valued["value"])):
            self._open = _Open(_less_indented(line))
        if line.rstrip().endswith("{") and self._words.secret(line):
            self._open = _Open(_Balance(line.count("{") - line.count("}")), with_last=True)
        if _OPENED.search(line) and self._words.secret(line.rpartition("<")[2]):
            self._open = _Open(partial(_holds, "</"))
        if (_OPTION.fullmatch(line) or _EXPLICIT.fullmatch(line)) and self._words.secret(line):
            self._open = _Open(lambda one: bool(one.strip()), with_last=True)
        rest = line[found.end() :] if found else ""
        if not rest.strip() or empty(rest) or _MARKED.match(rest.strip()):
            return line
        return f"{line[: -len(rest)]} {self._mark(rest)}"

    def _kept(self, found: re.Match[str]) -> str:
        kept = found["kept"] or ""
        value = found[0][len(kept) :]
        return found[0] if _MARKED.match(value) or empty(value) else f"{kept}{self._mark(value)}"

    def _keys(self, line: str, *, may_open: bool) -> str:
        """Mask the value after each key of a secret."""
        start = 0
        while (found := _KEY.search(line, start)) is not None:
            start = found.end()
            if not self._secret(found, line):
                start = found.start("sep") + 1
                continue
            marked = _MARKED.match(line, start)
            if marked is not None:
                start = marked.end()
                continue
            value = line[start:]
            end = start + _length(value)
            if may_open or value.rstrip().endswith("\\"):
                self._open = self._goes_on(line, value)
            if not empty(line[start:end]):
                mark = self._mark(line[start:end])
                line, start = f"{line[:start]}{mark}{line[end:]}", start + len(mark)
            else:
                start = max(end, start)
        return line

    def _secret(self, found: re.Match[str], line: str) -> bool:
        key, tight = found["key"], not found["gap"] and found["sep"] == ":"
        rest = line[found.end() :]
        if tight and "/" in key and not rest.startswith(("'", '"')):  # an image and its tag
            return False
        if rest.startswith("//"):  # the scheme of an address
            return False
        bare = key.strip("\"'$%@- ")
        return self._section or self._words.secret(bare) or self._words.random(bare, rest)

    def _goes_on(self, line: str, value: str) -> _Open | None:
        """Return until when the value goes on below its line, None where it does not."""
        told = value.strip()
        heredoc = _HEREDOC.match(told)
        if heredoc is not None:
            return _Open(lambda one: one.strip() == heredoc["word"], with_last=True)
        for quotes in ('"""', "'''"):
            if told.startswith(quotes) and quotes not in told[3:]:
                return _Open(partial(_holds, quotes), with_last=True)
        if told.endswith("\\"):
            return _Open(lambda one: not one.rstrip().endswith("\\"), with_last=True)
        if told[:1] in {'"', "'", "`"} and _closing(told) is None:
            return _Open(partial(_holds, told[0]), with_last=True)
        depth = sum(told.count(one) for one in "[{(") - sum(told.count(one) for one in "]})")
        if depth > 0:
            return _Open(_Balance(depth), with_last=True)
        return _Open(_less_indented(line))


def _holds(text: str, line: str) -> bool:
    return text in line


class _Balance:
    """Tells when the brackets that are open are closed."""

    def __init__(self, depth: int) -> None:
        self._depth = depth

    def __call__(self, line: str) -> bool:
        """Count one line."""
        self._depth += sum(line.count(one) for one in "[{(") - sum(line.count(one) for one in "]})")
        return self._depth <= 0


def _length(value: str) -> int:
    """Return how much of what follows a key is its value: a quoted text, else all of the line."""
    opening = re.match(r"(?:[rbfu]|\\+)?([\"'`])", value)
    if opening is None:
        return len(value.rstrip())
    closing = _closing(value)
    if closing is None or not _AFTER_QUOTE.match(value, closing):
        return len(value.rstrip())
    return closing


def _closing(value: str) -> int | None:
    """Return where a quoted text ends, None where it does not."""
    opening = re.match(r"(?:[rbfu])?(?P<quote>\\*[\"'`])", value)
    if opening is None:
        return None
    quote, place = opening["quote"], opening.end()
    while (place := value.find(quote, place)) >= 0:
        escapes = len(value[:place]) - len(value[:place].rstrip("\\"))
        if len(quote) > 1 or escapes % 2 == 0:
            return place + len(quote)
        place += 1
    return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t#"))


def _less_indented(line: str) -> Callable[[str], bool]:
    """Return what tells that a line stands no deeper than the key did, and so begins another."""
    lead = re.match(r"[\s#]*+(?:- )*+", line)
    own = lead.end() if lead else 0
    listed = _indent(line)
    comment = line.lstrip().startswith("#")

    def ends(below: str) -> bool:
        if not below.strip():
            return False
        if comment and not below.lstrip().startswith("#"):
            return True
        deep = _indent(below)
        item = re.match(r"[\s#]*- ?", below) is not None
        return deep < own or (deep == own and not (item and own == listed))

    return ends


def _values_of_secrets(lines: Sequence[str], words: Words) -> Iterator[int]:
    """Yield the lines near the name of a secret where its value may stand."""
    for number, line in enumerate(lines):
        named = _NAMED.match(line[:_LONGEST])
        if named is None or not words.secret(named["name"]):
            continue
        yield number
        own = len(named["lead"])
        for step in (1, -1):
            for other in range(number + step, number + step * _NEAR, step):
                if not 0 <= other < len(lines) or not lines[other].strip():
                    break
                lead = re.match(r"[\s#]*+(?:- )*+", lines[other])
                if lead is None or lead.end() < own:
                    break
                yield other
                item = "- " in lead[0]
                if (step < 0 and item) or (step > 0 and "- " in lead[0] and lead.end() == own):
                    break


def _in_secrets(lines: Sequence[str]) -> Iterator[int]:
    """Yield the lines where the data of a Kubernetes secret begin."""
    begun = 0
    for end in range(len(lines) + 1):
        if end < len(lines) and not lines[end].startswith("---"):
            continue
        document = range(begun, end)
        secret = any(_KIND.match(lines[number]) for number in document)
        for number in document:
            data = _DATA.match(lines[number])
            if data is not None and (secret or "stringdata" in lines[number].lower()):
                yield number
        begun = end + 1
