"""A conversation in a terminal: the prompt, its slash commands, and answers as they stream.

The rooms of a sitting: `session` is what is remembered, `prompt` reads, `commands` does what begins with a slash,
`answer` shows what the model says, `loop` ties them together.
"""
