"""What a run costs: API prices, rented hardware and electricity, as separate estimates."""
