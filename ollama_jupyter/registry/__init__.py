"""Models over the network: a client for Ollama's registry, Hugging Face, and any open Registry v2.

Plain blocking code, to be called in a thread. Nothing here trusts the other side: its addresses are checked before
they are connected to, its answers are bounded, its credentials stay with the host that asked for them, and what it
sends becomes visible in the store only after the last byte was verified.
"""

from ollama_jupyter.registry.access import Access
from ollama_jupyter.registry.client import RegistryClient
from ollama_jupyter.registry.pull import pull
from ollama_jupyter.registry.push import push

__all__ = ["Access", "RegistryClient", "pull", "push"]
