"""The heart: what happens next. Pure and incremental; `decide` takes a state and a fact and gives what differs."""
