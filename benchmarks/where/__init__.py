"""Where the shortcut is, on images: the figures of docs/where.md, a table a file."""
