"""How often the retraining loop is right: drift detection, the promotion gate, tiers of units and replayed policies.

Most runs use simulated chains, of which the truth is known; `policy_replay` also takes real cafes.
Start reading at `drift_detection`, then `gate_errors`.
"""
