"""What the benchmarks share: jobs in processes of their own, simulated chains on disk, hourly series, result files.

Nothing here measures anything in particular. Start reading at `isolated_job`, which times a job and takes the peak of
its memory; `stored_chain` makes the chains that jobs work on.
"""
