"""YAML text inside a field, such as a resource template's manifest, and whether it parses."""

import yaml

MAX_DEPTH = 500
"""The C parser is safe while nothing is composed; what lies deeper than this is nobody's manifest."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def yaml_fault(text: str) -> str:
    """Why the first document of `text` is not valid YAML, in one line; "" where it is."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    return f"it is nested deeper than {MAX_DEPTH} levels"
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.DocumentEndEvent):
                return ""
    except yaml.YAMLError as error:
        return " ".join(str(error).split())
    return ""
