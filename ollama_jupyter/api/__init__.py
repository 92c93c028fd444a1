"""The dialects: wire dictionaries to neutral values and back. Pure functions; they import the values only."""
