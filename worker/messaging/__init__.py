"""Messages: kombu's transports, adapted to this project, publishing, queues and redaction."""
