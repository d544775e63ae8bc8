"""How programs start, approve and watch recoveries: one way for the command line, tests and schedules."""
