"""Tells others that a workflow changed its phase: one try of one notification. When to try again is the outbox's affair."""
