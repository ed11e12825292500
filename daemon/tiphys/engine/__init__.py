"""The only conductor: facts come in, decisions are recorded and then done. Everything asynchronous hangs on its one task group."""
