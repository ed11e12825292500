"""Exit codes of every command."""

import enum


class Exit(enum.IntEnum):
    """What the shell sees."""

    SUCCEEDED = 0
    FAILED = 1  # a workflow ended Failed or Error
    BAD_INPUT = 2  # a manifest, a parameter, a setting or the usage is wrong
    STATE_REFUSED = 78  # the stored state is corrupt, foreign or newer than this program
    INTERRUPTED = 130
