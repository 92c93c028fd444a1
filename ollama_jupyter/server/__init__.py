"""The HTTP edge: one table of routes, answered on three doors (Jupyter, kernel door, standalone)."""
