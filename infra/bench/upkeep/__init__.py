"""What keeps the project in order over time: a home that ages, and tests that notice faults in the code.

`soak` runs a year of nights with weekly maintenance. `mutation_score` runs the tests on `mutants` of the core;
`equivalent_mutants.toml` lists those that change nothing. Start reading at `mutation_score`.
"""
