"""Broken manifests that are too large, or too odd, to keep as files: each is made from its name.

`python tests/broken/hostile.py NAME > FILE` writes one.
"""

import sys
from collections.abc import Callable

HEAD = b"apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: hostile-}\nspec:\n  entrypoint: main\n"
LIMIT = 16 * 1024 * 1024


def aliases(width: int, depth: int) -> bytes:
    """The billion laughs: each line stands for `width` times the one before."""
    lines = ["a0: &a0 [" + ",".join("x" * width) + "]"]
    lines += [f"a{level}: &a{level} [" + ",".join([f"*a{level - 1}"] * width) + "]" for level in range(1, depth)]
    return "\n".join(lines).encode()


def fill(start: bytes, part: bytes, end: bytes = b"") -> bytes:
    """As many `part`s as a file may hold."""
    return start + part * ((LIMIT - len(start) - len(end)) // len(part)) + end


def numbered(start: bytes, line: str) -> bytes:
    """A file full of lines that all differ."""
    count = (LIMIT - len(start)) // (len(line.format(0)) + 7)
    return start + "".join(line.format(number) for number in range(count)).encode()


FILES: dict[str, Callable[[], bytes]] = {
    "alias-bomb": lambda: aliases(10, 12),
    "alias-of-large-map": lambda: (
        b"a: &a {" + b"".join(b"k%d: v, " % number for number in range(4000)) + b"}\nb: [" + b"*a, " * 9999 + b"]\n"
    ),
    "alias-depth": lambda: b"\n".join([b"a0: &a0 [x]", *(b"a%d: &a%d [*a%d]" % (level, level, level - 1) for level in range(1, 300))]),
    "merge-bomb": lambda: b"\n".join(
        [
            b"a0: &a0 {" + b"".join(b"k%d: v, " % number for number in range(99)) + b"}",
            *(b"a%d: &a%d {<<: [%s], x: 1}" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 50)) for level in range(1, 50)),
        ]
    ),
    "brackets-40000": lambda: b"[" * 40_000,
    "brackets-40000-closed": lambda: HEAD + b"  templates: " + b"[" * 40_000 + b"]" * 40_000,
    "braces-40000": lambda: b"{a: " * 40_000,
    "dashes-40000": lambda: b"- " * 40_000,
    "questions-40000": lambda: b"? " * 40_000,
    "brackets-full": lambda: fill(b"", b"["),
    "steps-nested": lambda: HEAD + b"".join(b" " * level + b"a:\n" for level in range(2, 3000)),
    "empty-maps": lambda: fill(HEAD + b"  templates: [", b"{},", b"]"),
    "empty-lists": lambda: fill(HEAD + b"  templates: [", b"[],", b"]"),
    "many-scalars": lambda: fill(HEAD + b"  templates: [", b"a,", b"]"),
    "many-templates": lambda: numbered(HEAD + b"  templates:\n", "  - name: template-number-{0}-x\n"),
    "many-unknown-fields": lambda: numbered(HEAD, "  field-{0}: {{}}\n"),
    "many-duplicates": lambda: fill(HEAD, b"  onExit: again\n"),
    "many-broken-documents": lambda: fill(HEAD, b"---\n@\n"),
    "many-wrong-documents": lambda: fill(b"", HEAD + b"  templates: 3\n---\n"),
    "many-list-items": lambda: fill(
        b"kind: List\nitems:\n", b"- {apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {}, spec: {unknown: 1}}\n"
    ),
    "long-line": lambda: HEAD + b"  onExit: {" + b"a" * (LIMIT - 1000) + b": [}",
    "long-number": lambda: HEAD + b"  parallelism: " + b"9" * (LIMIT - 1000) + b"\n",
    "long-hexadecimal": lambda: HEAD + b"  parallelism: 0x" + b"f" * 300 + b"\n",
    "unclosed-quote": lambda: fill(HEAD + b'  onExit: "', b"never closed\n"),
    "over-the-limit": lambda: fill(HEAD, b"# padding\n") + b"#" * 100,
    "binary": lambda: bytes(range(256)) * 64,
    "nul-bytes": lambda: HEAD + b"  onExit: \0\0\0\n",
    "control-character": lambda: HEAD + b"  onExit: bell\x07\n",
    "latin-1": lambda: HEAD + "  onExit: café\n".encode("latin-1"),
    "half-a-letter": lambda: HEAD + "  onExit: café".encode()[:-1],
    "surrogates": lambda: HEAD + b"  onExit: \xed\xa0\x80\n",
    "utf-16-cut": lambda: (HEAD + b"  onExit: x\n").decode().encode("utf-16")[:-1],
    "gzip": lambda: b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + bytes(range(255, 0, -1)) * 9,
    "empty": lambda: b"",
    "only-comments": lambda: b"# nothing\n---\n# here\n",
}

if __name__ == "__main__":
    sys.stdout.buffer.write(FILES[sys.argv[1]]())
