"""Messages: kombu's transports as this project needs them, publishing, queues and redaction."""
