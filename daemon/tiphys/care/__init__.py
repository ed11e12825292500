"""Looking after a daemon's state: is all well (`checking`), copies of the journal while it is written (`backup`), and back (`restoring`).

`verifying` judges a journal without changing it. Nothing here runs in the daemon: these are commands beside it.
"""
