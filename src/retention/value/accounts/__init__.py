"""The books: margin net of costs to the cent, the equity statement, the profit ladder."""
