"""A configuration's Git repository, read and written without the git program."""
