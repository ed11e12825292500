"""Words written together: snake_case, kebab-case, CamelCase; and Go's quoted texts."""

import re

_WORD = re.compile(r"[0-9]+(?:[A-Z]+(?![a-z])|[a-z]*)|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W_]")
_GAP = r"[\s_\-]"
_QUOTES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}


def joined(source: str, connector: str) -> str:
    """`HTTPServer name` as `http_server_name`; a connector at either end stays."""
    words: list[str] = []
    for part in re.split(rf"({_GAP}+|[^\w\s-]+)", source):
        if re.fullmatch(rf"(?:{_GAP})+", part):
            continue
        words.extend([part] if part and not re.search(r"\w", part) else _WORD.findall(part))
    first = connector if source[:1] in {"_", "-"} else ""
    last = connector if len(source) > 1 and source[-1] in {"_", "-"} else ""
    return first + connector.join(words).lower() + last


def pascal(source: str) -> str:
    """`http_server` as `HttpServer`; gaps at either end stay, of the others one character less."""
    made: list[str] = []
    parts = re.split(rf"({_GAP}+)", source)
    for index, part in enumerate(parts):
        if index % 2:
            outer = (index == 1 and not parts[0]) or (index == len(parts) - 2 and not parts[-1])
            made.append(part if outer else part[1:])
        elif part:
            rest = part[1:]
            made.append(part[0].upper() + (rest.lower() if part.isupper() else rest))
    return "".join(made)


def quoted(source: str) -> str:
    """The text as Go's `%q` prints it."""
    return '"' + "".join(_quoted(character) for character in source) + '"'


def _quoted(character: str) -> str:
    if character in _QUOTES:
        return _QUOTES[character]
    code = ord(character)
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
