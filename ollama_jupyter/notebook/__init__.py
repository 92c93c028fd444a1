"""What runs in the kernel: the `%ollama` and `%%ollama` magics, their display and completion.

A kernel is another process than the server, so this room speaks HTTP through the official `ollama` client and knows
nothing of engines or stores. Read `magics.py` first.
"""
