"""The page at ``/docs``: the API's description as plain HTML, without scripts or other hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any

from service.problems import KINDS, MEDIA_TYPE

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: var(--soft); padding: .75rem; overflow: auto; border-radius: 4px }
table { border-collapse: collapse; width: 100% }
td, th { border-bottom: 1px solid var(--line); padding: .3rem .6rem .3rem 0; text-align: left;
  vertical-align: top }
summary { cursor: pointer }
"""


def render(document: dict[str, Any]) -> str:
    """The page of an OpenAPI description."""
    info = document["info"]
    parts = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info['summary'])} The same for programs: "
        '<a href="/openapi.json">/openapi.json</a>.</p>',
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += _operation(f"{method.upper()} {path}", operation)
    parts.append('<h2 id="errors">Errors</h2>')
    parts.append(f"<p>Every error is <code>{MEDIA_TYPE}</code>, RFC 9457.</p>")
    parts.append(
        _table(
            ("type", "status", "meaning"),
            (
                (
                    f'<code id="{kind.name}">{kind.type}</code>',
                    str(kind.status),
                    f"{escape(kind.title)}. {_prose(kind.meaning)}",
                )
                for kind in KINDS
            ),
        )
    )
    parts.append('<h2 id="schemas">Schemas</h2>')
    for name, schema in document["components"]["schemas"].items():
        parts.append(
            f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code> '
            f"{_prose(schema.get('description', ''))}</summary>{_code(schema)}</details>"
        )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _operation(address: str, operation: dict[str, Any]) -> list[str]:
    """One address with one method."""
    parts = [
        f"<h2><code>{escape(address)}</code></h2>",
        f"<p><strong>{escape(operation['summary'])}</strong> "
        f"{_prose(operation.get('description', ''))}</p>",
    ]
    scope = operation.get("x-kinfold-scope")
    parts.append(f"<p>Needs an API key of scope {escape(scope)}.</p>" if scope else "")
    if parameters := operation.get("parameters"):
        parts.append(
            _table(
                ("parameter", "in", "meaning"),
                (
                    (f"<code>{escape(p['name'])}</code>", p["in"], _prose(p["description"]))
                    for p in parameters
                ),
            )
        )
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body as <code>{media_type}</code>: {_schema(content['schema'])}</p>")
        parts += [
            f"<p>{escape(example['summary'])}</p>{_code(example['value'])}"
            for example in content.get("examples", {}).values()
        ]
    parts.append(
        _table(
            ("status", "answer"),
            (
                (escape(status), f"{_prose(answer['description'])} {_content(answer)}")
                for status, answer in operation["responses"].items()
            ),
        )
    )
    return parts


def _content(answer: dict[str, Any]) -> str:
    """Schema and example of an answer; errors are shown once, further down."""
    content = answer.get("content", {}).get("application/json")
    if not content:
        return ""
    example = f"{_code(content['example'])}" if "example" in content else ""
    return _schema(content["schema"]) + example


def _schema(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    return _prose(schema.get("description", ""))


def _prose(text: str) -> str:
    """Text of a description; what stands in backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; cells are HTML already."""
    lines = ["".join(f"<th>{name}</th>" for name in head)]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _code(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
