"""The launcher: a tiny process that is the parent of every step, so that the daemon need not be.

It outlives a daemon that dies (`--mode daemon`; `--mode service` is the same with systemd as the one who starts and ends it), or makes
sure that nothing outlives a foreground run (`--mode run`). It starts steps with posix_spawn, reaps them with wait4, copies what they
print into files, kills what they leave behind, enforces their deadlines, and writes each start and end to a journal, so that whoever
asks later gets the true end. It imports nothing but the standard library, is run by `launcher.py` next to this folder, and never
decides what a step is: its client composes every command. All of it is imported at its start, for an upgrade may replace its files
while it runs.
"""
