"""Stand-ins of the clouds at the wire, with real database servers behind them."""
