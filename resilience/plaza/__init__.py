"""Plaza: a small, honest social app. It imports nothing else of this project."""
