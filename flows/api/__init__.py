"""The Python API: what `import daypart` offers to scripts and notebooks, and what the command line calls.

Start with `home`, whose methods are the jobs. `arguments` reads what callers pass, `scoring` scores any frame.
"""
