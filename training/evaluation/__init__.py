"""How good the rankings are: metrics, intervals, baselines, the lift ledger, promotion, costs of faster serving."""
