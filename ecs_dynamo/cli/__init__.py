"""The command line.

More than 12 files: each command is one file, beside the shared options, progress and entry point.
"""
