"""The HTTP API: Argo Server's paths and JSON on a Unix socket, over the verbs of `engine.house`.

Requests are translated here and decided in the engine; nothing is kept. `serving.serve` is the way in.
"""
