"""The study as tables, charts, words and files."""
