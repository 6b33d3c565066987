"""What a run cost: usage and dated prices in, dollars with their basis out. Makes no call and knows no cluster."""
