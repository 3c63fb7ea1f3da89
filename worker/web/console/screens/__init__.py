"""The screens of the console, one module each: a blueprint, its views and what they show."""
