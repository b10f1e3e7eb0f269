"""`python -m tests.faults`: thousands of faults on a small home, with one table of what they did.

`homes` makes the homes and says what is in one. Every other module is one campaign: it makes trials, and a trial tries
one fault. Start reading at `__main__`.
"""
