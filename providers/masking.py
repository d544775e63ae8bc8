"""Takes out of a program's own words what looks like a secret, before they go into a report."""

import re

_LONGEST = 300
_MASK = "(masked)"
_SHAPES = (
    re.compile(r"(?<=://)[^\s@]+(?=@)"),
    re.compile(
        r"(?i)((?:pass|pwd|secret|token|api[-_]?key|credential|session|cookie)\w*"
        r"['\"]?\s*[=:]\s*)(?:bearer\s+|basic\s+)?(?:'[^']*'|\"[^\"]*\"|\S+)"
    ),
    re.compile(r"(?i)((?:authorization|cookie)['\"]?\s*[=:]\s*).+"),
    re.compile(r"(?i)(--?\w*(?:pass|pwd|secret|token|key)\w*\s+)\S+"),
    re.compile(r"\bsk_(?:live|test)_\w+|-----BEGIN.*"),
    re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_\w{20,}|\bxox[a-z]-[\w-]+"),
)


def masked(line: str) -> str:
    """Return a line of a log, shortened, with what looks like a secret taken out."""
    for shape in _SHAPES:
        line = shape.sub(lambda found: (found.group(1) if found.re.groups else "") + _MASK, line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
