"""What an answer may be, as grammars: JSON Schemas, patterns, lists of texts, and calls of tools.

Pure text work: grammars are in llguidance's Lark dialect, compiled by `engine.constrain`.
"""
