"""Bytes in and out of local disk, S3 and HTTP, packed as Argo packs them. `store.Artifacts` is the way in."""
