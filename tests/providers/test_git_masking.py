"""No secret value is in a difference, in whatever form it was written; that it changed is."""

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.configuration import ConfigurationTarget, Difference, PointKind
from providers.git.masking import Masker, masked_subject
from tests.providers.git_ground import make_ground

MARKER = "Zq7markerX9"
"""What is planted as a secret; it may be nowhere."""

YAML = {
    "a plain value": "password: Zq7markerX9",
    "a quoted value": 'db_password: "Zq7markerX9"',
    "a single-quoted value": "api-key: 'Zq7markerX9'",
    "a value with a comment": "apiKey: Zq7markerX9  # rotate",
    "a value with a hash": "token: abc#Zq7markerX9",
    "a block scalar": "private_key: |\n  Zq7markerX9\n  more Zq7markerX9\nother: 1",
    "a folded scalar": "secret: >-\n    Zq7markerX9\n\n    Zq7markerX9\nother: 1",
    "a block scalar with an indentation": "secret: |2\n    Zq7markerX9\nother: 1",
    "a plain value of two lines": "passphrase: one\n  Zq7markerX9\nother: 1",
    "a quoted value of two lines": 'passphrase: "one\n  Zq7markerX9"\nother: 1',
    "a list": "tokens:\n- Zq7markerX9\n- b\nother: 1",
    "a deeper list": "tokens:\n  - Zq7markerX9\nother: 1",
    "a flow list": "tokens: [a, Zq7markerX9]",
    "a mapping": "credentials:\n  user: Zq7markerX9\n  deeper:\n    more: Zq7markerX9\nother: 1",
    "a flow mapping": "db: {user: x, password: Zq7markerX9, host: h}",
    "an anchor": "base: &base\n  password: &pw Zq7markerX9\nother: {<<: *base}",
    "an explicit tag": "password: !!str Zq7markerX9",
    "a vault's value": "plain: !vault |\n  $ANSIBLE_VAULT;1.1\n  Zq7markerX9\nother: 1",
    "an explicit key": "? password\n: Zq7markerX9",
    "a token as a key": "tokens:\n  Zq7markerX9Zq7markerX9Zq7markerX9: somebody",
    "a comment": "# password: Zq7markerX9\nother: 1",
    "a comment behind": "other: 1  # the password is Zq7markerX9",
    "a comment in words": "# the old password was Zq7markerX9\nother: 1",
    "a block in a comment": "other: 1\n# secret: |\n#   Zq7markerX9\nmore: 1",
    "an environment in a comment": "other: 1\n# - name: DB_PASSWORD\n#   value: Zq7markerX9",
    "an environment": "env:\n  - name: DB_PASSWORD\n    value: Zq7markerX9\n  - name: A\n    value: b",
    "an environment, quoted": "env:\n- name: 'API_TOKEN'\n  value: \"Zq7markerX9\"",
    "an environment, value first": "env:\n- value: Zq7markerX9\n  name: DB_PASSWORD",
    "an environment on one line": "env: [{name: DB_PASSWORD, value: Zq7markerX9}]",
    "an environment of several lines": "env:\n- name: TLS_KEY\n  value: |\n    Zq7markerX9\n- name: A",
    "arguments": "args:\n- --password\n- Zq7markerX9\n- --host",
    "arguments on one line": 'args: ["--db-password", "Zq7markerX9", "x"]',
    "an argument": "args: [--password=Zq7markerX9]",
    "a command": "command: run --token Zq7markerX9 --host x",
    "a value in an address": "url: https://example.org/?token=Zq7markerX9&x=1",
    "a password in an address": "url: postgres://u:Zq7markerX9@host/db",
    "a password with a slash in an address": "url: amqp://u:a/Zq7markerX9@host/db",
    "a token in an address": "url: https://Zq7markerX9@example.org/",
    "a header": "headers:\n  Authorization: Basic Zq7markerX9",
    "a header in a text": 'run: |\n  curl -H "Authorization: Bearer Zq7markerX9" x',
    "a bearer": "header: Bearer Zq7markerX9",
    "json in yaml": 'data: \'{"password": "Zq7markerX9"}\'',
    "escaped json in yaml": 'data: "{\\"password\\": \\"Zq7markerX9\\"}"',
    "properties in yaml": "data:\n  app.properties: |\n    db.password=Zq7markerX9\n    a=1",
    "yaml in yaml": "data:\n  app.yaml: |\n    env:\n    - name: PASSWORD\n      value: Zq7markerX9",
    "yaml with a block in yaml": "data:\n  a: |\n    secret: |\n      Zq7markerX9\n    more: 1\nb: 1",
    "a secret in yaml in yaml": "a: |\n  kind: Secret\n  data:\n    x: Zq7markerX9",
    "a random key": "key: Zq7markerX9Zq7markerX9Zq7",
    "a pem": "x: |\n  -----BEGIN RSA PRIVATE KEY-----\n  Zq7markerX9\n  -----END RSA PRIVATE KEY-----",
    "an unfinished pem": "x: |\n  -----BEGIN RSA PRIVATE KEY-----\n  Zq7markerX9\n",
    "a pem on one line": 'x: "-----BEGIN KEY-----\\nZq7markerX9\\n-----END KEY-----"',
    "a key with a space": "private key: Zq7markerX9",
    "kubernetes' secret": "kind: Secret\ndata:\n  x: Zq7markerX9\n  y: Zq7markerX9",
    "kubernetes' secret in text": "apiVersion: v1\nstringData:\n  x: |\n    a: Zq7markerX9\nkind: Secret",
    "a secret of few letters": "kind: Secret\nstringData: {x: Zq7markerX9, y: true}",
    "a list of secrets": "kind: List\nitems:\n- kind: Secret\n  data:\n    x: Zq7markerX9\n- kind: X",
    "a second document": "kind: X\n---\nkind: Secret\ndata:\n  x: Zq7markerX9\n---\nkind: Y",
    "what was applied last": 'metadata:\n  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: |\n      {"data":{"x":"Zq7markerX9"}}',
    "a generator": "secretGenerator:\n- name: x\n  literals:\n  - a=Zq7markerX9",
    "docker's credentials": "auths:\n  r.example: {auth: Zq7markerX9}",
    "windows' line ends": "password: |\r\n  Zq7markerX9\r\nother: 1\r\n",
}
UNREADABLE = {
    "a template": "{{ if .x }}\npassword: Zq7markerX9\n{{ end }}",
    "a block in a template": "{{ if .x }}\npassword: |\n  Zq7markerX9\n\n  Zq7markerX9\nb: 1\n{{ end }}",
    "a list in a template": "{{ if .x }}\ntokens:\n- Zq7markerX9\n- Zq7markerX9\nb: 1\n{{ end }}",
    "a mapping in a template": "{{ if .x }}\ncredentials:\n  a: Zq7markerX9\n{{ end }}",
    "an environment in a template": "{{ x }}\n- name: DB_PASSWORD\n  value: Zq7markerX9\n- name: A",
    "an environment, value first": "{{ x }}\n- value: Zq7markerX9\n  name: DB_PASSWORD\n- name: A",
    "an environment, quoted": '{{ x }}\n  - name: "DB_PASSWORD"\n    value: "Zq7markerX9"',
    "kubernetes' secret": "{{ x }}\nkind: Secret\ndata:\n  x: Zq7markerX9\n  y: Zq7markerX9\nz: 1",
    "kubernetes' secret, kind last": "{{ x }}\ndata:\n  x: Zq7markerX9\nkind: Secret",
    "a secret by its data": "{{ x }}\nkind: {{ k }}\nstringData:\n  x: Zq7markerX9\nz: 1",
    "a secret in a list": "{{ x }}\nitems:\n- kind: Secret\n  data:\n    x: Zq7markerX9",
    "one bad line": "a: b: c\npassword: Zq7markerX9",
    "a tab": "a:\n\tpassword: Zq7markerX9",
    "a flow on lines": "{{ x }}\ntokens: [\nZq7markerX9,\nZq7markerX9\n]\nb: 1",
}
OTHERS = {
    ("a.json", "json"): '{"a": {"password": "Zq7markerX9", "b": 1}}',
    ("a.json", "json on lines"): '{\n  "apiKey":\n    "Zq7markerX9",\n  "b": 1\n}',
    ("a.json", "json with tabs"): '{\n\t"password": "Zq7markerX9",\n\t"b": 1\n}',
    ("a.json", "a list in json"): '{\n  "tokens": [\n    "Zq7markerX9"\n  ]\n}',
    ("a.json", "an environment in json"): '{"env": [{"name": "DB_PASSWORD", "value": "Zq7markerX9"}]}',
    ("a.json", "a secret in json"): '{"kind": "Secret", "data": {"x": "Zq7markerX9"}}',
    ("a.json", "broken json"): '{\n  // a comment\n  "password": "Zq7markerX9",\n}',
    ("a.json", "broken json on one line"): '{"name": "TOKEN", "value": "Zq7markerX9", }, oops: [',
    ("a.json", "an escaped quote"): '{"password": "a\\"Zq7markerX9", "b": 1, }x',
    ("a.toml", "toml"): '[db]\npassword = "Zq7markerX9"\n',
    ("a.toml", "a section"): '[credentials]\nuser = "Zq7markerX9"\n[other]\na = 1',
    ("a.toml", "a section below"): "[[a.secrets]]\nuser = 'Zq7markerX9'",
    ("a.toml", "a text of lines"): 'token = """\nZq7markerX9\nZq7markerX9"""\na = 1',
    ("a.toml", "a literal of lines"): "token = '''\nZq7markerX9\n'''\na = 1",
    ("a.toml", "an array on lines"): 'tokens = [\n"Zq7markerX9",\n"x",\n]\na = 1',
    ("a.toml", "an inline table"): 'db = { password = "Zq7markerX9", host = "h" }',
    ("a.toml", "a dotted key"): 'db.password = "Zq7markerX9"',
    ("a.ini", "ini"): "[db]\npassword = Zq7markerX9\n",
    ("a.ini", "a colon"): "[db]\npassword: Zq7markerX9 and more",
    ("a.ini", "a continuation"): "[db]\npassword = a\n  Zq7markerX9\nb = 1",
    ("a.ini", "a quote within"): 'password = "a" Zq7markerX9',
    ("a.ini", "a semicolon within"): "password = a;Zq7markerX9",
    ("a.ini", "a comment"): "; password = Zq7markerX9\na = 1",
    ("a.env", "env"): "DB_PASSWORD=Zq7markerX9\n",
    ("a.env", "an export"): "export API_TOKEN='Zq7markerX9'\n",
    ("a.env", "a quoted text of lines"): 'A=1\nTLS_KEY="a\nZq7markerX9\nb"\nB=1',
    ("a.env", "an address"): "DATABASE_URL=mysql://root:Zq7markerX9@db:3306/x",
    ("a.env", "a doubled quote"): "PASSWORD='a''Zq7markerX9'",
    (".env", "no name"): "SECRET_KEY_BASE=Zq7markerX9",
    ("a.properties", "properties"): "spring.datasource.password=Zq7markerX9",
    ("a.properties", "no space"): "spring.datasource.password:Zq7markerX9",
    ("a.properties", "a backslash"): "db.password=a\\\nZq7markerX9\\\nZq7markerX9\nb=1",
    ("a.tf", "hcl"): 'password = "Zq7markerX9"',
    ("a.tf", "a heredoc"): "private_key = <<EOF\nZq7markerX9\nEOF\na = 1",
    ("a.tf", "an indented heredoc"): "  token = <<-EOT\n  Zq7markerX9\n  EOT\na = 1",
    ("a.tf", "a variable"): 'variable "db_password" {\n  default = "Zq7markerX9"\n}\na = 1',
    ("a.csv", "a table"): "user,password\nx,Zq7markerX9\n",
    ("jwk.json", "a key in json"): '{"kty": "oct", "k": "Zq7markerX9"}',
    (".npmrc", "npm"): "//registry.example/:_authToken=Zq7markerX9",
    ("compose.yaml", "compose"): "environment:\n  - DB_PASSWORD=Zq7markerX9",
    ("a.properties", "jdbc"): "url=jdbc:mysql://h/db?user=a&password=Zq7markerX9",
    ("a.xml", "xml"): "<a><password>Zq7markerX9</password></a>",
    ("a.xml", "an attribute"): '<ds password="Zq7markerX9" user="x"/>',
    ("a.xml", "a named value"): '<property name="db.password" value="Zq7markerX9"/>',
    ("a.xml", "a named element"): '<entry key="db.password">Zq7markerX9</entry>',
    ("a.xml", "an element on lines"): "<password>\n  Zq7markerX9\n</password>",
    ("redis.conf", "redis"): "requirepass Zq7markerX9",
    ("x.conf", "nginx"): 'proxy_set_header Authorization "Basic Zq7markerX9";',
    ("x.conf", "nginx' own header"): "proxy_set_header X-Api-Key Zq7markerX9;",
    ("Dockerfile", "a dockerfile"): "ENV DB_PASSWORD Zq7markerX9",
    ("run.sh", "a script"): "psql --password Zq7markerX9 -h x",
    ("run.sh", "a variable"): 'export PGPASSWORD="Zq7markerX9"; psql',
    ("a.sql", "sql"): "ALTER USER x WITH PASSWORD 'Zq7markerX9';",
    ("b.sql", "mysql"): "CREATE USER x IDENTIFIED BY 'Zq7markerX9';",
    ("x.txt", "a dsn"): "host=x user=y password=Zq7markerX9 dbname=z",
    (".netrc", "netrc"): "machine h login u password Zq7markerX9",
    (".pgpass", "pgpass"): "host:5432:db:user:Zq7markerX9",
    ("tls.key", "a key's file"): "Zq7markerX9\nZq7markerX9",
    ("db-password.txt", "a password's file"): "Zq7markerX9",
    ("secrets/db", "a file in a secret's folder"): "Zq7markerX9",
    ("htpasswd", "htpasswd"): "admin:Zq7markerX9",
}  # fmt: skip
TOKENS = (
    "AKIAZQ7MARKERX9ZQ7MA",
    "ghp_Zq7markerX9Zq7markerX9Zq7markerX9",
    "github_pat_Zq7markerX9Zq7markerX9",
    "glpat-Zq7markerX9Zq7markerX9",
    "xoxb-123456-Zq7markerX9",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.Zq7markerX9",
    "sk-Zq7markerX9Zq7markerX9",
    "sk_live_Zq7markerX9Zq7markerX9",
    "SG.Zq7markerX9.Zq7markerX9",
    "hvs.Zq7markerX9Zq7markerX9",
    "npm_Zq7markerX9Zq7markerX9",
    "$2y$10$Zq7markerX9Zq7markerX9",
    "{SSHA}Zq7markerX9Zq7markerX9",
    "ENC[AES256_GCM,data:Zq7markerX9,type:str]",
    "vault:v1:Zq7markerX9",
    "AGE-SECRET-KEY-1ZQ7MARKERX9",
    "https://hooks.slack.com/services/T0/B0/Zq7markerX9",
)
SHOWN = (
    "image: registry.example/token-service:v1.2.3",
    "replicas: 3",
    "secretName: orders-tls",
    "imagePullSecrets:\n- name: registry",
    "env:\n- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      name: orders\n      key: password",
    "automountServiceAccountToken: false",
    "tokenReview: true",
    "password: ''",
    "resources: [secrets, configmaps]",
    'resources: ["secrets", "configmaps"]',
    "url: https://example.org/path?x=1",
    "image: app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "kind: ConfigMap\ndata:\n  a: b\n  c.yaml: |\n    d: 1\n    e: 2",
    "user: admin\nhost: db.example.org:5432",
    "at: 12:30:00",
)


def masked(path: str, text: str, *patterns: str) -> str:
    return "\n".join(Masker(patterns).file(path, text))


@pytest.mark.parametrize("form", YAML)
@pytest.mark.parametrize("deeper", [False, True])
def test_no_secret_in_yaml_is_shown(form: str, deeper: bool) -> None:  # noqa: FBT001 - a parameter
    text = YAML[form]
    if deeper:
        text = "spec:\n" + "\n".join(f"    {line}" for line in text.split("\n"))
        text = text.replace("    ---", "---")

    shown = masked("deploy/app.yaml", text)

    assert "markerX9" not in shown.replace("MARKERX9", "markerX9")
    assert "(secret " in shown


@pytest.mark.parametrize("form", [form for form in YAML if "\t" not in YAML[form]])
def test_no_secret_in_yaml_that_cannot_be_read_is_shown(form: str) -> None:
    assert "markerX9" not in masked("app.yaml", f"{{{{ if .x }}}}\n{YAML[form]}\n{{{{ end }}}}")


@pytest.mark.parametrize("form", UNREADABLE)
def test_no_secret_in_lines_that_are_no_yaml_is_shown(form: str) -> None:
    shown = masked("app.yaml", UNREADABLE[form])

    assert "markerX9" not in shown
    assert "(secret " in shown


@pytest.mark.parametrize(("path", "form"), OTHERS)
def test_no_secret_in_other_files_is_shown(path: str, form: str) -> None:
    shown = masked(path, OTHERS[path, form])

    assert "markerX9" not in shown
    assert "(secret " in shown


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize(
    "around", ["{}", "x: {}", 'x: "{}"', "x = {}", "run {} now", "# {}", "x: |\n  {}\n"]
)
def test_a_token_is_known_by_its_shape_wherever_it_stands(token: str, around: str) -> None:
    shown = masked("x.yaml", around.format(token))

    assert "markerx9" not in shown.lower()
    assert "markerx9" not in masked_subject(around.format(token)).lower()


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_no_secret_is_shown_as_it_is(text: str) -> None:
    assert masked("app.yaml", text) == text


def test_keys_of_ones_own_are_masked_by_pattern() -> None:
    assert "Zq7" not in masked("a.yaml", "iban: Zq7markerX9", "^iban$")
    assert "Zq7" not in masked("a.ini", "my_iban = Zq7markerX9", "*_iban")
    assert "Zq7" not in masked("a.yaml", "secretName: Zq7markerX9", "secretName")
    assert "Zq7" in masked("a.yaml", "iban: Zq7markerX9")


def test_two_values_look_different_and_one_value_alike_within_one_comparison() -> None:
    masker = Masker()

    first, again, other = (masker.text(f"password: {value}") for value in ("a1", "a1", "b2"))

    assert first == again != other
    assert re.fullmatch(r"password: \(secret [0-9a-f]{8}\)", first)
    assert masker.text("password: a1") != Masker().text("password: a1")


def test_a_difference_of_a_real_repository_shows_that_secrets_changed_and_none_of_them(
    tmp_path: Path,
) -> None:
    ground = make_ground(tmp_path)
    before = {
        f"deploy/{number}/{path}": text for number, ((path, _), text) in enumerate(OTHERS.items())
    }
    before |= {f"deploy/y{number}.yaml": text for number, text in enumerate(YAML.values())}
    first = ground.ada.commit(before, "Begin", push=False)
    ground.ada.commit(
        {path: text.replace(MARKER, "Zq7markerX9changed") for path, text in before.items()},
        "Change",
    )
    target = ConfigurationTarget(kind=PointKind.REFERENCE, reference=first)
    configuration = ground.configuration()

    found = ground.provider().difference(
        configuration, ground.provider().resolve(configuration, target)
    )

    assert len(found.files) == 100
    assert found.left_out == len(before) - 100
    assert "markerX9" not in repr(found)
    assert all(changed_lines(found, number) for number in range(100))


def changed_lines(found: Difference, number: int) -> list[str]:
    return [line for line in found.files[number].lines if line.startswith(("+", "-"))]


words = st.text("abcXYZ0189-_./+=!$%&*#@:;,'\"\\ {}[]()<>|`~?\t", min_size=0, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=words, after=words, form=st.integers(0, 6))
def test_whatever_stands_around_a_secret_does_not_show_it(
    before: str, after: str, form: int
) -> None:
    secret = f"{before}{MARKER}{after}"
    texts = (
        yaml.safe_dump({"a": 1, "password": secret, "z": 1}),
        json.dumps({"a": 1, "apiToken": secret, "z": 1}),
        json.dumps([{"name": "DB_PASSWORD", "value": secret}], indent=1),
        yaml.safe_dump({"kind": "Secret", "stringData": {"x": secret}}, default_style="|"),
        f"a=1\npassword={secret}\nz=1\n",
        f"[x]\ntoken: {secret}\n",
        dedent(f"""\
            {{{{ x }}}}
            secret: |
              {secret}
            z: 1
            """),
    )

    assert MARKER not in masked("x.conf", texts[form])
