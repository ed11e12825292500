"""Where attempts run: each module or package here is one executor, behind the protocol of `spec.work`."""
