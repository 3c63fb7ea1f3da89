"""What the rounds do not show: what one promise or one part costs, each measured by itself."""
