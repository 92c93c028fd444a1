"""From a conversation to the text that a model reads: which template, how it runs, and what is dropped to fit."""
