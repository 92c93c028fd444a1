"""What the magics, the widgets and the terminal share: finding the server, its failures in one line, Modelfiles.

Everything here speaks HTTP to a server, which is another process, through the official `ollama` client.
"""
