"""Which model to trust: backtests, naive baselines, tracking, and the choice between models."""
