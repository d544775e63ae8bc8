"""Takes every secret value out of a text before anybody sees it; in doubt, it takes it out.

A value leaves a mark from which nothing can be guessed: its hash under a key that is thrown away.
Two values leave two marks, so a line that changed still shows that it did.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from itertools import zip_longest
from posixpath import basename, splitext
from textwrap import dedent

from providers.git.masking_lines import masked_lines
from providers.git.masking_words import PEM, SHAPES, Words
from providers.git.masking_yaml import Kind, Part, parts_of

_MARK_DIGITS = 8
_DEEPEST = 3
_STRUCTURED = frozenset(
    f".{kind}"
    for kind in [
        "yaml",
        "yml",
        "json",
        "toml",
        "ini",
        "cfg",
        "conf",
        "properties",
        "env",
        "xml",
        "md",
        "rst",
        "adoc",
        "tf",
        "tfvars",
        "hcl",
        "tpl",
        "sh",
        "py",
        "js",
        "ts",
        "rb",
        "go",
    ]
)
"""Kinds of files that are looked into; of others a secret's name makes all of it secret."""
_SECRET_FOLDER = re.compile(r"(?i)(?:^|/)\.?(?:secret|credential|token|password|key|private)s?/")
_ASSIGNED = re.compile(r"(?P<kept>\b(?P<key>[\w.-]+)=)\S+")


class Masker:
    """Masks texts with one key, so that equal values look equal within one comparison."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        """Take patterns of further secret keys; `*_iban` is one as well as `iban$`."""
        self._key = secrets.token_bytes(32)
        self._words = Words(patterns)

    def file(self, path: str, text: str) -> list[str]:
        """Return the lines of a file without any secret value; of a key's file all are secret."""
        kind = splitext(basename(path))[1].lower()
        named = self._words.secret(basename(path)) or _SECRET_FOLDER.search(path)
        if kind not in _STRUCTURED and named:
            return self._whole(text.split("\n"))
        if kind in {".csv", ".tsv"}:
            first, *rest = text.split("\n")
            return [first, *(self._whole(rest) if self._words.secret(first) else rest)]
        return self.text(text).split("\n")

    def _whole(self, lines: Sequence[str]) -> list[str]:
        return [self.mark(line) if line.strip() else line for line in lines]

    def mark(self, value: str) -> str:
        """Return what stands for a value."""
        digest = hmac.new(self._key, value.encode(errors="surrogatepass"), hashlib.sha256)
        return f"(secret {digest.hexdigest()[:_MARK_DIGITS]})"

    def text(self, text: str, depth: int = 0) -> str:
        """Return a text without any secret value; its structure is looked at where it has one."""
        parts = parts_of(text, self._words) if depth < _DEEPEST else None
        if parts is not None:
            text = self._replaced(text, parts, depth)
        text = PEM.sub(lambda found: self.mark(found[0]), text)
        lines = masked_lines(text.split("\n"), self._words, self.mark, blocks=parts is None)
        return "\n".join(lines)

    def _replaced(self, text: str, parts: Sequence[Part], depth: int) -> str:
        apart = [
            part
            for part, after in zip_longest(parts, parts[1:])
            if after is None or part.end <= after.start
        ]
        for part in reversed(apart):
            value = text[part.start : part.end]
            kept = value.rstrip()
            rest = value[len(kept) :]
            if part.kind is Kind.SECRET:
                shown = self.mark(kept) + ("\n" if "\n" in rest else "")
            else:
                shown = self._inner(kept, depth) + rest
            text = text[: part.start] + shown + text[part.end :]
        return text

    def _inner(self, value: str, depth: int) -> str:
        """Return a text of several lines that stands inside another, each line where it was."""
        first, _, rest = value.partition("\n")
        below = dedent(rest)
        lead = next((line for line in rest.split("\n") if line.strip()), "")
        inset = lead[: len(lead) - len(lead.lstrip())]
        if value[:1] in {"|", ">"} and all(
            line.startswith(inset) for line in rest.split("\n") if line.strip()
        ):
            lines = self.text(below, depth + 1).split("\n")
            return "\n".join([first, *(f"{inset}{line}" if line else line for line in lines)])
        return "\n".join(masked_lines(value.split("\n"), self._words, self.mark, blocks=True))


_WORDS = Words()


def masked_subject(subject: str) -> str:
    """Return a commit's subject without tokens; the same each time it is read."""
    for shape in SHAPES:
        subject = shape.sub(lambda found: f"{found['kept'] or ''}(secret)", subject)
    return _ASSIGNED.sub(
        lambda found: f"{found['kept']}(secret)" if _WORDS.secret(found["key"]) else found[0],
        subject,
    )
