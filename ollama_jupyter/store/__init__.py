"""The model store, in Ollama's on-disk layout: a folder written by either program is readable by the other.

`<models>/manifests/<host>/<namespace>/<model>/<tag>` is a JSON file that names blobs, `<models>/blobs/sha256-<hex>` are
the blobs. Files on their way in lie in `<models>/partial/`, because Ollama deletes strangers inside `blobs/`. Several
processes may share the folder: everything is published by one rename, and a file that vanishes is a file not found.
"""
