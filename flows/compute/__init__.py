"""Where heavy work runs, and what it takes.

Start with `engine` (this process or a Dask `cluster`); `meter` measures time, memory and money by stage.
"""
