"""The Celery process: its application, startup, consumer and dispatcher, and what they share."""
