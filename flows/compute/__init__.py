"""Where heavy work runs, and what it costs.

Start with `engine`: it opens this process or a Dask `cluster`, whose workers `dask_engine` uses. `meter` measures time,
memory and cost by stage; `free_memory` says how much memory is left.
"""
