"""The Celery process: its application, its start, its consumer, its dispatcher and what they share."""
