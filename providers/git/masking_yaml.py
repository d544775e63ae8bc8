"""Where secrets stand in a text that is YAML or JSON: by its structure, not by its lines."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import yaml

from providers.git.masking_words import Words, empty

_MOST = 500_000
_DATA = frozenset(("data", "stringdata", "encrypteddata"))
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "k", "oth"))
"""The private parts of a key written in JSON (RFC 7518)."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Kind(Enum):
    """What is done with a part of a text."""

    SECRET = "secret"  # noqa: S105 - a kind of part, no secret
    TEXT = "text"


class Inside(Enum):
    """What stands around a node: nothing, a key of a secret, or the data of one."""

    NOTHING = 0
    KEY = 1
    DATA = 2


@dataclass(frozen=True)
class Part:
    """A secret value, or a text of several lines that is looked at by itself."""

    start: int
    end: int
    kind: Kind


def parts_of(text: str, words: Words) -> list[Part] | None:
    """Return the parts in the order of the text, or None where it is no YAML mapping or list."""
    if len(text) > _MOST or text.startswith("\ufeff"):
        return None
    try:
        roots = [root for root in yaml.compose_all(text, Loader=_LOADER) if root is not None]
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    if not any(isinstance(root, yaml.CollectionNode) for root in roots):
        return None
    walk = _Walk(text, words)
    try:
        found = [part for root in roots for part in walk.node(root, Inside.NOTHING)]
    except RecursionError:
        return None
    return sorted(found, key=lambda part: part.start)


class _Walk:
    """One walk over the nodes of a text; what an alias names is looked at where it is written."""

    def __init__(self, text: str, words: Words) -> None:
        self._text, self._words = text, words
        self._seen: set[int] = set()

    def node(self, node: yaml.Node, inside: Inside) -> Iterator[Part]:
        """Yield the parts of a node."""
        if id(node) in self._seen and inside is Inside.NOTHING:
            return
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from self._mapping(node, inside)
        elif isinstance(node, yaml.SequenceNode):
            yield from self._sequence(node, inside)
        else:
            yield from self._scalar(node, inside)

    def _mapping(self, node: yaml.MappingNode, inside: Inside) -> Iterator[Part]:
        texts = {_text(key).lower(): _text(value) for key, value in node.value}
        a_secret = texts.get("kind", "").lower().endswith("secret")
        named = any(
            self._words.naming(key) and self._words.secret(value) for key, value in texts.items()
        )
        for key, value in node.value:
            name = _text(key)
            below = self._below(name, value, inside, named=named)
            if (a_secret and name.lower() in _DATA) or ("kty" in texts and name in _PRIVATE):
                below = Inside.DATA
            if not isinstance(key, yaml.ScalarNode):
                yield from self.node(key, inside)
            elif inside is not Inside.NOTHING and self._words.secret_as_key(name):
                yield from self._scalar(key, Inside.DATA)
            yield from self.node(value, below)

    def _below(self, name: str, value: yaml.Node, inside: Inside, *, named: bool) -> Inside:
        if inside is Inside.DATA or self._words.always(name):
            return Inside.DATA
        if self._words.harmless(name):
            return Inside.KEY if self._words.secret(name) else Inside.NOTHING
        if self._words.secret(name) or self._words.random(name, _text(value)):
            return Inside.KEY
        if named and self._words.valued(name):
            return Inside.DATA
        return inside

    def _sequence(self, node: yaml.SequenceNode, inside: Inside) -> Iterator[Part]:
        after_option = False
        for item in node.value:
            yield from self.node(item, Inside.DATA if after_option else inside)
            option = _text(item)
            after_option = (
                option.startswith("-") and "=" not in option and self._words.secret(option)
            )

    def _scalar(self, node: yaml.Node, inside: Inside) -> Iterator[Part]:
        start, end = node.start_mark.index, node.end_mark.index
        written = self._text[start:end]
        if inside is Inside.DATA or node.tag.startswith(("!vault", "!secret", "!encrypted")):
            hidden = bool(written.strip(" \r\n\"'|>-"))
        else:
            hidden = inside is Inside.KEY and not empty(written)
        if hidden:
            yield Part(start, end, Kind.SECRET)
        elif "\n" in written.strip():
            yield Part(start, end, Kind.TEXT)


def _text(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else ""
