"""What crosses our borders, checked: the vendor's answers, enqueue requests and decisions."""
