"""What a file from elsewhere may hold, if it is opened as a pickle."""

from pathlib import Path


class Evil:
    """A pickle that writes a file where it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
