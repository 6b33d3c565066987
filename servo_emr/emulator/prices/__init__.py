"""What things cost in the emulated region: the price list, the spot market and its history; and quotas."""
