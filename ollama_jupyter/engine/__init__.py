"""The engine: one thread that owns a llama.cpp context, and a pure-Python scheduler that decides what it decodes.

Read `scheduler.py` first: `step()` is the whole engine. `llama.py` and `vocab.py` are the only files that call C.
"""
