"""What is known of secrets: the names they go by, and the shapes that they have anywhere."""

import fnmatch
import re
from collections.abc import Sequence

_NAMES = (
    r"passw|passwd|passphrase|passcode|pwd|requirepass|masterauth|pass(?:$|[-_.\s])",
    r"secret|token|credential|bearer|authori[sz]ation|jwt|hmac|psk|salt|pepper|mnemonic|webhook",
    r"(?:api|private|access|encryption|signing|master|shared|account|client|ssh|licen[cs]e)[-_.\s]?key",
    r"(?:session|auth|tls|storage|service|deploy|host|crypt\w*)[-_.\s]?key",
    r"(?:^|[-_.\s])(?:auth|otp|totp|dsn|pin|pw)(?:$|[-_.\s])",
    r"dockerconfigjson|dockercfg|htpasswd|pgpass|netrc|kubeconfig|keystore|keytab|last-applied-conf",
    r"conn(?:ection)?[-_.\s]?str|community|cookie|id_(?:rsa|dsa|ecdsa|ed25519)|encrypteddata",
    r"\.(?:key|pem|p12|pfx|jks|ppk)$",
)
_NO_SECRETS = frozenset((
    "secretname", "secretref", "secretkeyref", "imagepullsecrets", "existingsecret",
    "automountserviceaccounttoken", "secretstoreref", "secretproviderclass", "tokenrequests",
    "serviceaccounttoken", "expirationseconds", "tokenexpirationseconds", "pwdlastset",
))  # fmt: skip
"""Keys of Kubernetes that name a secret, and hold none."""
_ALWAYS = frozenset(("stringdata", "kubectl.kubernetes.io/last-applied-configuration"))
_NAMING = frozenset(("name", "key", "id", "variable", "env", "property"))
_VALUE = frozenset(("value", "val", "default", "content", "data", "defaultvalue"))
_EMPTY = re.compile(
    r"""(?ix) (?: true|false|yes|no|on|off|null|none|nil|~|\{\s*\}|\[\s*\]|""|''|[|>][+-]?\d? )? ,?"""
)
_LONG_KEY = 24
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9+/_=-]{20,}")

PEM = re.compile(r"-{4,5} ?BEGIN [^\n]{1,60}?-{4,5}[\s\S]*?(?:-{4,5} ?END [^\n]{1,60}?-{4,5}|\Z)")
SHAPES = tuple(
    re.compile(shape)
    for shape in (
        # a password in an address, and a token that is all of the user's name
        r"(?P<kept>(?<![A-Za-z0-9+.])[A-Za-z][A-Za-z0-9+.-]*://)[^\s/@\"'<>]*:[^\s\"'<>]*(?=@)",
        r"(?P<kept>(?i:https?)://)[^\s/@:\"'<>]+(?=@)",
        r"(?P<kept>(?i:(?:proxy-)?authorization)\\?[\"']?\s*[:=,]\s*\\?[\"']?)[^\s\"'\\][^\"'\r\n]*",
        r"(?P<kept>\b(?i:bearer)\s+)[\w.~+/=-]{6,}",
        r"(?P<kept>\b(?i:basic)\s+)(?=\S*[A-Z0-9=])[A-Za-z0-9+/]{8,}={0,2}",
        r"(?P<kept>https://hooks\.slack\.com/)\S+",
        r"(?P<kept>)\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{12,}",
        r"(?P<kept>)\b(?:gh[pousr]_|github_pat_|glpat-|gldt-|glrt-|npm_|pypi-|dop_v1_|hv[sb]\.)[\w-]{10,}",
        r"(?P<kept>)\b(?:xox[a-z]-|xapp-|sk-|[srp]k_(?:live|test)_|rk-|SG\.|AIza|ya29\.|shp(?:at|ss)_)[\w.-]{10,}",
        r"(?P<kept>)\beyJ[\w-]{6,}(?:\.[\w-]*){0,4}",
        r"(?P<kept>)\$(?:2[abxy]|[156y]|argon2\w*|pbkdf2[\w-]*|scrypt)\$\S+",
        r"(?P<kept>)\bENC\[[^\]\r\n]*\]?",
        r"(?P<kept>)\bvault:v\d+:\S+|\{(?:SSHA|SHA|CRYPT|noop|bcrypt)\d*\}\S+",
        r"(?P<kept>)\bAGE-SECRET-KEY-1\w*",
        r"(?P<kept>)-{4,5} ?BEGIN [^\n]*",
    )
)
"""Each with the part before the secret that is kept."""


class Words:
    """Which keys are taken to hold a secret; patterns of one's own are added to those known."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        own = [_regular(pattern) for pattern in patterns if pattern]
        self._secret = re.compile("|".join((*_NAMES, *own)), re.IGNORECASE)
        self._own = re.compile("|".join(own) or r"(?!)", re.IGNORECASE)

    def secret(self, key: str) -> bool:
        """Return whether what has this key is a secret."""
        last = key.strip().rpartition(" ")[2].lower()
        if self._own.search(key):
            return True
        return last not in _NO_SECRETS and self._secret.search(key) is not None

    @staticmethod
    def harmless(key: str) -> bool:
        """Return whether a key is known to hold no secret, wherever it stands."""
        return key.lower() in _NO_SECRETS

    @staticmethod
    def always(key: str) -> bool:
        """Return whether all below a key is secret, whatever it is called."""
        return key.lower() in _ALWAYS

    @staticmethod
    def naming(key: str) -> bool:
        """Return whether a key holds the name of something whose value stands beside it."""
        return key.lower() in _NAMING

    @staticmethod
    def valued(key: str) -> bool:
        """Return whether a key holds the value of something whose name stands beside it."""
        return key.lower() in _VALUE

    @staticmethod
    def random(key: str, value: str) -> bool:
        """Return whether a value is a key that nobody would write by hand."""
        return key.lower().endswith("key") and _RANDOM.fullmatch(value.strip(" \"',")) is not None

    @staticmethod
    def secret_as_key(key: str) -> bool:
        """Return whether a key below a secret's name is itself the secret, as in lists of tokens."""
        return len(key) >= _LONG_KEY and any(one.isdigit() for one in key)


def empty(value: str) -> bool:
    """Return whether a value is none, or a truth value, and so tells nothing."""
    return _EMPTY.fullmatch(value.strip()) is not None


def _regular(pattern: str) -> str:
    """Return a pattern as a regular expression; what is none is taken for a pattern of file names."""
    try:
        re.compile(pattern)
    except re.error:
        return fnmatch.translate(pattern)
    return f"(?:{pattern})"
