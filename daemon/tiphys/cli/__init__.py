"""The command line: what people type and what they see. Presentation is pure (`tree`, `header`, `times`, `failure`); the engine is
handed in by `app`.
"""
