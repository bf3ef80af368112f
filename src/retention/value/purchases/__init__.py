"""How often she buys and when she stops: purchase models, their fits, posteriors and forecasts."""
